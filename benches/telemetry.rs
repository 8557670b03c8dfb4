//! The cost of telemetry: CPU of one cached text through the whole gateway in process, with telemetry on and off.
//!
//! `Edge::serve` is called as a connection would, with a prepared message and no socket; the reply is read to its
//! trailers. CPU is the time of the one thread that does it all. On and off take turns, and the difference is taken
//! within a round. Ends with status 1 when the bar is missed. See `README.md` beside this.

#![expect(clippy::print_stdout, reason = "its purpose is its output")]

#[path = "load/stats.rs"]
#[allow(dead_code, reason = "the load bench has percentiles, too")]
mod stats;

use std::sync::Arc;

use anyhow::Context as _;
use bytes::{BufMut as _, Bytes, BytesMut};
use clap::Parser;
use futures_util::future::BoxFuture;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{BatchSpanProcessor, SpanData, SpanExporter},
};
use prost::Message as _;
use rustix::time::{ClockId, clock_gettime};
use tonic::body::Body;
use voyage_gateway::{
    app,
    config::Config,
    error::Error,
    grpc::{Edge, v1::EmbedRequest},
    item::{Answer, Input, Parameters, Usage, Vector},
    secret::Secret,
    telemetry::{
        Metrics, Telemetry,
        trace::{Span, Tracer, parent_based},
    },
    upstream::{ApiKey, Reply, Upstream},
};

use stats::Spread;

/// The bar: microseconds of CPU an RPC.
const BAR: f64 = 1.5;

/// Bytes of a vector of 1,024 floats.
const VECTOR_BYTES: usize = 4096;

/// CPU of telemetry, on against off, in interleaved rounds.
#[derive(Debug, Parser)]
struct Options {
    /// Rounds of each; the median counts.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(9..))]
    rounds: u32,
    /// Calls in a round.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    calls: u32,
    /// Set by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    // Everything on this thread, so that its clock sees everything.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(&options))
}

async fn run(options: &Options) -> anyhow::Result<()> {
    let (on, off) = (gateway(&telemetry(true)?).await?, gateway(&telemetry(false)?).await?);
    let body = message();
    for edge in [&on, &off] {
        // Fills the cache, and warms everything else up.
        cpu_per_call(edge, &body, options.calls).await?;
    }
    let (mut with, mut without, mut cost) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..options.rounds {
        // The second run finds the CPU caches that the first has filled.
        let (first, second) = if round % 2 == 0 { (&on, &off) } else { (&off, &on) };
        let first = cpu_per_call(first, &body, options.calls).await?;
        let second = cpu_per_call(second, &body, options.calls).await?;
        let (on, off) = if round % 2 == 0 { (first, second) } else { (second, first) };
        println!("{}", serde_json::json!({ "round": round, "on_us": on, "off_us": off }));
        with.push(on);
        without.push(off);
        cost.push(on - off);
    }
    let cost = Spread::of(cost);
    println!("on    {} µs an RPC", Spread::of(with));
    println!("off   {} µs an RPC", Spread::of(without));
    println!("cost  {cost} µs an RPC (≤ {BAR})");
    anyhow::ensure!(cost.median <= BAR, "telemetry costs more than {BAR} µs an RPC");
    Ok(())
}

/// Returns the telemetry of a gateway as it is shipped, with one trace in a hundred recorded and exported to nowhere; or
/// none.
fn telemetry(on: bool) -> anyhow::Result<Telemetry> {
    if !on {
        return Ok(Metrics::off().into());
    }
    let sink = BatchSpanProcessor::builder(Nowhere).build();
    let tracer = Tracer::new(parent_based(0.01), sink);
    Ok(Telemetry { metrics: Metrics::new()?, tracer })
}

/// Takes spans and forgets them.
#[derive(Debug)]
struct Nowhere;

impl SpanExporter for Nowhere {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        Ok(())
    }
}

/// Builds the whole gateway with a fake upstream, and returns its service.
async fn gateway(telemetry: &Telemetry) -> anyhow::Result<Edge> {
    let mut config = Config::default();
    config.server.listen.set_port(0);
    config.admin.listen.set_port(0);
    let parts = app::Parts {
        telemetry: Some(telemetry.clone()),
        upstream: Some(Arc::new(Stand)),
        ..app::Parts::default()
    };
    let bound = app::build(&config, Secret::new("a-key-without-use"), parts).await?;
    Ok(bound.edge())
}

/// Makes so many calls, one after the other, and returns the CPU time of one in microseconds.
async fn cpu_per_call(edge: &Edge, body: &Bytes, calls: u32) -> anyhow::Result<f64> {
    let before = cpu_micros();
    for _ in 0..calls {
        call(edge, body.clone()).await?;
    }
    Ok((cpu_micros() - before) / f64::from(calls))
}

async fn call(edge: &Edge, body: Bytes) -> anyhow::Result<()> {
    let request = Request::post("http://gateway/voyage.gateway.v1.EmbeddingService/Embed")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "bench")
        .body(Body::new(Full::new(body)))?;
    let reply = edge.clone().serve(request).await.into_body().collect().await;
    let reply = reply.map_err(|status| anyhow::anyhow!("{status}"))?;
    let status = reply.trailers().and_then(|trailers| trailers.get("grpc-status"));
    anyhow::ensure!(status.context("a grpc-status")? == "0", "{status:?}");
    anyhow::ensure!(reply.to_bytes().len() > VECTOR_BYTES, "a short reply");
    Ok(())
}

/// Returns the time this thread has been on a core.
fn cpu_micros() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "a bench's seconds are few")]
    let (seconds, nanos) = (time.tv_sec as f64, time.tv_nsec as f64);
    seconds * 1e6 + nanos / 1e3
}

/// Returns a framed request of one text of 200 bytes.
fn message() -> Bytes {
    let request = EmbedRequest { inputs: vec!["a text ".repeat(29)], ..Default::default() };
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(request.encoded_len()).unwrap_or(u32::MAX));
    bytes.extend_from_slice(&request.encode_to_vec());
    bytes.freeze()
}

/// Answers at once with vectors of zeros.
struct Stand;

impl Upstream for Stand {
    fn call<'a>(
        &'a self,
        _key: &'a ApiKey,
        _parameters: &'a Parameters,
        inputs: &'a [&'a Input],
        _span: &'a mut Span,
    ) -> BoxFuture<'a, Result<Reply, Error>> {
        let vector = Vector::new(Bytes::from_static(&[0; VECTOR_BYTES]));
        let answers = vec![Answer::Vector(vector); inputs.len()];
        let reply =
            Reply { answers, usage: Some(Usage::of_tokens(50)), request_id: None, warning: None };
        Box::pin(std::future::ready(Ok(reply)))
    }
}
