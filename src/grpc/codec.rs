//! Protobuf with a limit of fields per message.
//!
//! An empty text has 2 bytes in a message and 24 in memory, and a message of empty texts compresses a thousandfold: its size
//! says little about the cost of decoding. So the fields are counted first.

use std::marker::PhantomData;

use bytes::Buf as _;
use prost::{
    DecodeError, Message,
    encoding::{DecodeContext, decode_key, skip_field},
};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder},
};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

use super::MAX_INPUTS;

/// Limit of fields in a message. It is above that of inputs, so that slightly too many inputs get an error of their own.
pub(super) const MAX_FIELDS: usize = 4 * MAX_INPUTS;

/// The codec of the services. Too many fields are `INVALID_ARGUMENT`, which tonic itself never returns.
#[derive(Debug)]
pub(super) struct FieldLimitCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for FieldLimitCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for FieldLimitCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = FieldLimitDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::default().encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        FieldLimitDecoder(ProstCodec::<T, U>::default().decoder())
    }
}

/// Counts the fields, then decodes.
#[derive(Debug)]
pub(super) struct FieldLimitDecoder<U>(ProstDecoder<U>);

impl<U: Message + Default> Decoder for FieldLimitDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // A message is one chunk. prost returns the error of a malformed one.
        if has_too_many_fields(message.chunk()).unwrap_or(false) {
            return Err(Status::invalid_argument("too many fields"));
        }
        self.0.decode(message)
    }
}

/// Returns whether a message has more than [`MAX_FIELDS`].
fn has_too_many_fields(mut message: &[u8]) -> Result<bool, DecodeError> {
    for _ in 0..MAX_FIELDS {
        if !message.has_remaining() {
            return Ok(false);
        }
        let (tag, wire_type) = decode_key(&mut message)?;
        skip_field(wire_type, tag, &mut message, DecodeContext::default())?;
    }
    Ok(message.has_remaining())
}
