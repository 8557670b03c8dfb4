//! `POST /v1/embeddings`.

use serde::{Deserialize, Serialize};

use super::{
    Decoded,
    reply::{Numbered, Reply, in_order},
    vectors::{Elements, VectorFields, VectorReader},
};
use crate::{
    error::BadResponse,
    item::{Answer, Input, Parameters, TextParameters},
};

#[derive(Serialize)]
struct Request<'a> {
    input: Vec<&'a str>,
    model: &'a str,
    #[serde(flatten)]
    vector: VectorFields,
    /// Always sent: leaving out a `false` would mean `true`.
    truncation: bool,
    encoding_format: &'static str,
}

#[derive(Deserialize)]
pub(super) struct Entry<'a> {
    #[serde(borrow)]
    pub(super) embedding: Elements<'a>,
    #[serde(default)]
    index: Option<u64>,
}

pub(super) fn encode(model: &str, of: &TextParameters, inputs: &[&Input]) -> Option<Vec<u8>> {
    let texts = inputs.iter().map(|input| {
        let Input::Text(text) = input else { return None };
        Some(text.as_str())
    });
    let request = Request {
        input: texts.collect::<Option<_>>()?,
        model,
        vector: VectorFields::of(&of.vector),
        truncation: of.truncation,
        encoding_format: "base64",
    };
    serde_json::to_vec(&request).ok()
}

pub(super) fn decode(
    parameters: &Parameters,
    count: usize,
    body: &[u8],
) -> Result<Decoded, BadResponse> {
    let reply: Reply<'_, Entry<'_>> = Reply::parse(body)?;
    let usage = reply.usage();
    let numbered = |Entry { embedding, index }| Numbered { index, entry: embedding };
    let mut vectors = VectorReader::new(parameters);
    let answers = in_order(count, reply.data.into_iter().map(numbered))?
        .into_iter()
        .map(|elements| vectors.read(elements).map(Answer::Vector))
        .collect::<Result<_, _>>()?;
    Ok(Decoded { answers, usage })
}
