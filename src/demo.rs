//! `demo`: a gateway with a simulated Voyage, without a key and a network.
//!
//! A real gRPC client runs a small search, reranks its results, embeds the chunks of a document, and finds a
//! picture by a text.

mod pictures;
mod texts;

use std::{
    future,
    io::{self, Write},
};

use anyhow::Context as _;
use futures_util::FutureExt as _;
use tokio::{sync::oneshot, time::Instant};
use tonic::transport::Channel;

use crate::{
    app,
    config::{self, Config, Environment},
    grpc::{
        v1::{
            ChunkedDocument, EmbedChunksRequest, EmbedRequest, EmbedResponse, InputType,
            RerankRequest, RerankResult, embedding_service_client::EmbeddingServiceClient,
            rerank_service_client::RerankServiceClient,
        },
        wire::Embedding,
    },
    secret::Secret,
    simulator::{Latency, Options, Simulator},
    telemetry::{Exported, InvalidVariable, export},
    transport::StopSignals,
};

/// The simulated latency: about that of Voyage from a data centre near it.
const LATENCY: std::time::Duration = std::time::Duration::from_millis(120);

/// The number of results shown for a query.
const SHOWN: usize = 3;

type Client = EmbeddingServiceClient<Channel>;

/// Runs the search, then serves until Ctrl-C; with `once` it ends after the search.
pub async fn run(once: bool, environment: &Environment) -> anyhow::Result<()> {
    let simulator = Simulator::start(Options {
        latency: Latency { base: LATENCY, ..Latency::default() },
        remember: 0,
        ..Options::default()
    })
    .await
    .context("the simulated Voyage")?;
    let config = demo_config(&simulator, once);
    let exported = exported(&config, environment)?;
    let parts = app::Parts { telemetry: Some(exported.telemetry()), ..app::Parts::default() };
    let bound = app::build(&config, Secret::new("demo-key"), parts).await?;
    let flush = exported.flush;
    let mut stop_signals = StopSignals::catch()?;
    let (address, admin) = (bound.grpc_address()?, bound.admin_address()?);
    let (stop, stopped) = oneshot::channel::<()>();
    let mut gateway = tokio::spawn(bound.run_until(stopped.map(|_| ()), future::pending()));

    let channel = Channel::from_shared(format!("http://{address}"))?.connect().await?;
    let mut out = io::stdout();
    show(channel, &mut out).await?;
    if once {
        // Its own ports are closed soon: show the ports of a demo that serves on.
        let usual = Config::default();
        writeln!(out, "\nWithout --once it serves on. Then try:")?;
        invite(&mut out, usual.server.listen, usual.admin.listen)?;
    } else {
        writeln!(out, "\nTry:")?;
        invite(&mut out, address, admin)?;
        writeln!(out, "\nServing until Ctrl-C.")?;
        stop_signals.wait().await;
    }
    drop(stop);
    tokio::select! {
        ended = &mut gateway => {
            ended??;
            flush.finish(stop_signals.wait()).await;
        }
        // A second signal ends it at once.
        () = stop_signals.wait() => {}
    }
    Ok(())
}

/// Starts the exporters of the `OTEL_` variables. The demo has no log, so standard error gets the problems.
fn exported(config: &Config, environment: &Environment) -> anyhow::Result<Exported> {
    let environment = config::otel(environment);
    for InvalidVariable { variable, expected } in environment.invalid() {
        writeln!(io::stderr(), "{variable} is ignored: expected {expected}")?;
    }
    Ok(export::start(&config.telemetry, &environment)?)
}

fn demo_config(simulator: &Simulator, once: bool) -> Config {
    let mut config = Config::default();
    config.upstream.base_url = Some(simulator.base_url());
    // No load balancer has to notice the drain.
    config.drain.delay = crate::units::TimeSpan::from_secs(0);
    if once {
        config.server.listen.set_port(0);
        config.admin.listen.set_port(0);
    }
    config
}

async fn show(channel: Channel, out: &mut impl Write) -> anyhow::Result<()> {
    let client = &mut EmbeddingServiceClient::new(channel.clone());
    writeln!(
        out,
        "A gateway with a simulated Voyage, and a small search over {} texts.",
        texts::TEXTS.len()
    )?;
    writeln!(
        out,
        "(The simulator compares words, not meanings; every reply takes {} ms.)\n",
        LATENCY.as_millis()
    )?;

    let (documents, first) = embed(client, texts::TEXTS, InputType::Document).await?;
    let (_, again) = embed(client, texts::TEXTS, InputType::Document).await?;
    for query in texts::QUERIES {
        let (reply, _) = embed(client, &[query], InputType::Query).await?;
        writeln!(out, "  {query}")?;
        for (score, text) in
            ranked(&reply.embeddings, &documents.embeddings, texts::TEXTS).into_iter().take(SHOWN)
        {
            writeln!(out, "    {score:.2}  {text}")?;
        }
        writeln!(out)?;
    }
    let (_, query_again) = embed(client, &[texts::QUERIES[0]], InputType::Query).await?;
    show_reranked(channel, out).await?;
    show_chunks(client, out).await?;
    pictures::show(client, out).await?;

    writeln!(
        out,
        "  the {} texts, first call   {first:>8.2} ms   {}",
        texts::TEXTS.len(),
        cost(&documents)
    )?;
    writeln!(out, "  the same again            {again:>8.2} ms   all from the cache")?;
    writeln!(out, "  a query seen before       {query_again:>8.2} ms   from the cache")?;
    Ok(())
}

