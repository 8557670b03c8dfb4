//! Authentication: each mode with real clients, the errors, and that refused calls cost nothing.

mod command;
mod issuer;
mod jwt;
mod rotation;
mod tokens;

use std::{fs, path::PathBuf};

use tonic::{Code, Request, Status, metadata::MetadataValue};
use voyage_gateway::{config::Config, grpc::v1::EmbedRequest, units::TimeSpan};

use crate::support::{Answer, Client, Gateway, details, reason, sample, texts};

/// A folder of a test's own, gone with it.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Puts a whole file in the place of another, as a rename does.
    pub(crate) fn swap(&self, name: &str, content: &str) -> PathBuf {
        let (path, next) = (self.path(name), self.path("next"));
        fs::write(&next, content).expect("a file");
        fs::rename(&next, &path).expect("its place");
        path
    }
}

/// Reloads changed files at the shortest interval.
fn look_often(config: &mut Config) {
    config.reload.interval = TimeSpan::from_millis(100);
}

/// A call with these `authorization` headers.
fn call(request: EmbedRequest, authorizations: &[&str]) -> Request<EmbedRequest> {
    let mut request = Request::new(request);
    for value in authorizations {
        let value: MetadataValue<_> = value.parse().expect("a header");
        request.metadata_mut().append("authorization", value);
    }
    request
}

/// Embeds a text with a token.
async fn embed_as(client: &mut Client, token: &str, text: &str) -> Answer {
    client.embed(call(texts(&[text]), &[&format!("Bearer {token}")])).await
}

/// Checks that a call is refused with the common error, and that the metric has the cause.
async fn assert_refused(gateway: &Gateway, authorizations: &[&str], mode: &str, why: &str) {
    let counted = async || {
        let labels = [("mode", mode), ("why", why)];
        sample(&gateway.metrics().await, "voyage_gateway_auth_failures_total", &labels)
    };
    let before = counted().await;
    let mut client = gateway.client().await;
    let status = client.embed(call(texts(&["a text"]), authorizations)).await.expect_err(why);
    let expected = if why == "missing" { "CREDENTIALS_MISSING" } else { "CREDENTIALS_INVALID" };
    assert_eq!((status.code(), &*reason(&status)), (Code::Unauthenticated, expected), "{why}");
    assert_reveals_nothing(&status, authorizations);
    assert_eq!(counted().await, before + 1, "{why}");
}

/// Checks that a status quotes no credential and gives no reason beyond its own.
fn assert_reveals_nothing(status: &Status, authorizations: &[&str]) {
    let shown = format!("{status:?}");
    for value in authorizations {
        let token = value.rsplit(' ').next().unwrap_or_default();
        assert!(token.len() < 8 || !shown.contains(token), "{shown}");
    }
    let details = details(status);
    let info = details.error_info().expect("a reason");
    assert_eq!(info.domain, "voyage-gateway");
    assert!(info.metadata.is_empty(), "{:?}", info.metadata);
    assert!(!status.metadata().contains_key("grpc-retry-pushback-ms"));
    if info.reason == "CREDENTIALS_INVALID" {
        assert_eq!(status.message(), "invalid authentication credential");
    }
}

/// Checks that nothing was spent.
async fn assert_costs_nothing(gateway: &Gateway) {
    assert_eq!(gateway.simulator().calls().len(), 0);
    let page = gateway.metrics().await;
    assert_eq!(sample(&page, "voyage_gateway_tokens_total", &[]), 0);
    assert_eq!(sample(&page, "voyage_gateway_cache_lookups_total", &[]), 0);
    assert_eq!(sample(&page, "voyage_gateway_shed_total", &[]), 0);
}

/// Returns the tokens billed to a caller.
async fn billed(gateway: &Gateway, name: &str) -> u64 {
    sample(&gateway.metrics().await, "voyage_gateway_tokens_total", &[("billed_to", name)])
}

/// Returns the number of loaded or refused files.
async fn reloads(gateway: &Gateway, what: &str, outcome: &str) -> u64 {
    let labels = [("what", what), ("outcome", outcome)];
    sample(&gateway.metrics().await, "voyage_gateway_reloads_total", &labels)
}
