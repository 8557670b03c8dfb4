//! Two tiny pictures, found by a text. The simulator "sees" the description that a picture's own file has.

use std::io::Write;

use super::{Client, ranked};
use crate::grpc::{
    v1::{
        ContentPart, EmbedMultimodalRequest, InputType, Media, MultimodalInput, content_part::Part,
    },
    wire::Embedding,
};

const QUERY: &str = "a sweet yellow fruit";

const FILES: [&[u8]; 2] = [include_bytes!("sailboat.png"), include_bytes!("banana.png")];

const NAMES: &[&str] = &["sailboat.png", "banana.png"];

/// Shows the pictures by their similarity to a query.
pub(super) async fn show(client: &mut Client, out: &mut impl Write) -> anyhow::Result<()> {
    let picture =
        |file: &'static [u8]| Part::Image(Media { data: file.into(), mime_type: String::new() });
    let query = embed(client, vec![Part::Text(QUERY.to_owned())], InputType::Query).await?;
    let pictures = embed(client, FILES.map(picture).into(), InputType::Document).await?;
    writeln!(out, "  {QUERY} (among two pictures)")?;
    for (score, name) in ranked(&query, &pictures, NAMES) {
        writeln!(out, "    {score:.2}  {name}")?;
    }
    Ok(writeln!(out)?)
}

/// Embeds parts, each by itself.
async fn embed(
    client: &mut Client,
    parts: Vec<Part>,
    input_type: InputType,
) -> anyhow::Result<Vec<Embedding>> {
    let input = |part| MultimodalInput { content: vec![ContentPart { part: Some(part) }] };
    let request = EmbedMultimodalRequest {
        inputs: parts.into_iter().map(input).collect(),
        input_type: input_type.into(),
        ..EmbedMultimodalRequest::default()
    };
    Ok(client.embed_multimodal(request).await?.into_inner().embeddings)
}
