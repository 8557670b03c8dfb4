//! `embed`: embeds texts through a running gateway.

use std::io::{self, BufRead as _, Write as _};

use anyhow::Context as _;
use clap::Args;

use crate::grpc::v1::{EmbedRequest, InputType, embedding_service_client::EmbeddingServiceClient};

/// The largest reply, as in the gateway.
const MAX_REPLY_BYTES: i32 = i32::MAX;

#[derive(Debug, Args)]
pub(super) struct EmbedArgs {
    /// The gateway's address: host and port, or a URL.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:50051")]
    gateway: String,
    /// The model; the default is the gateway's.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    model: String,
    /// The texts are search queries.
    #[arg(long, conflicts_with = "document")]
    query: bool,
    /// The texts are documents to search.
    #[arg(long)]
    document: bool,
    /// The dimension of the vectors; 0 means the model's default.
    #[arg(long, value_name = "N", default_value_t = 0)]
    dimension: i32,
    /// The texts; without any, the lines of standard input.
    #[arg(value_name = "TEXT")]
    texts: Vec<String>,
}

pub(super) async fn run(args: EmbedArgs) -> anyhow::Result<()> {
    let inputs = if args.texts.is_empty() {
        io::stdin().lock().lines().collect::<io::Result<_>>().context("standard input")?
    } else {
        args.texts
    };
    let input_type = match (args.query, args.document) {
        (true, _) => InputType::Query,
        (_, true) => InputType::Document,
        _ => InputType::Unspecified,
    };
    let request = EmbedRequest {
        inputs,
        model: args.model,
        input_type: input_type as i32,
        output_dimension: args.dimension,
        options: Some(crate::grpc::v1::RequestOptions {
            max_response_bytes: MAX_REPLY_BYTES,
            ..Default::default()
        }),
        ..EmbedRequest::default()
    };
    let address = args.gateway;
    let url = if address.contains("://") { address.clone() } else { format!("http://{address}") };
    let mut client = EmbeddingServiceClient::connect(url)
        .await
        .with_context(|| format!("no gateway at {address}"))?
        .max_decoding_message_size(usize::MAX);
    let reply = client
        .embed(request)
        .await
        .map_err(|status| anyhow::anyhow!("{:?}: {}", status.code(), status.message()))?;

    let mut out = io::stdout().lock();
    for embedding in reply.into_inner().embeddings {
        let numbers: Vec<String> = embedding.floats().iter().map(f32::to_string).collect();
        writeln!(out, "{}", numbers.join(" "))?;
    }
    Ok(())
}
