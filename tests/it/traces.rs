//! Traces of whole requests: parents, links, attributes, and secrets that no span may contain.

mod sink;
mod trouble;

use opentelemetry::trace::{SpanId, SpanKind, Status};
use tonic::{Code, Request};
use voyage_gateway::{
    grpc::v1::{CacheMode, EmbedRequest},
    telemetry::Metrics,
};

use crate::support::{
    Client, Gateway, KEY, assert_vectors, eventually, in_mode, numbered, sample, texts,
};
use sink::{Sink, assert_child, attribute, id, links, shape};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const EMBED: &str = "voyage.gateway.v1.EmbeddingService/Embed";

/// A request of a caller that records its trace, or does not.
fn from(sampled: bool, request: EmbedRequest) -> Request<EmbedRequest> {
    let mut request = Request::new(request);
    let parent = format!("00-{TRACE}-{PARENT}-{:02x}", u8::from(sampled));
    request.metadata_mut().insert("traceparent", parent.parse().unwrap());
    request
}

/// Embeds in the background; the caller records its trace, or does not.
fn spawn(client: &Client, sampled: bool, text: &str) -> tokio::task::JoinHandle<()> {
    let mut client = client.clone();
    let request = from(sampled, texts(&[text]));
    tokio::spawn(async move {
        client.embed(request).await.unwrap();
    })
}

#[tokio::test]
async fn a_request_is_one_tree_below_its_callers_span_and_its_batch_another() {
    let sink = Sink::default();
    // The caller's flag decides, whatever the ratio.
    let gateway = Gateway::telling(sink.telemetry(0.0), |_, _| ()).await;
    let mut client = gateway.client().await;
    let reply = client.embed(from(true, texts(&["a", "b", "a"]))).await.unwrap().into_inner();
    assert_vectors(&reply, &["a", "b", "a"]);

    let server = sink.only(EMBED).await;
    let (cache, wait) = (sink.only("cache").await, sink.only("wait").await);
    let (batch, attempt) = (sink.only("embeddings").await, sink.only("POST").await);
    assert_eq!(server.span_context.trace_id().to_string(), TRACE);
    assert_eq!(server.parent_span_id.to_string(), PARENT);
    assert!(server.parent_span_is_remote);
    assert_eq!(server.span_kind, SpanKind::Server);
    assert_child(&cache, &server, &SpanKind::Internal);
    assert_child(&wait, &server, &SpanKind::Internal);
    assert_eq!(links(&wait), [id(&batch)]);
    assert_eq!(links(&batch), [id(&server)]);
    assert_eq!(batch.parent_span_id, SpanId::INVALID);
    assert_ne!(batch.span_context.trace_id(), server.span_context.trace_id());
    assert_eq!((&*batch.name, &batch.span_kind), ("embeddings voyage-4", &SpanKind::Client));
    assert_child(&attempt, &batch, &SpanKind::Client);
    for part in sink.named("queue") {
        assert_child(&part, &wait, &SpanKind::Internal);
    }
    assert!(sink.named("limiter").is_empty(), "there was budget");
    let all = sink.all();
    assert!(all.iter().all(|span| span.span_context.is_sampled()));
    assert!(all.iter().all(|span| span.status == Status::Unset));
    assert!(gateway.simulator().calls()[0].headers.get("traceparent").is_none());
}

#[tokio::test]
async fn names_and_types_are_those_of_the_conventions() {
    let sink = Sink::default();
    let gateway = Gateway::telling(sink.telemetry(1.0), |_, _| ()).await;
    gateway.embed(texts(&["a", "b", "a"])).await.unwrap();
    let server = sink.only(EMBED).await;
    assert_eq!(
        shape(&server),
        [
            "network.peer.address string",
            "network.peer.port int",
            "rpc.method string",
            "rpc.response.status_code string",
            "rpc.system.name string",
            "server.address string",
            "server.port int",
            "voyage_gateway.caller string",
            "voyage_gateway.outcome string",
            "voyage_gateway.request_id string",
        ]
    );
    let of = |name| attribute(&server, name).unwrap();
    assert_eq!((of("rpc.system.name"), of("rpc.method")), ("grpc".to_owned(), EMBED.to_owned()));
    assert_eq!(
        (of("rpc.response.status_code"), of("voyage_gateway.outcome")),
        ("OK".to_owned(), "ok".to_owned())
    );
    assert_eq!(of("server.port"), gateway.grpc().port().to_string());
    assert_eq!(
        (of("server.address"), of("network.peer.address")),
        ("127.0.0.1".to_owned(), "127.0.0.1".to_owned())
    );

    let cache = sink.only("cache").await;
    let counts = ["inputs", "cache.hits", "cache.misses", "cache.coalesced"]
        .map(|name| attribute(&cache, &format!("voyage_gateway.{name}")).unwrap());
    assert_eq!(counts, ["3", "0", "2", "1"]);
    assert_eq!(attribute(&cache, "voyage_gateway.cache.mode").as_deref(), Some("read_write"));
    let wait = sink.only("wait").await;
    assert_eq!(
        shape(&wait),
        ["voyage_gateway.wait.limiter double", "voyage_gateway.wait.queue double"]
    );
}

