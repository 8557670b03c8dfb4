//! Who calls: the authenticator, and what keeps it up to date.

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

/// How long the start waits for the keys of callers' tokens. They come later as well: the port must not stay
/// shut because an issuer hangs.
const FIRST_LOOK: Duration = Duration::from_secs(3);

/// Builds the authenticator, and returns the files that are to be looked at again and again beside it.
pub(super) async fn build(
    config: &Config,
    metrics: &Metrics,
) -> Result<(Authenticator, Vec<Arc<dyn Reload>>), LoadError> {
    let document = document(config, metrics)?;
    let mut files = document.as_ref().map(Document::files).unwrap_or_default();
    let authenticator = Authenticator::new(config, document.map(fetch), metrics)?;
    files.extend(authenticator.file());
    if let Some(keys) = authenticator.fetched_keys() {
        // So that a replica that is let in has them.
        let _ = timeout(FIRST_LOOK, keys.refresh()).await;
    }
    Ok((authenticator, files))
}

/// The JWK set, if it is to be fetched.
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