/// Shows the results of the first query, reranked.
async fn show_reranked(channel: Channel, out: &mut impl Write) -> anyhow::Result<()> {
    let request = RerankRequest {
        query: texts::QUERIES[0].to_owned(),
        documents: texts::TEXTS.iter().map(|text| (*text).to_owned()).collect(),
        top_k: i32::try_from(SHOWN).ok(),
        return_documents: true,
        ..RerankRequest::default()
    };
    let reply = RerankServiceClient::new(channel).rerank(request).await?.into_inner();
    writeln!(out, "  {} (all texts reranked)", texts::QUERIES[0])?;
    for RerankResult { relevance_score, document, .. } in reply.results {
        writeln!(out, "    {relevance_score:.2}  {document}")?;
    }
    Ok(writeln!(out)?)
}

/// Shows the chunks of a document, each embedded in its context, by their similarity to a query.
async fn show_chunks(client: &mut Client, out: &mut impl Write) -> anyhow::Result<()> {
    let request = |chunks: &[&str], input_type: InputType| EmbedChunksRequest {
        documents: vec![ChunkedDocument {
            chunks: chunks.iter().map(|chunk| (*chunk).to_owned()).collect(),
        }],
        input_type: input_type.into(),
        ..EmbedChunksRequest::default()
    };
    let mut embed = async |request| -> anyhow::Result<Vec<Embedding>> {
        let reply = client.embed_chunks(request).await?.into_inner();
        Ok(reply.documents.into_iter().flat_map(|document| document.embeddings).collect())
    };
    let query = embed(request(&[texts::CHUNK_QUERY], InputType::Query)).await?;
    let chunks = embed(request(texts::CHUNKS, InputType::Document)).await?;
    writeln!(out, "  {} (chunks of one document, in its context)", texts::CHUNK_QUERY)?;
    for (score, chunk) in ranked(&query, &chunks, texts::CHUNKS) {
        writeln!(out, "    {score:.2}  {chunk}")?;
    }
    Ok(writeln!(out)?)
}

/// Embeds texts; returns the reply and the caller's latency in milliseconds.
async fn embed(
    client: &mut Client,
    texts: &[&str],
    input_type: InputType,
) -> anyhow::Result<(EmbedResponse, f64)> {
    let request = EmbedRequest {
        inputs: texts.iter().map(|text| (*text).to_owned()).collect(),
        input_type: input_type as i32,
        ..EmbedRequest::default()
    };
    let started = Instant::now();
    let reply = client.embed(request).await?.into_inner();
    Ok((reply, started.elapsed().as_secs_f64() * 1e3))
}

/// Orders the texts by their cosine similarity to the query: the dot product, since vectors have unit length.
fn ranked(
    query: &[Embedding],
    documents: &[Embedding],
    texts: &'static [&'static str],
) -> Vec<(f32, &'static str)> {
    let query = query.first().map(Embedding::floats).unwrap_or_default();
    let mut ranked: Vec<(f32, &'static str)> = documents
        .iter()
        .zip(texts)
        .map(|(document, text)| {
            let score = document.floats().iter().zip(&query).map(|(a, b)| a * b).sum();
            (score, *text)
        })
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    ranked
}

fn cost(reply: &EmbedResponse) -> String {
    let usage = reply.usage.unwrap_or_default();
    format!("{} tokens in {} call to Voyage", usage.total_tokens, usage.upstream_requests)
}

fn invite(
    out: &mut impl Write,
    address: std::net::SocketAddr,
    admin: std::net::SocketAddr,
) -> io::Result<()> {
    writeln!(
        out,
        r#"  grpcurl -plaintext -d '{{"input":["hi"]}}' {address} voyage.gateway.v1.EmbeddingService/Embed
  grpcurl -plaintext -d '{{"documents":[{{"chunks":["Acme 2025 report.","Revenue grew by 4 %."]}}]}}' {address} voyage.gateway.v1.EmbeddingService/EmbedChunks
  grpcurl -plaintext -d '{{"query":"how to bake bread","documents":["Flying kites","Bread at home"]}}' {address} voyage.gateway.v1.RerankService/Rerank
  grpcurl -plaintext -d '{{"input":["hi"]}}' {address} voyage.gateway.v1.TokenService/CountTokens
  grpcurl -plaintext {address} voyage.gateway.v1.ModelService/ListModels
  grpcurl -plaintext {address} list
  grpcurl -plaintext {address} describe voyage.gateway.v1.EmbedRequest
  curl http://{admin}/metrics

The status page, in a browser:
  http://{admin}/"#
    )
}
