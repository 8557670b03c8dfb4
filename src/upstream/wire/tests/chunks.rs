//! Documents of chunks, in both directions.

use proptest::prelude::*;

use super::*;
use crate::item::{AutoChunking, ChunkParameters, Chunks, Document};

fn of(auto_chunking: Option<AutoChunking>) -> Parameters {
    let vector = VectorParameters {
        input_type: Some(InputType::Document),
        dimension: Some(2),
        dtype: Dtype::Float,
    };
    let of = ChunkParameters { vector, auto_chunking };
    Parameters::new("voyage-context-3", EndpointParameters::Chunks(of))
}

fn divided() -> Parameters {
    of(Some(AutoChunking { chunk_size: None, chunk_overlap: 64 }))
}

fn documents(documents: &[&[&str]]) -> Vec<Input> {
    let chunks = |chunks: &&[&str]| chunks.iter().map(|chunk| (*chunk).to_owned()).collect();
    documents.iter().map(|document| Input::Chunks(Chunks::new(chunks(document)))).collect()
}

fn pairs() -> Vec<Input> {
    documents(&[&["doc_1_chunk_1", "doc_1_chunk_2"], &["doc_2_chunk_1", "doc_2_chunk_2"]])
}

fn sent(parameters: &Parameters, inputs: &[Input]) -> Value {
    let inputs: Vec<_> = inputs.iter().collect();
    super::sent(parameters, &inputs)
}

fn read(parameters: &Parameters, inputs: &[Input], body: &[u8]) -> Result<Decoded, BadResponse> {
    decode(parameters, &inputs.iter().collect::<Vec<_>>(), body)
}

fn document(answer: &Answer) -> &Document {
    let Answer::Document(document) = answer else { panic!("no document: {answer:?}") };
    document
}

fn vectors(document: &Document) -> Vec<Vec<u8>> {
    document.vectors.iter().map(|vector| vector.bytes().to_vec()).collect()
}

/// The documented request is part of ours; additional fields are written out.
#[test]
fn the_documented_requests_are_sent() {
    let files: [(&[u8], Parameters, Vec<Input>); 2] = [
        (
            include_bytes!(
                "../../../../tests/fixtures/voyage/contextualizedembeddings_request.json"
            ),
            of(None),
            pairs(),
        ),
        (
            include_bytes!(
                "../../../../tests/fixtures/voyage/contextualizedembeddings_auto_request.json"
            ),
            divided(),
            documents(&[&["doc text"]]),
        ),
    ];
    for (documented, parameters, inputs) in files {
        let mut ours = sent(&parameters, &inputs);
        let ours = ours.as_object_mut().unwrap();
        assert_eq!(ours.remove("encoding_format"), Some("base64".into()));
        assert_eq!(ours.remove("output_dimension"), Some(2.into()));
        let documented: Value = serde_json::from_slice(documented).unwrap();
        assert_eq!(*ours, *documented.as_object().unwrap());
    }
}

#[test]
fn the_documented_replies_are_read() {
    let reply =
        include_bytes!("../../../../tests/fixtures/voyage/contextualizedembeddings_reply.json");
    let Decoded { answers, usage } = read(&of(None), &pairs(), reply).unwrap();
    assert_eq!(usage.map(|usage| usage.tokens), Some(24));
    assert_eq!(
        vectors(document(&answers[1])),
        [little_endian(&[0.040_994_8, 0.125]), little_endian(&[0.041_982_77, 0.0625])]
    );
    assert_eq!(
        (&document(&answers[0]).texts, &document(&answers[0]).chunker_version),
        (&None, &None)
    );

    let reply = include_bytes!(
        "../../../../tests/fixtures/voyage/contextualizedembeddings_auto_reply.json"
    );
    let Decoded { answers, .. } = read(&divided(), &documents(&[&["doc text"]]), reply).unwrap();
    let [answer] = answers.as_slice() else { panic!("one document") };
    let document = document(answer);
    assert_eq!(vectors(document), [little_endian(&[0.1, 0.2]), little_endian(&[0.3, 0.4])]);
    let texts = ["doc text part 1", "doc text part 2"].map(str::to_owned).to_vec();
    assert_eq!(document.texts, Some(texts));
    assert_eq!(document.chunker_version.as_deref(), Some("v1.0"));
}

/// A reply with documents of these chunks, in this order.
fn nested(order: &[usize], chunks: &[Vec<usize>]) -> Value {
    let chunk = |document: usize, chunk: usize| {
        #[expect(clippy::cast_precision_loss, reason = "small indices are exact floats")]
        let floats = [document as f32, chunk as f32];
        json!({"embedding": base64(&little_endian(&floats)), "index": chunk})
    };
    let document = |document: &usize| {
        let data: Vec<_> = chunks[*document].iter().map(|index| chunk(*document, *index)).collect();
        json!({"data": data, "index": document})
    };
    json!({"data": order.iter().map(document).collect::<Vec<_>>(), "usage": {"total_tokens": 1}})
}

proptest! {
    /// Documents and chunks come in any order; every vector is at its chunk.
    #[test]
    fn vectors_are_put_at_their_chunks(
        (order, chunks) in proptest::collection::vec(1..5_usize, 1..6).prop_flat_map(|lengths| (
            Just((0..lengths.len()).collect::<Vec<_>>()).prop_shuffle(),
            lengths.into_iter().map(|n| Just((0..n).collect::<Vec<_>>()).prop_shuffle()).collect::<Vec<_>>(),
        )),
    ) {
        let texts: Vec<Vec<&str>> = chunks.iter().map(|chunks| vec!["a"; chunks.len()]).collect();
        let inputs = documents(&texts.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let body = nested(&order, &chunks).to_string();
        let decoded = read(&of(None), &inputs, body.as_bytes()).unwrap();
        for (index, answer) in decoded.answers.iter().enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "small indices are exact floats")]
            let expected: Vec<_> = (0..chunks[index].len())
                .map(|chunk| little_endian(&[index as f32, chunk as f32]))
                .collect();
            prop_assert_eq!(vectors(document(answer)), expected);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&divided(), &pairs(), &body);
    }
}

#[test]
fn a_missing_chunk_document_or_text_is_refused() {
    let refused = |parameters: &Parameters, inputs: &[Input], body: &Value| {
        read(parameters, inputs, body.to_string().as_bytes()).unwrap_err().why
    };
    let inputs = documents(&[&["a", "b"]]);
    let count = "the number of answers";
    assert_eq!(refused(&of(None), &inputs, &nested(&[0], &[vec![0]])), count);
    assert_eq!(refused(&of(None), &inputs, &nested(&[], &[])), count);
    let twice = nested(&[0], &[vec![1, 1]]);
    assert_eq!(refused(&of(None), &inputs, &twice), "an index came twice");
    let whole = documents(&[&["a whole text"]]);
    assert_eq!(refused(&divided(), &whole, &nested(&[0], &[vec![]])), count);
    assert_eq!(refused(&divided(), &whole, &nested(&[0], &[vec![0]])), "a chunk has no text");
}
