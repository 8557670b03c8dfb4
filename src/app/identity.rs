//! Builds the authenticator.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use crate::{
    grpc::{
        Authenticator,
        auth::{AuthMode, Config, Fetch},
    },
    reload::{LoadError, Reload},
    telemetry::Metrics,
    upstream::Document,
};

/// The longest wait for the JWKS at the start. A hung issuer must not keep the port closed.
const FIRST_FETCH: Duration = Duration::from_secs(3);

/// Builds the authenticator. Returns the files to reload as well.
pub(super) async fn build(
    config: &Config,
    metrics: &Metrics,
) -> Result<(Authenticator, Vec<Arc<dyn Reload>>), LoadError> {
    let document = document(config, metrics)?;
    let mut files = document.as_ref().map(Document::files).unwrap_or_default();
    let authenticator = Authenticator::new(config, document.map(fetch), metrics)?;
    files.extend(authenticator.file());
    if let Some(keys) = authenticator.fetched_keys() {
        let _ = timeout(FIRST_FETCH, keys.refresh()).await;
    }
    Ok((authenticator, files))
}

/// Returns the JWKS document, if it is fetched.
fn document(config: &Config, metrics: &Metrics) -> Result<Option<Document>, LoadError> {
    let jwt = &config.jwt;
    let Some(url) = jwt.jwks_url.as_ref().filter(|_| config.mode == Some(AuthMode::Jwt)) else {
        return Ok(None);
    };
    let mut document = Document::new(url);
    if let Some(file) = &jwt.jwks_ca_file {
        document = document.with_ca("auth.jwt.jwks_ca_file", file.clone(), metrics)?;
    }
    if let Some(file) = &jwt.jwks_token_file {
        document = document.with_bearer_file("auth.jwt.jwks_token_file", file.clone(), metrics)?;
    }
    Ok(Some(document))
}

fn fetch(document: Document) -> Fetch {
    Box::new(move || {
        let document = document.clone();
        Box::pin(async move { document.fetch().await })
    })
}
