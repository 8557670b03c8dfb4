//! The strings of messages that are not UTF-8.

use proptest::prelude::*;
use prost::{
    Message, Name,
    encoding::{WireType, encode_key},
};

use super::*;
use crate::{
    error::Error,
    grpc::v1::{
        ChunkedDocument, ContentPart, CountTokensRequest, EmbedChunksRequest,
        EmbedMultimodalRequest, EmbedRequest, MultimodalInput, RerankRequest, content_part::Part,
    },
};

/// Neither of them is in any UTF-8 text.
const INVALID: &[u8] = b"a\xffb\xc3";

fn undecodable<M: Name>(message: &[u8]) -> Undecodable {
    Undecodable { type_name: M::full_name(), message: Bytes::copy_from_slice(message) }
}

fn repaired<M: Name>(message: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let undecodable = undecodable::<M>(message);
    let repair = undecodable.repair()?;
    let (length, mut out) = (repair.len(), Vec::new());
    repair.write(&mut out)?;
    assert_eq!(out.len(), length);
    Ok(out)
}

/// The names of the strings that are not UTF-8.
fn invalid<M: Name>(message: &[u8]) -> Vec<String> {
    match undecodable::<M>(message).violations().unwrap().into_result() {
        Ok(()) => Vec::new(),
        Err(Error::InvalidRequest(violations)) => {
            assert!(violations.iter().all(|violation| violation.reason == "INVALID_UTF8"));
            violations.iter().map(|violation| violation.field.clone()).collect()
        }
        Err(other) => panic!("{other:?}"),
    }
}

/// Encodes a string or a message of any bytes.
fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_key(number, WireType::LengthDelimited, &mut out);
    encode_varint(content.len() as u64, &mut out);
    out.extend_from_slice(content);
    out
}

#[test]
fn each_invalid_string_has_a_name() {
    let texts = [field(1, b"fine"), field(1, INVALID), field(2, b"voyage-4"), field(1, INVALID)];
    assert_eq!(invalid::<EmbedRequest>(&texts.concat()), ["inputs[1]", "inputs[2]"]);
    assert_eq!(invalid::<EmbedRequest>(&field(2, INVALID)), ["model"]);

    let chunks = [field(1, b"fine"), field(1, INVALID)].concat();
    let documents = [field(1, &field(1, b"fine")), field(1, b""), field(1, &chunks)].concat();
    assert_eq!(invalid::<EmbedChunksRequest>(&documents), ["documents[2].chunks[1]"]);

    let pairs = [field(2, INVALID), field(1, INVALID)].concat();
    assert_eq!(invalid::<RerankRequest>(&pairs), ["documents[0]", "query"]);

    let counted = [field(3, &chunks), field(4, INVALID), field(1, INVALID)].concat();
    let names = ["documents[0].chunks[1]", "query", "inputs[0]"];
    assert_eq!(invalid::<CountTokensRequest>(&counted), names);

    // A text after an image of arbitrary bytes.
    let image = field(1, &field(3, &field(1, INVALID)));
    let content = [image, field(1, &field(1, INVALID))].concat();
    let names = ["inputs[0].content[1].text"];
    assert_eq!(invalid::<EmbedMultimodalRequest>(&field(1, &content)), names);
}

#[test]
fn many_invalid_strings_are_not_all_listed() {
    assert_eq!(invalid::<EmbedRequest>(&field(1, INVALID).repeat(100)).len(), 16);
}

#[test]
fn a_repair_must_be_wanted() {
    let wants = |message: &[u8]| undecodable::<EmbedRequest>(message).wants_repair();
    let options = |number: u8| field(15, &[6 << 3, number]);
    assert!(!wants(&field(1, INVALID)));
    for number in [0, 1, 3] {
        assert!(!wants(&[field(1, INVALID), options(number)].concat()), "{number}");
    }
    assert!(wants(&[field(1, INVALID), options(2)].concat()));
    // The last value counts, also of a message in several parts.
    assert!(wants(&[options(1), field(1, INVALID), options(2)].concat()));
    assert!(!wants(&[options(2), field(1, INVALID), options(1)].concat()));
}

#[test]
fn a_message_that_is_malformed_otherwise_is_not_repaired() {
    for malformed in [&b"\x0a\x09a"[..], b"\x0a", b"\x0b", b"\xff\xff\xff\xff\xff\xff"] {
        let message = [&field(1, INVALID), malformed].concat();
        assert!(undecodable::<EmbedRequest>(&message).repair().is_err());
        assert!(undecodable::<EmbedRequest>(&message).violations().is_err());
    }
    // A document that ends within a chunk.
    assert!(undecodable::<EmbedChunksRequest>(&field(1, b"\x0a\x09a")).repair().is_err());
}

#[test]
fn the_message_is_not_shown() {
    let shown = format!("{:?}", undecodable::<EmbedRequest>(b"a canary"));
    assert_eq!(shown, "Undecodable(voyage.gateway.v1.EmbedRequest, 8 bytes)");
}

