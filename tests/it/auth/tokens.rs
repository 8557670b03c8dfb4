//! `auth.mode = "tokens"`, and the rules of every mode.

use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};
use voyage_gateway::{
    app,
    grpc::{
        auth::{AuthMode, entry},
        v1::ListModelsRequest,
    },
    secret::Secret,
};

use super::*;
use crate::support::{KEY, assert_vectors};

/// Tokens as `openssl rand -base64 32` makes them.
pub(super) const SEARCH: &str = "n3q0Wm1bKcVw0s3a8pJ2yH5uTgXe9LrZfD4oQi7BvYk=";
pub(super) const INDEX: &str = "Zb7Rk2xQp9Lw4Tn8Yc1Vf6Hj3Md5Gs0Ae/uXiOoBtCE=";
pub(super) const STRANGER: &str = "q1W2e3R4t5Y6u7I8o9P0a1S2d3F4g5H6j7K8l9Z0x1c=";

pub(super) fn line(name: &str, token: &str) -> String {
    entry(name, token).expect("a strong token") + "\n"
}

/// Starts a gateway that knows `search` and `index`.
pub(super) async fn gateway(folder: &Folder) -> Gateway {
    let content = format!("# callers\n{}{}", line("search", SEARCH), line("index", INDEX));
    let file = folder.swap("tokens", &content);
    Gateway::with(|config, _| {
        look_often(config);
        config.auth.mode = Some(AuthMode::Tokens);
        config.auth.tokens_file = Some(file);
    })
    .await
}

#[tokio::test]
async fn callers_are_known_by_their_tokens_and_billed_by_their_names() {
    let folder = Folder::new();
    let gateway = gateway(&folder).await;
    let mut client = gateway.client().await;
    let reply = embed_as(&mut client, SEARCH, "one").await.unwrap();
    assert_vectors(reply.get_ref(), &["one"]);
    let search = billed(&gateway, "search").await;
    assert!(search > 0);
    assert_eq!(billed(&gateway, "index").await, 0);

    embed_as(&mut client, INDEX, "another, longer text").await.unwrap();
    assert!(billed(&gateway, "index").await > 0);
    assert_eq!(billed(&gateway, "search").await, search);
    assert_eq!(billed(&gateway, "anonymous").await, 0);
}

#[tokio::test]
async fn other_credentials_are_refused_and_nothing_is_spent() {
    let folder = Folder::new();
    let gateway = gateway(&folder).await;
    assert_refused(&gateway, &[], "tokens", "missing").await;
    let unknown = format!("Bearer {STRANGER}");
    assert_refused(&gateway, &[&unknown], "tokens", "unknown_token").await;
    // Near misses.
    for token in [&SEARCH[1..], &SEARCH[..43], &SEARCH.to_lowercase()] {
        assert_refused(&gateway, &[&format!("Bearer {token}")], "tokens", "unknown_token").await;
    }
    let good = format!("Bearer {SEARCH}");
    let too_long = format!("Bearer {}", "t".repeat(8 * 1024 + 1));
    for headers in [
        &[&*good, &*good][..],
        &[&*good, &*unknown],
        &["Bearer"],
        &["Bearer "],
        &["Basic c2VhcmNoOnNlY3JldA=="],
        &[SEARCH],
        &[&*format!("{good} {SEARCH}")],
        &[&*too_long],
    ] {
        assert_refused(&gateway, headers, "tokens", "malformed").await;
    }
    // The entry in the file is no token.
    let entry = line("search", SEARCH);
    let hash = entry.trim().rsplit(':').next().unwrap();
    assert_refused(&gateway, &[&format!("Bearer {hash}")], "tokens", "unknown_token").await;
    assert_costs_nothing(&gateway).await;
}

#[tokio::test]
async fn every_rpc_asks_but_health_and_reflection() {
    let folder = Folder::new();
    let gateway = gateway(&folder).await;
    let status = gateway.models().await.list_models(ListModelsRequest::default()).await;
    assert_eq!(reason(&status.err().unwrap()), "CREDENTIALS_MISSING");

    let mut health = HealthClient::new(gateway.channel().await);
    health.check(HealthCheckRequest::default()).await.unwrap();
    let mut reflection = ServerReflectionClient::new(gateway.channel().await);
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut replies = reflection
        .server_reflection_info(futures_util::stream::iter([list]))
        .await
        .unwrap()
        .into_inner();
    assert!(replies.message().await.unwrap().is_some());
}

#[tokio::test]
async fn a_missing_credential_says_what_to_send() {
    let folder = Folder::new();
    let gateway = gateway(&folder).await;
    let status = gateway.embed(texts(&["a text"])).await.err().unwrap();
    assert!(status.message().contains("authorization: Bearer TOKEN"), "{}", status.message());
}

#[tokio::test]
async fn a_credential_comes_before_the_fields() {
    let folder = Folder::new();
    let gateway = gateway(&folder).await;
    let status = gateway.embed(EmbedRequest::default()).await.err().unwrap();
    assert_eq!(reason(&status), "CREDENTIALS_MISSING");
    let good = format!("Bearer {SEARCH}");
    let mut client = gateway.client().await;
    let status = client.embed(call(EmbedRequest::default(), &[&good])).await.err().unwrap();
    assert_eq!(reason(&status), "INVALID_REQUEST");
}

#[tokio::test]
async fn an_open_gateway_asks_for_nothing_and_heeds_nothing() {
    let gateway = Gateway::with(|config, _| config.auth.mode = Some(AuthMode::None)).await;
    for (number, headers) in [&[][..], &["Bearer x"], &["Basic y", "Bearer z"]].iter().enumerate() {
        let request = call(texts(&[format!("text {number}")]), headers);
        gateway.client().await.embed(request).await.unwrap();
    }
    assert!(billed(&gateway, "anonymous").await > 0);
}

#[tokio::test]
async fn a_file_that_cannot_be_used_stops_the_start() {
    let folder = Folder::new();
    let mut config = Config::default();
    config.server.listen.set_port(0);
    config.admin.listen.set_port(0);
    config.auth.mode = Some(AuthMode::Tokens);
    config.auth.tokens_file = Some(folder.swap("tokens", "# callers\n\ncanary\n"));
    let reported = app::build(&config, Secret::new(KEY), app::Parts::default())
        .await
        .err()
        .unwrap()
        .to_string();
    let file = folder.path("tokens");
    let line = format!("auth.tokens_file: {}: line 3: expected NAME sha256:HEX", file.display());
    assert!(reported.starts_with(&line), "{reported}");
    assert!(!reported.contains("canary"));
}
