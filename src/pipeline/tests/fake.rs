//! An upstream within the test: its vectors say which text they are of.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::{Duration, sleep};

use crate::{
    error::{Error, Fault, Upstream as UpstreamError},
    item::{Answer, Input, Parameters, Usage, Vector},
    telemetry::trace::Span,
    upstream::{ApiKey, Reply, Upstream},
};

/// Tokens the fake bills for a text, whatever its length.
pub(super) const TOKENS: u64 = 7;

/// The behaviour of the fake for certain texts and calls.
#[derive(Default)]
pub(super) struct Fake {
    pub(super) latency: Duration,
    /// Texts that are named as too long, one a call.
    pub(super) named: HashSet<String>,
    /// Texts that spoil their call without being named.
    pub(super) unnamed: HashSet<String>,
    /// Texts that make the call panic.
    pub(super) panics: HashSet<String>,
    /// Whether every call fails.
    pub(super) down: bool,
    calls: Mutex<Vec<Vec<String>>>,
    in_flight: Mutex<HashSet<String>>,
    twice: Mutex<HashSet<String>>,
    billed: AtomicU64,
}

impl Fake {
    /// Answers everything after 100 ms.
    pub(super) fn new() -> Arc<Self> {
        Self::with(|_| {})
    }

    /// As [`Fake::new`], with something wrong.
    pub(super) fn with(change: impl FnOnce(&mut Self)) -> Arc<Self> {
        let mut fake = Self { latency: Duration::from_millis(100), ..Self::default() };
        change(&mut fake);
        Arc::new(fake)
    }

    /// The texts of every call so far.
    pub(super) fn calls(&self) -> Vec<Vec<String>> {
        self.calls.lock().unwrap().clone()
    }

    /// Texts that were in flight twice at once.
    pub(super) fn twice(&self) -> HashSet<String> {
        self.twice.lock().unwrap().clone()
    }

    pub(super) fn billed(&self) -> u64 {
        self.billed.load(Ordering::Relaxed)
    }

    fn begin(&self, texts: &[String]) {
        self.calls.lock().unwrap().push(texts.to_vec());
        for text in texts {
            if !self.in_flight.lock().unwrap().insert(text.clone()) {
                self.twice.lock().unwrap().insert(text.clone());
            }
        }
    }

    fn end(&self, texts: &[String]) {
        for text in texts {
            self.in_flight.lock().unwrap().remove(text);
        }
    }

    fn verdict(&self, parameters: &Parameters, texts: &[String]) -> Result<(), Error> {
        let refused = |fault, status| {
            Err(Error::Upstream(Arc::new(UpstreamError {
                fault,
                endpoint: parameters.endpoint(),
                model: Arc::clone(&parameters.model),
                status: Some(status),
                attempts: 1,
                request_id: None,
                key: Arc::from("default"),
                tokens: 0,
            })))
        };
        if self.down {
            return refused(Fault::Unavailable { retry_after: None }, 503);
        }
        if let Some(index) = texts.iter().position(|text| self.named.contains(text)) {
            return refused(Fault::InputTooLong { index, limit: Some(32_000) }, 400);
        }
        if texts.iter().any(|text| self.unnamed.contains(text)) {
            return refused(Fault::InvalidRequest { detail: None, field: None }, 400);
        }
        Ok(())
    }
}

/// The vector of a text: its own bytes, so that a test can identify it.
pub(super) fn vector_of(text: &str) -> Answer {
    Answer::Vector(Vector::new(Bytes::copy_from_slice(text.as_bytes())))
}

impl Upstream for Fake {
    fn call<'a>(
        &'a self,
        _: &'a ApiKey,
        parameters: &'a Parameters,
        inputs: &'a [&'a Input],
        _span: &'a mut Span,
    ) -> BoxFuture<'a, Result<Reply, Error>> {
        let texts: Vec<String> = inputs.iter().map(|input| input.texts().collect()).collect();
        Box::pin(async move {
            self.begin(&texts);
            // A dropped call stays in flight: its next call is "twice in flight".
            sleep(self.latency).await;
            self.end(&texts);
            assert!(!texts.iter().any(|text| self.panics.contains(text)), "as the test asked");
            self.verdict(parameters, &texts)?;
            let total = texts.len() as u64 * TOKENS;
            self.billed.fetch_add(total, Ordering::Relaxed);
            Ok(Reply {
                answers: texts.iter().map(|text| vector_of(text)).collect(),
                usage: Some(Usage::of_tokens(total)),
                request_id: Some(Arc::from("fake")),
                warning: None,
            })
        })
    }
}
