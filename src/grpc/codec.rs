//! Protobuf with a limit of fields per message.
//!
//! An empty text has 2 bytes in a message and 24 in memory, and a message of empty texts compresses a thousandfold: its size
//! says little about the cost of decoding. So the fields are counted first.

use std::marker::PhantomData;

use bytes::Buf as _;
use prost::{
    DecodeError, Message, Name,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder},
};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

use super::{
    MAX_INPUTS,
    v1::{CountTokensRequest, EmbedChunksRequest, EmbedMultimodalRequest},
};

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
        FieldLimitDecoder(ProstCodec::<T, U>::default().decoder())
    }
}

/// Counts the fields, then decodes.
#[derive(Debug)]
pub(super) struct FieldLimitDecoder<U>(ProstDecoder<U>);

impl<U: Message + Name + Default> Decoder for FieldLimitDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // A message is one chunk. prost returns the error of a malformed one.
        if has_too_many_fields(U::NAME, message.chunk()).unwrap_or(false) {
            return Err(Status::invalid_argument("too many fields"));
        }
        self.0.decode(message)
    }
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
        let (tag, wire_type) = decode_key(&mut message)?;
        let field = message;
        skip_field(wire_type, tag, &mut message, DecodeContext::default())?;
        if wire_type == WireType::LengthDelimited
            && let Some(inner) = nested.iter().find(|nested| nested.field == tag)
        {
            let mut body = &field[..field.len() - message.len()];
            decode_varint(&mut body)?;
            if count_fields(inner.nested, body, room)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::v1::{ChunkedDocument, EmbedRequest};

    fn has_too_many<M: Message + Name>(message: &M) -> bool {
        has_too_many_fields(M::NAME, &message.encode_to_vec()).unwrap()
    }

    #[test]
    fn fields_of_repeated_messages_count() {
        let of = |documents, chunks| EmbedChunksRequest {
            documents: vec![ChunkedDocument { chunks: vec![String::new(); chunks] }; documents],
            ..EmbedChunksRequest::default()
        };
        // A document is a field, and so is each of its chunks.
        assert!(!has_too_many(&of(1, MAX_FIELDS - 1)));
        assert!(has_too_many(&of(1, MAX_FIELDS)));
        assert!(!has_too_many(&of(MAX_FIELDS / 2, 1)));
        assert!(has_too_many(&of(MAX_FIELDS / 2 + 1, 1)));
        let texts =
            |count| EmbedRequest { inputs: vec![String::new(); count], ..EmbedRequest::default() };
        assert!(!has_too_many(&texts(MAX_FIELDS)));
        assert!(has_too_many(&texts(MAX_FIELDS + 1)));
    }

    #[test]
    fn a_broken_nested_message_is_left_to_the_decoder() {
        // A document of 5 bytes that ends after 1.
        assert!(has_too_many_fields(EmbedChunksRequest::NAME, &[0x0a, 5, 0x0a]).is_err());
        assert!(has_too_many_fields(EmbedChunksRequest::NAME, &[0x0a, 1, 0x0a]).is_err());
    }
}
