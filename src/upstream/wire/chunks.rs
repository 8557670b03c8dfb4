//! `POST /v1/contextualizedembeddings`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Decoded,
    reply::{Numbered, Reply, in_order, miscounted, wrong},
    vectors::{Elements, VectorFields, VectorReader},
};
use crate::{
    error::BadResponse,
    item::{
        Answer, ChunkParameters, DEFAULT_CHUNK_SIZE, Document, EndpointParameters, Input,
        Parameters,
    },
};

/// The most bytes of JSON for a byte of text: six for an escaped control character, and room for overlaps.
pub(super) const MOST_TEXT: usize = 12;

#[derive(Serialize)]
struct Request<'a> {
    inputs: Vec<&'a [String]>,
    model: &'a str,
    #[serde(flatten)]
    vector: VectorFields,
    encoding_format: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    enable_auto_chunking: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk_size: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk_overlap: Option<u32>,
}

#[derive(Deserialize)]
struct DocumentEntry<'a> {
    #[serde(borrow)]
    data: Vec<ChunkEntry<'a>>,
    #[serde(default)]
    index: Option<u64>,
}

#[derive(Deserialize)]
struct ChunkEntry<'a> {
    #[serde(borrow)]
    embedding: Elements<'a>,
    #[serde(default)]
    index: Option<u64>,
    #[serde(default)]
    text: Option<String>,
}

pub(super) fn encode(model: &str, of: &ChunkParameters, inputs: &[&Input]) -> Option<Vec<u8>> {
    let documents = inputs.iter().map(|input| {
        let Input::Chunks(chunks) = input else { return None };
        Some(chunks.texts())
    });
    let auto = of.auto_chunking;
    let request = Request {
        inputs: documents.collect::<Option<_>>()?,
        model,
        vector: VectorFields::of(&of.vector),
        encoding_format: "base64",
        enable_auto_chunking: auto.is_some(),
        chunk_size: auto.and_then(|auto| match auto.chunk_overlap {
            0 => auto.chunk_size,
            // The official SDKs send an overlap with a size only.
            _ => Some(auto.chunk_size.unwrap_or(DEFAULT_CHUNK_SIZE)),
        }),
        chunk_overlap: auto.map(|auto| auto.chunk_overlap).filter(|overlap| *overlap > 0),
    };
    serde_json::to_vec(&request).ok()
}

pub(super) fn decode(
    parameters: &Parameters,
    inputs: &[&Input],
    body: &[u8],
) -> Result<Decoded, BadResponse> {
    let reply: Reply<'_, DocumentEntry<'_>> = Reply::parse(body)?;
    let (usage, version) = (reply.usage(), reply.chunker_version().map(Arc::from));
    let is_divided = matches!(
        &parameters.of,
        EndpointParameters::Chunks(ChunkParameters { auto_chunking: Some(_), .. })
    );
    let numbered = |DocumentEntry { data, index }| Numbered { index, entry: data };
    let documents = in_order(inputs.len(), reply.data.into_iter().map(numbered))?;
    let mut vectors = VectorReader::new(parameters);
    let answers = documents.into_iter().zip(inputs).map(|(entries, input)| {
        let count = if is_divided { entries.len() } else { input.chunks() };
        if count == 0 {
            return Err(miscounted("the number of answers", 1_u64, 0_u64));
        }
        let mut document = read(count, entries, &mut vectors)?;
        if !is_divided {
            document.texts = None;
        } else if document.texts.is_none() {
            return Err(wrong("a chunk has no text"));
        } else {
            document.chunker_version.clone_from(&version);
        }
        Ok(Answer::Document(Arc::new(document)))
    });
    Ok(Decoded { answers: answers.collect::<Result<_, _>>()?, usage })
}

/// Reads the chunks of a document.
fn read(
    count: usize,
    entries: Vec<ChunkEntry<'_>>,
    vectors: &mut VectorReader,
) -> Result<Document, BadResponse> {
    let numbered =
        |ChunkEntry { embedding, index, text }| Numbered { index, entry: (embedding, text) };
    let chunks = in_order(count, entries.into_iter().map(numbered))?;
    let (elements, texts): (Vec<_>, Vec<_>) = chunks.into_iter().unzip();
    Ok(Document {
        vectors: elements
            .into_iter()
            .map(|elements| vectors.read(elements))
            .collect::<Result<_, _>>()?,
        texts: texts.into_iter().collect(),
        chunker_version: None,
    })
}
