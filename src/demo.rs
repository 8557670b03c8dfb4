//! `demo`: a gateway with a simulated Voyage, without a key and a network.
//!
//! A real gRPC client runs a small search.

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
    grpc::v1::{
        EmbedRequest, EmbedResponse, InputType, embedding_service_client::EmbeddingServiceClient,
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

    let mut client = EmbeddingServiceClient::connect(format!("http://{address}")).await?;
    let mut out = io::stdout();
    show(&mut client, &mut out).await?;
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
    drop(client);
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

async fn show(client: &mut Client, out: &mut impl Write) -> anyhow::Result<()> {
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
        for (score, text) in ranked(&reply, &documents).into_iter().take(SHOWN) {
            writeln!(out, "    {score:.2}  {text}")?;
        }
        writeln!(out)?;
    }
    let (_, query_again) = embed(client, &[texts::QUERIES[0]], InputType::Query).await?;

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
fn ranked(query: &EmbedResponse, documents: &EmbedResponse) -> Vec<(f32, &'static str)> {
    let query =
        query.embeddings.first().map(crate::grpc::wire::Embedding::floats).unwrap_or_default();
    let mut ranked: Vec<(f32, &'static str)> = documents
        .embeddings
        .iter()
        .zip(texts::TEXTS)
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
  grpcurl -plaintext {address} list
  grpcurl -plaintext {address} describe voyage.gateway.v1.EmbedRequest
  curl http://{admin}/metrics

The status page, in a browser:
  http://{admin}/"#
    )
}
