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
