//! The error table over real gRPC: Voyage's behaviour, the caller's status, and the state afterwards.
//!
//! [`table`] has Voyage's answers, row by row; [`transport`] failures of the connection to it; [`requests`] refusals of
//! the gateway itself, [`wire`] those before the message is decoded, and [`invalid_text`] texts that are not UTF-8.

mod invalid_text;
mod requests;
mod table;
mod transport;
mod wire;

use std::{collections::HashMap, ops::RangeInclusive, time::Duration};

use futures_util::stream::{self, StreamExt as _};
use tonic::{Code, Request, Status};
use voyage_gateway::{
    grpc::v1::{CacheStatus, RequestOptions},
    simulator::Fault,
};

use crate::support::{
    Client, Gateway, KEY, assert_vectors, details, fields, numbered, statuses, texts, with_options,
};

/// A part of every body that must not be passed on.
const NOT_FOR_CALLERS: &str = "words-from-a-body";

/// One row: a failure and its status.
struct Row {
    fault: Fault,
    code: Code,
    reason: &'static str,
    /// Texts in the request.
    inputs: usize,
    /// The range of `RetryInfo`.
    retry: Option<RangeInclusive<Duration>>,
    /// Attempts before this is the answer.
    attempts: usize,
    /// Whether the first attempt is resent at once, as if its connection had been stale.
    resent: bool,
    /// The longest the caller waits to be sent.
    patience: Option<Duration>,
    /// The HTTP status, when Voyage's answer arrived.
    http: Option<u16>,
    /// Metadata besides that of every upstream failure. "*" stands for any value.
    says: Vec<(&'static str, &'static str)>,
    /// The field of the caller's request that is to blame.
    field: Option<&'static str>,
    help: bool,
    quota: bool,
}

impl Row {
    fn new(fault: Fault, code: Code, reason: &'static str) -> Self {
        let http = match fault {
            Fault::Status { status, .. } => Some(status),
            Fault::TooLong => Some(400),
            Fault::Reset | Fault::Hang => None,
            _ => Some(200),
        };
        Self {
            fault,
            code,
            reason,
            inputs: 1,
            retry: None,
            attempts: 1,
            resent: false,
            patience: None,
            http,
            says: Vec::new(),
            field: None,
            help: false,
            quota: false,
        }
    }

    fn retry(self, seconds: u64) -> Self {
        self.retry_within(seconds..=seconds)
    }

    fn retry_within(self, seconds: RangeInclusive<u64>) -> Self {
        let [least, most] = [*seconds.start(), *seconds.end()].map(Duration::from_secs);
        Self { retry: Some(least..=most), ..self }
    }

    fn attempts(self, attempts: usize) -> Self {
        Self { attempts, ..self }
    }

    fn resent(self) -> Self {
        Self { resent: true, ..self }
    }

    /// The caller does not wait for a closed rate limit. Only for a stopped clock: a busy machine may take longer to send
    /// the first call.
    fn impatient(self) -> Self {
        Self { patience: Some(Duration::from_millis(100)), ..self }
    }

    fn says(mut self, name: &'static str, value: &'static str) -> Self {
        self.says.push((name, value));
        self
    }

    fn blames(self, field: &'static str) -> Self {
        Self { field: Some(field), ..self }
    }

    fn helps(self) -> Self {
        Self { help: true, ..self }
    }

    fn quota(self) -> Self {
        Self { quota: true, ..self }
    }

    fn with_inputs(self, inputs: usize) -> Self {
        Self { inputs, ..self }
    }

    fn name(&self) -> String {
        match &self.fault {
            Fault::Status { status, body, .. } => format!("{status} {body}"),
            fault => format!("{fault:?}"),
        }
    }
}

/// A reply of this status whose body must not be passed on.
fn status(status: u16) -> Fault {
    Fault::status(status).with_detail(&format!("{NOT_FOR_CALLERS} {KEY}"))
}

/// Checks every row at a gateway of its own, whose retries and breaker no other row has used up. A few at a time wait for
/// their backoff; more would slow each other down.
async fn walk(rows: Vec<Row>) {
    stream::iter(rows).for_each_concurrent(4, meet).await;
}

