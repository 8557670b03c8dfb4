//! A small document of another server, such as the keys that sign callers' tokens.

use std::{path::PathBuf, sync::Arc, time::Duration};

use http::{HeaderValue, StatusCode, header};
use reqwest::Certificate;

use super::{client, url};
use crate::{
    reload::{Live, LoadError, Reload},
    telemetry::Metrics,
};

/// The longest time of a fetch, from connecting to the last byte.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The largest document, in bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// A document at a URL, with the settings of its requests.
#[derive(Clone, Debug)]
pub struct Document {
    url: String,
    /// The CAs that are trusted; `None`: those of the system.
    authorities: Option<Arc<Live<Vec<Certificate>>>>,
    /// The credential for the server.
    authorization: Option<Arc<Live<HeaderValue>>>,
}

/// Returns whether a document may be fetched from a URL: over `https`, or from this host. It decides which callers are
/// accepted, so it must not be changed on the way.
pub fn may_fetch(url: &str) -> bool {
    url::parse(url).is_some_and(|parsed| parsed.scheme() == "https" || url::is_loopback(url))
}

impl Document {
    /// Returns the document at `url` without fetching it.
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), authorities: None, authorization: None }
    }

    /// Trusts only the CAs of a PEM file; `what` is the setting that names it.
    pub fn with_ca(
        mut self,
        what: &'static str,
        file: PathBuf,
        metrics: &Metrics,
    ) -> Result<Self, LoadError> {
        self.authorities =
            Some(Live::load(what, vec![file], metrics.clone(), |pem| authorities(&pem.concat()))?);
        Ok(self)
    }

    /// Sends the bearer token of a file; `what` is the setting that names it.
    pub fn with_bearer_file(
        mut self,
        what: &'static str,
        file: PathBuf,
        metrics: &Metrics,
    ) -> Result<Self, LoadError> {
        self.authorization =
            Some(Live::load(what, vec![file], metrics.clone(), |token| bearer(&token.concat()))?);
        Ok(self)
    }

    /// Returns the files, to be reloaded from time to time.
    pub fn files(&self) -> Vec<Arc<dyn Reload>> {
        let authorities = self.authorities.iter().map(|file| Arc::clone(file) as Arc<dyn Reload>);
        let authorization = self.authorization.iter().map(|file| Arc::clone(file) as _);
        authorities.chain(authorization).collect()
    }

    /// Fetches the document. The error holds neither the URL nor the credential.
    pub async fn fetch(&self) -> Result<Vec<u8>, String> {
        let failed = |error: reqwest::Error| client::causes(&error.without_url());
        let mut request = self.client().map_err(failed)?.get(&self.url);
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, (*authorization.get()).clone());
        }
        let mut response = request.send().await.map_err(failed)?;
        if response.status() != StatusCode::OK {
            return Err(format!("the server answered {}", response.status().as_u16()));
        }
        let body = client::read(&mut response, MAX_BYTES).await.map_err(failed)?;
        if body.len() > MAX_BYTES {
            return Err(format!("larger than {MAX_BYTES} bytes"));
        }
        Ok(body)
    }

    /// Builds a client for one fetch: fetches are rare, and the CAs may have changed since the last.
    fn client(&self) -> reqwest::Result<reqwest::Client> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("voyage-gateway/", env!("CARGO_PKG_VERSION")))
            .timeout(TIMEOUT)
            // The document is trusted: it must come from the configured server.
            .redirect(reqwest::redirect::Policy::none());
        if let Some(authorities) = &self.authorities {
            builder = builder.tls_certs_only(authorities.get().iter().cloned());
        }
        // A server with its own CA or credential is inside the cluster, where a proxy for the way out does not reach.
        let inside = self.authorities.is_some() || self.authorization.is_some();
        if inside || url::is_loopback(&self.url) {
            builder = builder.no_proxy();
        }
        builder.build()
    }
}

fn authorities(pem: &[u8]) -> Result<Vec<Certificate>, String> {
    const FORM: &str = "expected certificates as PEM";
    match Certificate::from_pem_bundle(pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(FORM.to_owned()),
    }
}

fn bearer(token: &[u8]) -> Result<HeaderValue, String> {
    const FORM: &str = "expected a token of visible ASCII characters";
    let token = token.trim_ascii();
    if token.is_empty() || !token.iter().all(u8::is_ascii_graphic) {
        return Err(FORM.to_owned());
    }
    let mut value = HeaderValue::from_bytes(&[b"Bearer ", token].concat()).map_err(|_| FORM)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests;
