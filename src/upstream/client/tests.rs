//! One HTTP request, against scripted servers.

mod failure;
mod reply;
mod request;
mod server;
mod tls;

use std::sync::Arc;

use super::*;
use crate::{
    item::{Answer, Endpoint, TextParameters, Usage, VectorParameters},
    secret::Secret,
    telemetry::trace::TraceContext,
    units::TimeSpan,
    upstream::KeySources,
};
use server::{End, Server};

const KEY: &str = "pa-canary-of-the-client";

/// One vector of the float 1.0, and 8 tokens.
const BODY: &str = r#"{"data":[{"embedding":"AACAPw==","index":0}],"usage":{"total_tokens":8}}"#;

fn config(base_url: &str) -> Config {
    Config {
        base_url: Some(base_url.to_owned()),
        attempt_timeout: TimeSpan::from_secs(20),
        ..Config::default()
    }
}

fn client(config: &Config) -> Client {
    client_with(config, &Metrics::new().unwrap())
}

fn client_with(config: &Config, metrics: &Metrics) -> Client {
    Client::new(config, keys(KEY), metrics.clone()).unwrap()
}

fn keys(key: &str) -> ApiKeys {
    KeySources::from(Secret::new(key)).load(&Metrics::new().unwrap()).unwrap()
}

/// Requests the vector of one text, of one float.
async fn ask(client: &Client) -> Result<Reply, Error> {
    let parameters = Parameters::texts(
        "model-of-tomorrow",
        TextParameters {
            vector: VectorParameters { dimension: Some(1), ..VectorParameters::default() },
            truncation: true,
        },
    );
    let key = client.keys.members().next().unwrap().key();
    let mut span = TraceContext::none().call("POST");
    client.call(&key, &parameters, &[&Input::Text("hi".to_owned())], &mut span).await
}

/// The result of a call to a server.
async fn failure(config: &Config) -> Arc<Failure> {
    match ask(&client(config)).await {
        Err(Error::Upstream(upstream)) => upstream,
        other => panic!("expected a failure, not {other:?}"),
    }
}

fn http(head: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}
