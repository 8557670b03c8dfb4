//! Protobuf, but not for messages that are small on the wire and huge in memory.
//!
//! An empty text takes 2 bytes of a message and 24 of memory, and a message of nothing else compresses a
//! thousandfold: its size says little about what decoding costs. So its fields are counted first.

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

/// Fields a message may have: enough that a request with somewhat too many inputs is told so in their terms.
pub(super) const MAX_FIELDS: usize = 4 * MAX_INPUTS;

/// The codec of the services. Too many fields are `INVALID_ARGUMENT`, which nothing else in tonic is.
#[derive(Debug)]
pub(super) struct Counted<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Counted<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for Counted<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = Counting<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::default().encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        Counting(ProstCodec::<T, U>::default().decoder())
    }
}

/// Counts, then decodes.
#[derive(Debug)]
pub(super) struct Counting<U>(ProstDecoder<U>);

impl<U: Message + Default> Decoder for Counting<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // A message is one chunk; what cannot be counted, prost refuses in its own words.
        if is_crowded(message.chunk()).unwrap_or(false) {
            return Err(Status::invalid_argument("too many fields"));
        }
        self.0.decode(message)
    }
}

/// Returns whether a message has more fields than any that is meant well.
fn is_crowded(mut message: &[u8]) -> Result<bool, DecodeError> {
    for _ in 0..MAX_FIELDS {
        if !message.has_remaining() {
            return Ok(false);
        }
        let (tag, wire_type) = decode_key(&mut message)?;
        skip_field(wire_type, tag, &mut message, DecodeContext::default())?;
    }
    Ok(message.has_remaining())
}