#[tokio::test]
async fn names_and_types_of_calls_are_those_of_the_conventions() {
    let sink = Sink::default();
    let gateway = Gateway::telling(sink.telemetry(1.0), |_, _| ()).await;
    gateway.embed(texts(&["a", "b", "a"])).await.unwrap();
    let batch = sink.only("embeddings").await;
    assert_eq!(
        shape(&batch),
        [
            "gen_ai.embeddings.dimension.count int",
            "gen_ai.operation.name string",
            "gen_ai.provider.name string",
            "gen_ai.request.encoding_formats list",
            "gen_ai.request.model string",
            "gen_ai.usage.input_tokens int",
            "voyage_gateway.endpoint string",
            "voyage_gateway.inputs int",
            "voyage_gateway.upstream.requests int",
        ]
    );
    let of = |name| attribute(&batch, name).unwrap();
    assert_eq!(
        (of("gen_ai.operation.name"), of("gen_ai.provider.name")),
        ("embeddings".to_owned(), "voyageai".to_owned())
    );
    let reported = gateway.simulator().calls()[0].tokens;
    assert_eq!(of("gen_ai.usage.input_tokens"), reported.to_string());

    let attempt = sink.only("POST").await;
    assert_eq!(
        shape(&attempt),
        [
            "http.request.method string",
            "http.response.status_code int",
            "server.address string",
            "server.port int",
            "url.full string",
            "voyage_gateway.upstream.key string",
        ]
    );
    let url = format!("{}/embeddings", gateway.simulator().base_url());
    assert_eq!(attribute(&attempt, "url.full"), Some(url));
    assert_eq!(attribute(&attempt, "http.response.status_code").as_deref(), Some("200"));
}

#[tokio::test]
async fn a_batch_and_its_waiters_are_linked_both_ways() {
    let sink = Sink::default();
    let one_at_a_time = |config: &mut voyage_gateway::config::Config, _: &mut _| {
        config.batch.max_in_flight = 1;
    };
    let gateway = Gateway::telling_and_holding(sink.telemetry(0.0), one_at_a_time).await;
    let client = gateway.client().await;
    let blocker = spawn(&client, false, "blocker");
    gateway.until_calls(1).await;
    // These leave together: four recorded ones, two of them for one text, and one that is not recorded.
    let calls: Vec<_> = [("a", true), ("b", true), ("b", true), ("c", true), ("d", false)]
        .map(|(text, sampled)| spawn(&client, sampled, text))
        .into_iter()
        .collect();
    gateway.until_in_flight(6).await;
    gateway.release();
    blocker.await.unwrap();
    for call in calls {
        call.await.unwrap();
    }
    let servers = sink.until(EMBED, 4).await;
    let waits = sink.until("wait", 4).await;
    // The blocker's batch had no recorded request.
    let batch = sink.only("embeddings").await;
    let links = links(&batch);
    assert_eq!(links.len(), 5);
    let sampled: Vec<_> = batch.links.iter().map(|link| link.span_context.is_sampled()).collect();
    assert_eq!(sampled, [true, true, true, true, false], "recorded ones first");
    assert!(servers.iter().all(|server| links.contains(&id(server))));
    assert!(waits.iter().all(|wait| sink::links(wait) == [id(&batch)]));
    assert_eq!(attribute(&batch, "voyage_gateway.inputs").as_deref(), Some("4"));
    let page = gateway.metrics().await;
    for stage in ["queue", "limiter"] {
        let labels = [("stage", stage), ("model", "voyage-4")];
        assert_eq!(sample(&page, "voyage_gateway_queue_wait_seconds_count", &labels), 5);
    }
    let method = [("rpc_method", EMBED)];
    assert_eq!(sample(&page, "voyage_gateway_overhead_seconds_count", &method), 6);
}

#[tokio::test]
async fn of_200_waiters_a_batch_links_to_128_and_counts_72() {
    let sink = Sink::default();
    let gateway = Gateway::telling_and_holding(sink.telemetry(1.0), |config, _| {
        config.batch.max_in_flight = 1;
    })
    .await;
    let client = gateway.client().await;
    let blocker = tokio::spawn({
        let mut client = client.clone();
        async move { client.embed(in_mode(texts(&["blocker"]), CacheMode::Bypass)).await }
    });
    gateway.until_calls(1).await;
    let calls: Vec<_> = numbered(0..200)
        .into_iter()
        .map(|text| {
            let mut client = client.clone();
            tokio::spawn(async move { client.embed(texts(&[text])).await })
        })
        .collect();
    gateway.until_in_flight(201).await;
    gateway.release();
    blocker.await.unwrap().unwrap();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let batches = sink.until("embeddings", 2).await;
    let batch = batches.iter().find(|batch| links(batch).len() > 1).unwrap();
    assert_eq!((links(batch).len(), batch.links.dropped_count), (128, 72));
    assert_eq!(attribute(batch, "voyage_gateway.links.dropped").as_deref(), Some("72"));
    let waits = sink.until("wait", 201).await;
    assert_eq!(waits.iter().filter(|wait| links(wait) == [id(batch)]).count(), 200);
}

