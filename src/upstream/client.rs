//! One HTTP request to Voyage.

use std::{
    error::Error as StdError,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::{StatusCode, header};

use super::{
    ApiKey, ApiKeys, Config, Reply, Upstream,
    body::RequestBody,
    classify, url,
    wire::{self, EncodingArgument},
};
use crate::{
    error::{BadResponse, Error, Fault, Upstream as Failure},
    item::{Endpoint, Input, Parameters},
    telemetry::{Metrics, Replied, semconv, trace::Span},
};

/// How long an idle connection is kept: less than a load balancer's usual timeout, which could break a request.
const POOL_IDLE: Duration = Duration::from_secs(20);

/// The largest buffer, in bytes, allocated before the first byte of a body arrives.
const MAX_CAPACITY: usize = 8 * 1024 * 1024;

/// The bytes read of an error body: a sentence of JSON, or a page of HTML.
const MAX_ERROR_BODY: usize = 16 * 1024;

/// A client of Voyage's HTTP API; each call names its key.
pub struct Client {
    http: reqwest::Client,
    config: Config,
    /// The whole pool, to remove its keys from the texts that are passed on.
    keys: ApiKeys,
    metrics: Metrics,
    /// Whether requests carry a `traceparent` header.
    has_traceparent: bool,
    /// Whether Voyage's host, and Atlas', refused `upstream.multimodal_encoding_argument`.
    refused_argument: [AtomicBool; 2],
}

/// What one attempt sends.
#[derive(Clone, Copy)]
struct Attempt<'a> {
    key: &'a ApiKey,
    parameters: &'a Parameters,
    inputs: &'a [&'a Input],
    argument: EncodingArgument,
}

/// The client cannot be built: no certificate store, or another failure of the TLS set-up.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the HTTPS client (a CA store or SSL_CERT_FILE is required): {0}")]
pub struct BuildError(#[source] reqwest::Error);

impl Client {
    /// Builds a client without connecting.
    pub fn new(config: &Config, keys: ApiKeys, metrics: Metrics) -> Result<Self, BuildError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("voyage-gateway/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(config.connect_timeout.get())
            .timeout(config.attempt_timeout.get())
            .pool_idle_timeout(POOL_IDLE)
            // A redirect's target must not get the key.
            .redirect(reqwest::redirect::Policy::none())
            // A retry costs money: only the dispatch decides on it.
            .retry(reqwest::retry::never());
        if config.base_url.as_deref().is_some_and(url::is_loopback) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(BuildError)?;
        let (config, refused_argument) = (config.clone(), Default::default());
        Ok(Self { http, config, keys, metrics, has_traceparent: false, refused_argument })
    }

    /// Sets whether requests carry a `traceparent` header.
    #[must_use]
    pub fn with_traceparent(self, has_traceparent: bool) -> Self {
        Self { has_traceparent, ..self }
    }

    /// Returns the base URL for a key, which holds no secret.
    pub fn base_url(&self, key: &ApiKey) -> &str {
        self.config.base_url_for(key)
    }

    /// Returns the argument that requests base64 of multimodal models.
    fn encoding_argument(&self, key: &ApiKey) -> EncodingArgument {
        let argument = self.config.multimodal_encoding_argument;
        let is_refused = self.refused_argument[usize::from(key.is_atlas())].load(Ordering::Relaxed);
        if is_refused { argument.other() } else { argument }
    }

    /// Remembers for the key's host that the configured argument is unknown; returns the other one, which is used from
    /// now on. `None`: it was refused as well.
    fn other_argument(&self, key: &ApiKey, refused: EncodingArgument) -> Option<EncodingArgument> {
        let argument = self.config.multimodal_encoding_argument;
        if refused != argument {
            return None;
        }
        if !self.refused_argument[usize::from(key.is_atlas())].swap(true, Ordering::Relaxed) {
            let (refused, used) = (refused.as_str(), argument.other().as_str());
            tracing::warn!(
                refused,
                used,
                "upstream.multimodal_encoding_argument is unknown to Voyage; the other name is used"
            );
        }
        Some(argument.other())
    }

    /// Makes one attempt and counts it.
    async fn attempt(&self, attempt: Attempt<'_>, span: &mut Span) -> Result<Reply, Arc<Failure>> {
        let started = tokio::time::Instant::now();
        let result = self.exchange(attempt, span).await;
        let status = match &result {
            Ok(_) => Some(StatusCode::OK),
            Err(failure) => failure.status.and_then(|code| StatusCode::from_u16(code).ok()),
        };
        self.metrics.upstream_call(attempt.parameters, status, started.elapsed());
        result
    }

    async fn send(
        &self,
        key: &ApiKey,
        url: String,
        body: RequestBody,
        span: &mut Span,
    ) -> Result<reqwest::Response, Fault> {
        describe(span, &url);
        let mut request = self
            .http
            .post(url)
            .header(header::AUTHORIZATION, key.authorization())
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.into_reqwest());
        if self.has_traceparent {
            request = request.header("traceparent", span.context().traceparent());
        }
        let sent = request.send().await.inspect_err(log_cause);
        sent.map_err(|error| classify::from_request(&error))
    }

    async fn exchange(&self, attempt: Attempt<'_>, span: &mut Span) -> Result<Reply, Arc<Failure>> {
        let Attempt { key, parameters, inputs, argument } = attempt;
        let base_url = self.base_url(key);
        let scrub = |text: &str| self.keys.scrub(text, key);
        let failure = |fault| Failure::new(fault, parameters, Arc::clone(key.alias()));
        let body =
            wire::encode(parameters, inputs, argument).ok_or_else(|| failure(Fault::Protocol))?;
        let request_bytes = body.len();
        let address = format!("{base_url}{}", parameters.endpoint().path());
        let mut response = self.send(key, address, body, span).await.map_err(failure)?;

        let status = response.status();
        span.count(semconv::HTTP_RESPONSE_STATUS_CODE, status.as_u16().into());
        let request_id = header(&response, "x-request-id", &scrub);
        let answered = |fault| {
            let (status, request_id) = (Some(status.as_u16()), request_id.clone());
            Failure { status, request_id, ..failure(fault) }
        };
        if status != StatusCode::OK {
            // The status decides; the body only explains it.
            let mut body = read(&mut response, MAX_ERROR_BODY).await.unwrap_or_default();
            body.truncate(MAX_ERROR_BODY);
            let refusal = classify::Refusal {
                endpoint: parameters.endpoint(),
                status,
                headers: response.headers(),
                body: &body,
                request_bytes,
                base_url,
                scrub: &scrub,
            };
            return Err(answered(classify::from_reply(&refusal)).into());
        }

        let limit = wire::max_reply_bytes(parameters, inputs);
        let body = read(&mut response, limit).await.inspect_err(log_cause);
        let body = body.map_err(|error| answered(classify::from_transport(&error)))?;
        if body.len() > limit {
            return Err(answered(Fault::BadResponse(BadResponse::TOO_LONG)).into());
        }
        let wire::Decoded { answers, usage } =
            wire::decode(parameters, inputs, &body).map_err(|bad| {
                let tokens = self.waste(&body, parameters);
                Failure { tokens, ..answered(Fault::BadResponse(bad)) }
            })?;
        let warning = header(&response, "x-api-warning", &scrub);
        Ok(Reply { answers, usage, request_id, warning })
    }

    /// Counts and returns the tokens of an unusable reply, which no caller is billed for.
    fn waste(&self, body: &[u8], parameters: &Parameters) -> u64 {
        let usage = wire::reported_usage(body).unwrap_or_default();
        self.metrics.tokens(usage.tokens, None);
        self.metrics.replied(&parameters.model, Replied::Reported(usage));
        usage.tokens
    }
}