/// A request with strings that had no options could not ask for the repair.
#[test]
fn every_request_with_strings_has_options() {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let own = || set.file.iter().filter(|file| file.package() == "voyage.gateway.v1");
    let mut seen = 0;
    for method in own().flat_map(|file| &file.service).flat_map(|service| &service.method) {
        let name = method.input_type().trim_start_matches('.');
        if Strings::of(name).0.is_empty() {
            continue;
        }
        seen += 1;
        let types = types();
        // The options of an explained request are its own.
        let explains = name == "voyage.gateway.v1.ExplainEmbedRequest";
        let name = if explains { "voyage.gateway.v1.EmbedRequest" } else { name };
        let options = types[name].field.iter().find(|field| field.number() == 15).unwrap();
        assert_eq!(options.type_name(), ".voyage.gateway.v1.RequestOptions", "{name}");
    }
    assert!(seen >= 5);
    // Types within messages would have to be found too, and so would maps.
    assert!(
        own().flat_map(|file| &file.message_type).all(|message| message.nested_type.is_empty())
    );
}

/// The same messages with bytes for strings.
#[derive(Clone, PartialEq, Message)]
struct RawDocuments {
    #[prost(message, repeated, tag = "1")]
    documents: Vec<RawDocument>,
    #[prost(bytes = "vec", tag = "2")]
    model: Vec<u8>,
    #[prost(int32, tag = "5")]
    output_dimension: i32,
}

#[derive(Clone, PartialEq, Message)]
struct RawDocument {
    #[prost(bytes = "vec", repeated, tag = "1")]
    chunks: Vec<Vec<u8>>,
}

/// Bytes that are often UTF-8, and often not quite.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        &b"a"[..],
        "ä".as_bytes(),
        "中".as_bytes(),
        "🦀".as_bytes(),
        b"\xff",
        b"\xc3",
        b"\xed\xa0\x80",
        b"\xf0\x9f",
        b"\x80",
    ]);
    prop_oneof![
        prop::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat()),
        prop::collection::vec(any::<u8>(), 0..8),
    ]
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

proptest! {
    #[test]
    fn strings_become_those_of_from_utf8_lossy_and_nothing_else_changes(
        documents in prop::collection::vec(prop::collection::vec(bytes(), 0..4), 0..4),
        model in bytes(),
        output_dimension in any::<i32>(),
    ) {
        let raw = |chunks: &Vec<_>| RawDocument { chunks: chunks.clone() };
        let raw = RawDocuments {
            documents: documents.iter().map(raw).collect(), model: model.clone(), output_dimension,
        };
        let repaired = repaired::<EmbedChunksRequest>(&raw.encode_to_vec()).unwrap();
        let chunks = |chunks: &Vec<Vec<u8>>| chunks.iter().map(|chunk| lossy(chunk)).collect();
        let documents = documents.iter().map(|document| ChunkedDocument { chunks: chunks(document) });
        let expected = EmbedChunksRequest {
            documents: documents.collect(), model: lossy(&model), output_dimension,
            ..EmbedChunksRequest::default()
        };
        prop_assert!(EmbedChunksRequest::decode(&*repaired).unwrap() == expected);
        // It is what a client would have sent.
        prop_assert_eq!(repaired, expected.encode_to_vec());
    }

    #[test]
    fn no_bytes_cause_a_panic_and_messages_that_decode_stay_the_same(
        message in prop_oneof![prop::collection::vec(any::<u8>(), 0..64), mutated()],
    ) {
        check::<EmbedRequest>(&message)?;
        check::<EmbedChunksRequest>(&message)?;
        check::<EmbedMultimodalRequest>(&message)?;
        check::<RerankRequest>(&message)?;
        check::<CountTokensRequest>(&message)?;
    }
}

/// A valid message after some changed bytes.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let texts = || vec!["a text".to_owned(), "ä中🦀".to_owned()];
    let part = |part| ContentPart { part: Some(part) };
    let content =
        vec![part(Part::Text("ä".to_owned())), part(Part::ImageUrl("https://a".to_owned()))];
    let options = Some(RequestOptions { invalid_text: 2, ..RequestOptions::default() });
    let messages = vec![
        EmbedRequest { inputs: texts(), options, ..EmbedRequest::default() }.encode_to_vec(),
        EmbedChunksRequest {
            documents: vec![ChunkedDocument { chunks: texts() }; 2],
            ..EmbedChunksRequest::default()
        }
        .encode_to_vec(),
        EmbedMultimodalRequest {
            inputs: vec![MultimodalInput { content }; 2],
            ..EmbedMultimodalRequest::default()
        }
        .encode_to_vec(),
        RerankRequest { query: "ä".to_owned(), documents: texts(), ..RerankRequest::default() }
            .encode_to_vec(),
    ];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (prop::sample::select(messages), changes).prop_map(|(mut message, changes)| {
        for (place, byte) in changes {
            *place.get_mut(&mut message) = byte;
        }
        message
    })
}

fn check<M: Message + Name + Default + PartialEq>(message: &[u8]) -> Result<(), TestCaseError> {
    let decoded = M::decode(message);
    let undecodable = undecodable::<M>(message);
    undecodable.wants_repair();
    let violations = undecodable.violations();
    match repaired::<M>(message) {
        Ok(repaired) => {
            let again = M::decode(&*repaired);
            if let Ok(decoded) = decoded {
                prop_assert!(again.unwrap() == decoded);
                prop_assert!(violations.unwrap().into_result().is_ok());
            } else if violations.unwrap().into_result().is_ok() {
                // Malformed in a way that only prost sees: it stays so.
                prop_assert!(again.is_err());
            } else if let Err(error) = again {
                prop_assert!(!error.to_string().contains("UTF-8"), "{}", error);
            }
        }
        Err(_) => prop_assert!(violations.is_err() && decoded.is_err()),
    }
    Ok(())
}
