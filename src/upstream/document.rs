//! A small document that others serve, such as the keys that callers' tokens are signed with.

use std::{path::PathBuf, sync::Arc, time::Duration};

use http::{HeaderValue, StatusCode, header};
use reqwest::{Certificate, Url};

use super::client::{self, Body};
use crate::{
    reload::{Live, LoadError, Reload},
    telemetry::Metrics,
};

/// How long a fetch may take, from connecting to the last byte.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes a document may have.
const MAX_BYTES: usize = 1024 * 1024;

/// A document at a URL, and what it takes to get it.
#[derive(Clone, Debug)]
pub struct Document {
    url: String,
    /// The only CAs the server may be certified by; `None`: those of the system.
    authorities: Option<Arc<Live<Vec<Certificate>>>>,
    /// The credential the server wants.
    authorization: Option<Arc<Live<HeaderValue>>>,
}

/// Tells whether a document may be fetched from a URL: over `https`, or from this host. Whoever could change it on the
/// way could say who calls.
pub fn may_fetch(url: &str) -> bool {
    let is_clean = !url.contains(|c: char| c.is_whitespace() || c.is_control());
    is_clean
        && Url::parse(url).is_ok_and(|parsed| {
            let is_safe = match parsed.scheme() {
                "https" => parsed.has_host(),
                "http" => client::is_loopback(url),
                _ => false,
            };
            is_safe
                && parsed.username().is_empty()
                && parsed.password().is_none()
                && parsed.fragment().is_none()
        })
}

impl Document {
    /// Names a document; fetches nothing yet.
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), authorities: None, authorization: None }
    }

    /// Trusts no CAs but those of a PEM file; `what` is the setting that names it.
    pub fn trusting(
        mut self,
        what: &'static str,
        file: PathBuf,
        metrics: &Metrics,
    ) -> Result<Self, LoadError> {
        self.authorities =
            Some(Live::load(what, vec![file], metrics.clone(), |pem| authorities(&pem.concat()))?);
        Ok(self)
    }

    /// Shows the server the bearer token of a file; `what` is the setting that names it.
    pub fn showing(
        mut self,
        what: &'static str,
        file: PathBuf,
        metrics: &Metrics,
    ) -> Result<Self, LoadError> {
        self.authorization =
            Some(Live::load(what, vec![file], metrics.clone(), |token| bearer(&token.concat()))?);
        Ok(self)
    }

    /// Returns the files that are to be looked at again and again.
    pub fn files(&self) -> Vec<Arc<dyn Reload>> {
        let authorities = self.authorities.iter().map(|file| Arc::clone(file) as Arc<dyn Reload>);
        let authorization = self.authorization.iter().map(|file| Arc::clone(file) as _);
        authorities.chain(authorization).collect()
    }

    /// Gets the document, or says why not, without the URL and the credential.
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
        match client::read(&mut response, MAX_BYTES).await.map_err(failed)? {
            Body::Whole(body) => Ok(body),
            Body::Cut(_) => Err(format!("it is larger than {MAX_BYTES} bytes")),
        }
    }

    /// A client for one fetch: there are few, and the CAs may have changed since the last.
    fn client(&self) -> reqwest::Result<reqwest::Client> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("voyage-gateway/", env!("CARGO_PKG_VERSION")))
            .timeout(TIMEOUT)
            // What is fetched is trusted: it must come from where the operators said.
            .redirect(reqwest::redirect::Policy::none());
        if let Some(authorities) = &self.authorities {
            builder = builder.tls_certs_only(authorities.get().iter().cloned());
        }
        // A CA or a credential of its own belongs to a server inside, which a proxy on the way out does not reach.
        let inside = self.authorities.is_some() || self.authorization.is_some();
        if inside || client::is_loopback(&self.url) {
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