#[tokio::test]
async fn joiners_of_a_sent_batch_and_the_batch_are_linked_both_ways() {
    let sink = Sink::default();
    let gateway = Gateway::telling_and_holding(sink.telemetry(1.0), |_, _| ()).await;
    let client = gateway.client().await;
    let first = spawn(&client, true, "a");
    gateway.until_calls(1).await;
    let (second, leaver) = (spawn(&client, true, "a"), spawn(&client, true, "a"));
    gateway.until_in_flight(3).await;
    leaver.abort();
    // It gets no reply, and its spans end all the same.
    let left = sink.only("wait").await;
    gateway.release();
    first.await.unwrap();
    second.await.unwrap();
    let batch = sink.only("embeddings").await;
    assert_eq!(links(&left), [id(&batch)]);
    let servers = sink.until(EMBED, 3).await;
    assert!(servers.iter().all(|server| links(&batch).contains(&id(server))));
    let outcomes: Vec<_> =
        servers.iter().filter_map(|server| attribute(server, "voyage_gateway.outcome")).collect();
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "cancelled").count(), 1);
    assert_eq!(sink.until("wait", 3).await.len(), 3);
}

#[tokio::test]
async fn hits_wait_for_nothing() {
    let sink = Sink::default();
    let gateway = Gateway::telling(sink.telemetry(0.0), |_, _| ()).await;
    gateway.embed(texts(&["a"])).await.unwrap();
    gateway.client().await.embed(from(true, texts(&["a"]))).await.unwrap();
    sink.only(EMBED).await;
    let names: Vec<_> = sink.all().into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["cache", EMBED]);
    let cache = sink.only("cache").await;
    assert_eq!(attribute(&cache, "voyage_gateway.cache.hits").as_deref(), Some("1"));
}

#[tokio::test]
async fn without_a_tracer_or_a_sampled_flag_nothing_is_recorded() {
    let sink = Sink::default();
    let gateway = Gateway::telling(sink.telemetry(1.0), |_, _| ()).await;
    gateway.client().await.embed(from(false, texts(&["a"]))).await.unwrap();
    let off = Gateway::telling(Metrics::new().unwrap().into(), |config, _| {
        config.telemetry.propagate_to_voyage = true;
    })
    .await;
    off.client().await.embed(from(true, texts(&["a"]))).await.unwrap();
    let ended = [("rpc_method", EMBED)];
    for gateway in [&gateway, &off] {
        let page = async || gateway.metrics().await;
        eventually(async || sample(&page().await, "voyage_gateway_rpcs_total", &ended) == 1).await;
    }
    assert!(sink.all().is_empty());
    // The propagated trace is not sampled, and not the caller's.
    let told = off.simulator().calls()[0].headers["traceparent"].to_str().unwrap().to_owned();
    assert!(told.starts_with("00-") && told.ends_with("-00") && !told.contains(TRACE), "{told}");
}

#[tokio::test]
async fn the_attempts_span_is_propagated_to_voyage_if_enabled() {
    let sink = Sink::default();
    let gateway = Gateway::telling(sink.telemetry(1.0), |config, _| {
        config.telemetry.propagate_to_voyage = true;
    })
    .await;
    let mut request = from(true, texts(&["a"]));
    request.metadata_mut().insert("baggage", "user=somebody".parse().unwrap());
    gateway.client().await.embed(request).await.unwrap();
    let attempt = sink.only("POST").await;
    let headers = gateway.simulator().calls()[0].headers.clone();
    let (trace, span) = (attempt.span_context.trace_id(), id(&attempt));
    assert_eq!(headers["traceparent"], format!("00-{trace}-{span}-01").as_str());
    assert!(headers.get("baggage").is_none() && headers.get("tracestate").is_none());
}

#[tokio::test]
async fn no_span_has_a_text_a_key_or_a_credential() {
    let sink = Sink::default();
    let gateway = Gateway::telling(sink.telemetry(1.0), |_, _| ()).await;
    let canary = "a canary that is only in texts";
    let mut request = Request::new(texts(&[canary]));
    let credential = "Bearer a-canary-of-a-credential";
    request.metadata_mut().insert("authorization", credential.parse().unwrap());
    let mut client = gateway.client().await;
    client.embed(request).await.unwrap();
    gateway.simulator().script().next_calls(1, voyage_gateway::simulator::Fault::status(400));
    let refused = client.embed(texts(&["another canary"])).await.err().unwrap();
    assert_eq!(refused.code(), Code::InvalidArgument);
    sink.until(EMBED, 2).await;
    sink.until("embeddings", 2).await;
    let told = format!("{:?}", sink.all());
    for secret in ["canary", KEY, "Bearer"] {
        assert!(!told.contains(secret), "{secret}");
    }
}
