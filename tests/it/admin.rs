//! The admin port: the status page, probes, metrics and health, over HTTP/1.1 and gRPC on one port.

mod status;

use tonic::{Code, transport::Channel};
use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, health_client::HealthClient},
};
use voyage_gateway::{
    grpc::{SERVICES, v1::EmbedRequest},
    simulator::{Fault, count_tokens},
    units::TimeSpan,
};

use crate::support::{Gateway, assert_vectors, connect, eventually, partial, sample, texts};

const EMBED: (&str, &str) = ("rpc_method", "voyage.gateway.v1.EmbeddingService/Embed");

/// Returns a service's health, or the code of the refusal if there is no such service.
async fn health(channel: &Channel, service: &str) -> Result<i32, Code> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let reply = HealthClient::new(channel.clone()).check(request).await;
    reply.map(|reply| reply.into_inner().status).map_err(|status| status.code())
}

const SERVING: Result<i32, Code> = Ok(ServingStatus::Serving as i32);
const NOT_SERVING: Result<i32, Code> = Ok(ServingStatus::NotServing as i32);

#[tokio::test]
async fn probes_are_answered() {
    let gateway = Gateway::start().await;
    assert_eq!(gateway.page("GET", "/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(gateway.page("GET", "/readyz").await, (200, "ok\n".to_owned()));
    assert_eq!(gateway.page("HEAD", "/readyz").await, (200, String::new()));
    assert_eq!(gateway.page("GET", "/debug").await.0, 404);
}

#[tokio::test]
async fn the_port_only_reads() {
    let gateway = Gateway::start().await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        for path in ["/livez", "/metrics", "/elsewhere"] {
            assert_eq!(gateway.page(method, path).await.0, 405, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn health_is_served_on_both_ports() {
    let gateway = Gateway::start().await;
    for port in [gateway.grpc(), gateway.admin()] {
        let channel = connect(port).await;
        for service in ["", "liveness", "readiness"].into_iter().chain(SERVICES) {
            assert_eq!(health(&channel, service).await, SERVING, "{service}");
        }
        assert_eq!(health(&channel, "no.such.Service").await, Err(Code::NotFound));
    }
}

#[tokio::test]
async fn embedding_is_not_served_on_the_admin_port() {
    let gateway = Gateway::start().await;
    let mut client =
        voyage_gateway::grpc::v1::embedding_service_client::EmbeddingServiceClient::new(
            connect(gateway.admin()).await,
        );
    let status = client.embed(texts(&["a text"])).await.err().unwrap();
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(gateway.simulator().calls().len(), 0);
}

#[tokio::test]
async fn readiness_does_not_depend_on_voyage() {
    let gateway = Gateway::start().await;
    for status in [401, 403, 429, 500] {
        gateway.simulator().script().clear();
        gateway.simulator().script().always(Fault::status(status));
        assert!(gateway.embed(texts(&["a text"])).await.is_err());
        assert_eq!(gateway.page("GET", "/readyz").await.0, 200, "{status}");
        assert_eq!(health(&gateway.channel().await, "").await, SERVING, "{status}");
    }
}

#[tokio::test]
async fn a_draining_replica_is_alive_not_ready_and_still_at_work() {
    // Longer than the test: it ends within the delay, while calls are still taken.
    let mut gateway =
        Gateway::holding(|config, _| config.drain.delay = TimeSpan::from_secs(600)).await;
    let channels = [gateway.channel().await, connect(gateway.admin()).await];
    let call = gateway.spawn(texts(&["in flight"])).await;
    gateway.until_calls(1).await;

    gateway.stop();
    eventually(async || gateway.page("GET", "/readyz").await.0 == 503).await;
    assert_eq!(gateway.page("GET", "/readyz").await.1, "draining\n");
    assert_eq!(gateway.page("GET", "/livez").await.0, 200);
    for channel in &channels {
        for service in ["", "readiness"].into_iter().chain(SERVICES) {
            eventually(async || health(channel, service).await == NOT_SERVING).await;
        }
        assert_eq!(health(channel, "liveness").await, SERVING);
    }

    gateway.release();
    assert_vectors(call.await.unwrap().unwrap().get_ref(), &["in flight"]);
    let late = gateway.embed(texts(&["late"])).await.unwrap();
    assert_vectors(late.get_ref(), &["late"]);
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let gateway = Gateway::start().await;
    gateway.embed(texts(&["a", "b", "a"])).await.unwrap();
    gateway.embed(partial(texts(&["a", "", "c"]))).await.unwrap();
    gateway.embed(EmbedRequest::default()).await.err().unwrap();
    gateway.simulator().script().next_calls(3, Fault::status(503));
    gateway.embed(texts(&["d"])).await.err().unwrap();

    let metrics = gateway.metrics().await;
    assert!(metrics.contains("service_name=\"voyage-gateway\""), "{metrics}");
    let rpcs = |code| {
        let labels = [EMBED, ("rpc_response_status_code", code)];
        sample(&metrics, "voyage_gateway_rpcs_total", &labels)
    };
    assert_eq!(rpcs("OK"), 2);
    assert_eq!(rpcs("INVALID_ARGUMENT"), 1);
    assert_eq!(rpcs("UNAVAILABLE"), 1);
    let lookups =
        |result| sample(&metrics, "voyage_gateway_cache_lookups_total", &[("result", result)]);
    assert_eq!((lookups("hit"), lookups("coalesced"), lookups("refused")), (1, 1, 1));
    // Also that of the call that failed.
    assert_eq!(lookups("miss"), 4);
    let calls = |status| {
        let labels = [("endpoint", "/embeddings"), ("model", "voyage-4"), ("status", status)];
        sample(&metrics, "voyage_gateway_upstream_calls_total", &labels)
    };
    assert_eq!((calls("200"), calls("503")), (2, 3));
    assert_eq!(sample(&metrics, "voyage_gateway_retries_total", &[]), 2);
    let timed = sample(&metrics, "voyage_gateway_upstream_duration_seconds_count", &[]);
    assert_eq!(timed, 5);
    let tokens: u64 = ["a", "b", "c"].map(count_tokens).iter().sum();
    let billed = sample(&metrics, "voyage_gateway_tokens_total", &[("billed_to", "anonymous")]);
    assert_eq!(billed, tokens);
    assert_eq!(sample(&metrics, "voyage_gateway_in_flight_requests", &[]), 0);
    eventually(async || sample(&gateway.metrics().await, "voyage_gateway_cache_entries", &[]) == 3)
        .await;
}

#[tokio::test]
async fn tokens_of_an_answer_that_is_none_are_counted_as_abandoned() {
    let gateway = Gateway::start().await;
    gateway.simulator().script().next_calls(1, Fault::WrongLength);
    gateway.embed(texts(&["a text"])).await.unwrap();
    let charged: u64 = gateway.simulator().calls().iter().map(|call| call.tokens).sum();
    let metrics = gateway.metrics().await;
    let tokens = |who| sample(&metrics, "voyage_gateway_tokens_total", &[("billed_to", who)]);
    assert!(tokens("abandoned") > 0);
    assert_eq!(tokens("abandoned") + tokens("anonymous"), charged);
}

#[tokio::test]
async fn a_call_its_caller_left_counts_as_cancelled() {
    let gateway = Gateway::holding(|_, _| ()).await;
    let call = gateway.spawn(texts(&["a text"])).await;
    gateway.until_calls(1).await;
    call.abort();
    let labels = [EMBED, ("rpc_response_status_code", "CANCELLED")];
    eventually(async || {
        sample(&gateway.metrics().await, "voyage_gateway_rpcs_total", &labels) == 1
    })
    .await;
}

#[tokio::test]
async fn no_name_a_caller_chooses_becomes_a_series() {
    let gateway = Gateway::start().await;
    let request = EmbedRequest { model: "chosen-by-caller".to_owned(), ..texts(&["some-text"]) };
    gateway.embed(request).await.err().unwrap();
    let mut unknown = tonic::client::Grpc::new(gateway.channel().await);
    unknown.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<EmbedRequest, EmbedRequest>::default();
    let path = http::uri::PathAndQuery::from_static("/chosen.by.Caller/Method");
    let call = unknown.unary(tonic::Request::new(EmbedRequest::default()), path, codec);
    assert_eq!(call.await.err().unwrap().code(), Code::Unimplemented);

    let metrics = gateway.metrics().await;
    for word in ["chosen", "some-text"] {
        assert!(!metrics.contains(word), "{word}");
    }
    let other = [("model", "_other"), ("status", "400")];
    assert_eq!(sample(&metrics, "voyage_gateway_upstream_calls_total", &other), 1);
    assert_eq!(sample(&metrics, "voyage_gateway_rpcs_total", &[("rpc_method", "_OTHER")]), 1);
}
