//! What the fuzz targets check: no file of a caller and no reply of a provider ends the process, and an accepted reply has one valid answer for
//! each input.
//!
//! The last byte of the data chooses the request; the others are the body. The recorded replies of
//! `tests/fixtures/voyage` are thus seeds: each ends with a newline.

use std::sync::Arc;

use voyage_gateway::{
    item::{
        Answer, AutoChunking, ChunkParameters, Chunks, Content, ContentParameters,
        EndpointParameters, Input, LinkedRequest, MediaHeader, Parameters, Part, Query,
        RerankParameters, TextParameters, Vector, VectorParameters,
    },
    model::Dtype,
    upstream::decode_reply,
};

const DTYPES: [Dtype; 5] = [Dtype::Float, Dtype::Int8, Dtype::Uint8, Dtype::Binary, Dtype::Ubinary];

/// Checks a reply to texts.
pub fn texts_reply(data: &[u8]) {
    let Some((&choice, body)) = data.split_last() else { return };
    let (vector, count) = (vectors(choice), inputs(choice));
    let parameters = Parameters::texts("voyage-5", TextParameters { vector, truncation: true });
    let input = Input::Text("a text".into());
    let Ok(answers) = decode_reply(&parameters, &vec![&input; count], body) else { return };
    assert_eq!(answers.len(), count);
    for answer in answers {
        let Answer::Vector(answer) = answer else { panic!("no vector: {answer:?}") };
        check(&answer, &vector);
    }
}

/// Checks a reply to documents of two chunks, or to documents that the provider divides.
pub fn chunks_reply(data: &[u8]) {
    let Some((&choice, body)) = data.split_last() else { return };
    let (vector, count, divides) = (vectors(choice), inputs(choice), choice & 128 != 0);
    let auto_chunking = divides.then_some(AutoChunking { chunk_size: Some(4), chunk_overlap: 0 });
    let of = EndpointParameters::Chunks(ChunkParameters { vector, auto_chunking });
    let chunk = || "a part of a document".to_owned();
    let input = Input::Chunks(Chunks::new(if divides { vec![chunk()] } else { vec![chunk(); 2] }));
    let parameters = Parameters::new("voyage-context-5", of);
    let Ok(answers) = decode_reply(&parameters, &vec![&input; count], body) else { return };
    assert_eq!(answers.len(), count);
    for answer in answers {
        let Answer::Document(document) = answer else { panic!("no document: {answer:?}") };
        if divides {
            let texts = document.texts.as_ref().expect("the texts of a division");
            assert_eq!(texts.len(), document.vectors.len());
        } else {
            assert_eq!(document.vectors.len(), 2);
        }
        document.vectors.iter().for_each(|answer| check(answer, &vector));
    }
}

/// Checks a reply to contents, which is one to texts with another usage.
pub fn contents_reply(data: &[u8]) {
    let Some((&choice, body)) = data.split_last() else { return };
    let (vector, count) = (vectors(choice), inputs(choice));
    let of = EndpointParameters::Contents(ContentParameters { vector, truncation: true });
    let parameters = Parameters::new("voyage-multimodal-5", of);
    let parts = vec![Part::ImageUrl("https://example.com/a.png".to_owned())];
    let input = Input::Content(Arc::new(Content::new(parts, LinkedRequest::next())));
    let Ok(answers) = decode_reply(&parameters, &vec![&input; count], body) else { return };
    assert_eq!(answers.len(), count);
    for answer in answers {
        let Answer::Vector(answer) = answer else { panic!("no vector: {answer:?}") };
        check(&answer, &vector);
    }
}

/// Checks that no file ends the process, and that one with a header has pixels and a bounded cost. The seeds are the files of
/// `tests/fixtures/media`.
pub fn media_header(file: &[u8]) {
    let Ok(header) = MediaHeader::read(file) else { return };
    assert!(header.pixels() > 0);
    let media = header.media();
    assert!((89..=32_000).contains(&media.tokens) || header.format.is_video());
    assert!(media.tokens <= 32_000);
    assert_eq!(media.video_pixels > 0, header.format.is_video());
}

/// Checks a reply to pairs of a query and a document.
pub fn rerank_reply(data: &[u8]) {
    let Some((&choice, body)) = data.split_last() else { return };
    let of = RerankParameters { query: Query::new("a query"), truncation: true };
    let parameters = Parameters::new("rerank-5", EndpointParameters::Pairs(of));
    let (input, count) = (Input::Candidate("a document".into()), inputs(choice));
    let Ok(answers) = decode_reply(&parameters, &vec![&input; count], body) else { return };
    assert_eq!(answers.len(), count);
    for answer in answers {
        let Answer::Score(score) = answer else { panic!("no score: {answer:?}") };
        assert!(score.is_finite());
    }
}

/// A newline, the seeds' last byte, chooses floats of any dimension and two inputs.
fn vectors(choice: u8) -> VectorParameters {
    let dtype = DTYPES[usize::from(choice) % DTYPES.len()];
    let dimension = (choice & 64 != 0).then_some(8);
    VectorParameters { dtype, dimension, ..VectorParameters::default() }
}

fn inputs(choice: u8) -> usize {
    usize::from(choice >> 3 & 3) + 1
}

fn check(answer: &Vector, expected: &VectorParameters) {
    let bytes = answer.bytes();
    assert!(!bytes.is_empty());
    match expected.dtype {
        Dtype::Float => {
            let (floats, rest) = bytes.as_chunks();
            assert!(rest.is_empty());
            assert!(floats.iter().all(|float| f32::from_le_bytes(*float).is_finite()));
        }
        Dtype::Int8 | Dtype::Uint8 | Dtype::Binary | Dtype::Ubinary => {}
    }
    if expected.dimension.is_some() {
        let length = match expected.dtype {
            Dtype::Float => 32,
            Dtype::Int8 | Dtype::Uint8 => 8,
            Dtype::Binary | Dtype::Ubinary => 1,
        };
        assert_eq!(bytes.len(), length);
    }
}
