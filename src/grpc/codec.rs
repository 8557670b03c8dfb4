//! Protobuf with a limit of fields per message.
//!
//! An empty text has 2 bytes in a message and 24 in memory, and a message of empty texts compresses a thousandfold: its size
//! says little about the cost of decoding. So the fields are counted first. A message that prost refuses is kept for
//! [`strings`].

mod strings;

use std::{error::Error as _, marker::PhantomData, sync::Arc};

use bytes::{Buf as _, Bytes};
use http::Response;
use prost::{
    DecodeError, Message, Name,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder},
};
use tonic_prost::{ProstCodec, ProstEncoder};

pub(super) use strings::Undecodable;

use super::{
    MAX_INPUTS,
    v1::{CountTokensRequest, EmbedChunksRequest, EmbedMultimodalRequest, ExplainEmbedRequest},
};

/// Limit of fields in a message. It is above that of inputs, so that slightly too many inputs get an error of their own.
pub(super) const MAX_FIELDS: usize = 4 * MAX_INPUTS;

/// Media in a message of at most these bytes are copied; those of a larger one share its allocation.
const MAX_COPIED_BYTES: usize = 64 * 1024;

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
    U: Message + Name + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = FieldLimitDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::default().encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        FieldLimitDecoder(PhantomData)
    }
}

/// Counts the fields, then decodes. The source of the status for an undecodable message is [`Undecodable`].
#[derive(Debug)]
pub(super) struct FieldLimitDecoder<U>(PhantomData<U>);

impl<U: Message + Name + Default> Decoder for FieldLimitDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // A message is one chunk. prost returns the error of a malformed one.
        if has_too_many_fields(U::NAME, message.chunk()).unwrap_or(false) {
            return Err(Status::invalid_argument("too many fields"));
        }
        let length = message.remaining();
        let decoded = if length <= MAX_COPIED_BYTES {
            let decoded = U::decode(message.chunk());
            decoded.map_err(|_| undecodable::<U>(message.copy_to_bytes(length)))
        } else {
            let message = message.copy_to_bytes(length);
            U::decode(message.clone()).map_err(|_| undecodable::<U>(message))
        };
        message.advance(message.remaining());
        decoded.map(Some)
    }
}

/// Returns the status for a message that prost refuses.
fn undecodable<U: Name>(message: Bytes) -> Status {
    let mut status = Status::internal("undecodable");
    status.set_source(Arc::new(Undecodable { type_name: U::full_name(), message }));
    status
}

/// Returns the message of a response to one that could not be decoded.
pub(super) fn undecoded<B>(response: &Response<B>) -> Option<Undecodable> {
    response.extensions().get::<Status>()?.source()?.downcast_ref::<Undecodable>().cloned()
}

/// Returns whether a message has more than [`MAX_FIELDS`], those of its repeated messages included.
fn has_too_many_fields(type_name: &str, message: &[u8]) -> Result<bool, DecodeError> {
    let mut room = MAX_FIELDS;
    count_fields(nested(type_name), message, &mut room)
}

/// Returns the repeated messages of a request: the numbers of the fields, and the same of their messages.
fn nested(type_name: &str) -> &'static [Nested] {
    const CHUNKED_DOCUMENT: Nested = Nested { field: 1, nested: &[] };
    const MULTIMODAL_INPUT: Nested =
        Nested { field: 1, nested: &[Nested { field: 1, nested: &[] }] };
    match type_name {
        EmbedChunksRequest::NAME => &[CHUNKED_DOCUMENT],
        EmbedMultimodalRequest::NAME => &[MULTIMODAL_INPUT],
        ExplainEmbedRequest::NAME => &[Nested { field: 1, nested: &[] }],
        CountTokensRequest::NAME => &[Nested { field: 3, nested: &[] }],
        _ => &[],
    }
}

/// A field with repeated messages, whose fields count.
struct Nested {
    field: u32,
    nested: &'static [Self],
}

/// Counts the fields of a message; true: there are more than `room`.
fn count_fields(
    nested: &[Nested],
    mut message: &[u8],
    room: &mut usize,
) -> Result<bool, DecodeError> {
    while message.has_remaining() {
        let Some(left) = room.checked_sub(1) else { return Ok(true) };
        *room = left;
        let field = next_field(&mut message)?;
        if let Some(inner) = nested.iter().find(|nested| nested.field == field.number)
            && let Some(content) = field.content()?
            && count_fields(inner.nested, content, room)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A field as it is encoded.
struct Field<'m> {
    number: u32,
    wire_type: WireType,
    key: &'m [u8],
    value: &'m [u8],
}

/// Takes the next field of a message that has one.
fn next_field<'m>(message: &mut &'m [u8]) -> Result<Field<'m>, DecodeError> {
    let whole = *message;
    let (number, wire_type) = decode_key(message)?;
    let (key, value) = whole.split_at(whole.len() - message.len());
    skip_field(wire_type, number, message, DecodeContext::default())?;
    let value = &value[..value.len() - message.len()];
    Ok(Field { number, wire_type, key, value })
}

impl<'m> Field<'m> {
    /// Returns the content of a string or a message, which follows its length; `None`: the field is of another type.
    fn content(&self) -> Result<Option<&'m [u8]>, DecodeError> {
        if self.wire_type != WireType::LengthDelimited {
            return Ok(None);
        }
        let mut content = self.value;
        decode_varint(&mut content)?;
        Ok(Some(content))
    }
}

#[cfg(test)]
mod tests;