/// Records an attempt's address in its span.
fn describe(span: &mut Span, url: &str) {
    if !span.is_recorded() {
        return;
    }
    if let Ok(url) = reqwest::Url::parse(url) {
        if let Some(host) = url.host_str() {
            span.set(semconv::SERVER_ADDRESS, host.trim_matches(['[', ']']).to_owned());
        }
        if let Some(port) = url.port_or_known_default() {
            span.count(semconv::SERVER_PORT, port.into());
        }
    }
    span.set(semconv::URL_FULL, url.to_owned());
}

/// Reads a header that is passed on to callers.
fn header(
    response: &reqwest::Response,
    name: &str,
    scrub: &dyn Fn(&str) -> String,
) -> Option<Arc<str>> {
    let text = response.headers().get(name)?.to_str().ok()?;
    Some(classify::presentable(text, scrub).into())
}

impl Upstream for Client {
    fn call<'a>(
        &'a self,
        key: &'a ApiKey,
        parameters: &'a Parameters,
        inputs: &'a [&'a Input],
        span: &'a mut Span,
    ) -> BoxFuture<'a, Result<Reply, Error>> {
        Box::pin(async move {
            let argument = self.encoding_argument(key);
            let attempt = Attempt { key, parameters, inputs, argument };
            let mut result = self.attempt(attempt, span).await;
            if let Err(failure) = &result
                && parameters.endpoint() == Endpoint::Multimodal
                && is_unknown(argument, failure)
                && let Some(argument) = self.other_argument(key, argument)
            {
                // The refused request cost nothing.
                result = self.attempt(Attempt { argument, ..attempt }, span).await;
            }
            result.map_err(Error::Upstream)
        })
    }
}

/// Returns whether Voyage does not know the argument.
fn is_unknown(argument: EncodingArgument, failure: &Failure) -> bool {
    let text = format!("Argument '{}' is not supported", argument.as_str());
    matches!(&failure.fault, Fault::InvalidRequest { detail: Some(detail), .. } if detail.contains(&text))
}

/// Logs the cause of a missing or incomplete answer: callers get only the kind of failure, and operators need to know
/// whether it was a name, a port or a certificate.
fn log_cause(error: &reqwest::Error) {
    tracing::warn!(cause = causes(error), "no answer from Voyage");
}

/// Returns an error's message with those of its causes.
pub(super) fn causes(error: &reqwest::Error) -> String {
    let first: &dyn StdError = error;
    let causes = std::iter::successors(Some(first), |&cause| cause.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Reads a body of at most `limit` bytes; of a longer one, `limit + 1`.
pub(super) async fn read(
    response: &mut reqwest::Response,
    limit: usize,
) -> reqwest::Result<Vec<u8>> {
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok());
    // The announced length may be wrong: the buffer of a large body grows with it.
    let mut body = Vec::with_capacity(announced.unwrap_or_default().min(limit).min(MAX_CAPACITY));
    while let Some(chunk) = response.chunk().await? {
        let wanted = chunk.len().min(limit + 1 - body.len());
        body.extend_from_slice(&chunk[..wanted]);
        if body.len() > limit {
            break;
        }
    }
    Ok(body)
}

/// Shows the base URL; keys are unprintable.
impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("base_url", &self.config.base_url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