async fn meet(row: Row) {
    let gateway = Gateway::start().await;
    let mut client = gateway.client().await;
    let inputs = numbered(0..row.inputs);
    gateway.simulator().script().always(row.fault.clone());
    let Err(refused) = call(&mut client, &row, &inputs).await else {
        panic!("{} passed", row.name())
    };
    let calls = gateway.simulator().calls();
    assert_eq!(calls.len(), row.attempts + usize::from(row.resent), "{}: attempts", row.name());
    check(&row, &refused, &format!("simulated-{}", calls.len()));

    if row.quota {
        // `budgets` tests the next call after a closed rate limit.
        return;
    }
    // Nothing was cached: the next call asks Voyage again, and succeeds.
    gateway.simulator().script().clear();
    let reply = client.embed(texts(&inputs)).await.unwrap().into_inner();
    assert_vectors(&reply, &inputs);
    assert!(statuses(&reply).iter().all(|status| *status == CacheStatus::Miss));
}

async fn call(client: &mut Client, row: &Row, inputs: &[String]) -> Result<(), Status> {
    let max_queue_wait = row.patience.and_then(|patience| patience.try_into().ok());
    let options = RequestOptions { max_queue_wait, ..RequestOptions::default() };
    let mut request = Request::new(with_options(texts(inputs), options));
    // Less than the longest time that a row without a retry asks the gateway to wait.
    request.set_timeout(Duration::from_secs(if row.attempts == 1 { 30 } else { 300 }));
    request.metadata_mut().insert("x-request-id", "a-request".parse().unwrap());
    client.embed(request).await.map(drop)
}

/// Holds a status against its row.
fn check(row: &Row, status: &Status, upstream_id: &str) {
    let name = row.name();
    let details = details(status);
    let info = details.error_info().expect(&name);
    assert_eq!((status.code(), info.reason.as_str()), (row.code, row.reason), "{name}");
    assert_eq!(info.domain, "voyageai.com", "{name}");
    assert_eq!(details.request_info().expect(&name).request_id, "a-request", "{name}");
    check_metadata(row, &info.metadata, upstream_id);

    let delay = details.retry_info().and_then(|retry| retry.retry_delay);
    assert_eq!(delay.is_some(), row.retry.is_some(), "{name}");
    if let (Some(delay), Some(expected)) = (delay, &row.retry) {
        assert!(expected.contains(&delay), "{name}: {delay:?}");
    }
    // Java and .NET retry every error with a pushback, so only errors that may pass have one.
    let pushback = delay.filter(|_| row.code == Code::Unavailable);
    let pushback = pushback.map(|delay| delay.as_millis().to_string());
    assert_eq!(self::pushback(status), pushback, "{name}");

    assert_eq!(fields(status), Vec::from_iter(row.field), "{name}");
    assert_eq!(details.help().is_some(), row.help, "{name}");
    assert_eq!(details.quota_failure().is_some(), row.quota, "{name}");
    check_discretion(&name, status);
}

fn check_metadata(row: &Row, metadata: &HashMap<String, String>, upstream_id: &str) {
    let http = row.http.map(|status| status.to_string());
    let attempts = row.attempts.to_string();
    let mut expected =
        vec![("endpoint", "/embeddings"), ("model", "voyage-4"), ("attempts", attempts.as_str())];
    if let Some(http) = &http {
        expected.extend([("httpStatus", http.as_str()), ("upstreamRequestId", upstream_id)]);
    }
    expected.extend(&row.says);
    let mut got: Vec<(&str, &str)> = metadata
        .iter()
        .map(|(name, value)| match expected.iter().find(|(known, _)| known == name) {
            Some((name, "*")) => (*name, "*"),
            _ => (name.as_str(), value.as_str()),
        })
        .collect();
    expected.sort_unstable();
    got.sort_unstable();
    assert_eq!(got, expected, "{}", row.name());
}

/// No text, no key, no words of a body that are not the caller's to read; and small enough for any client.
fn check_discretion(name: &str, status: &Status) {
    let everything = format!("{status:?} {:?}", details(status));
    for secret in [KEY, NOT_FOR_CALLERS, "text number"] {
        assert!(!everything.contains(secret), "{name} shows {secret}");
        let raw = status.details();
        assert!(!raw.windows(secret.len()).any(|window| window == secret.as_bytes()), "{name}");
    }
    assert!(status.details().len() + status.message().len() < 4096, "{name}");
}

fn pushback(status: &Status) -> Option<String> {
    let value = status.metadata().get("grpc-retry-pushback-ms")?;
    value.to_str().ok().map(str::to_owned)
}
