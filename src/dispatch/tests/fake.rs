//! An upstream within the test: its vectors say which text they are of, and it counts as the provider does.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep};

use super::MINUTE;
use crate::{
    error::{Error, Fault, Upstream as UpstreamError},
    item::{Answer, Input, Media, Parameters, Usage, Vector},
    telemetry::trace::Span,
    upstream::{ApiKey, Reply, Upstream},
};

/// The calls that were counted, and their tokens.
type Counted = Vec<(Instant, u64)>;

/// The alias and the model of calls.
type KeyAndModel = (Arc<str>, Arc<str>);

/// Where a call panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Panic {
    /// Before there is a future.
    Calling,
    /// Before the first await.
    Sending,
    /// After it.
    Reading,
}

/// One call, as the upstream saw it.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) at: Instant,
    pub(super) texts: Vec<String>,
    /// The alias of the key it was made with.
    pub(super) key: Arc<str>,
}

/// The behaviour of the upstream, and its calls.
#[derive(Debug)]
pub(super) struct Fake {
    /// Of the calls in turn, over and over.
    pub(super) latencies: Vec<Duration>,
    /// Texts that are named as too long, one a call.
    pub(super) named: HashSet<String>,
    /// Texts that spoil their call without being named.
    pub(super) unnamed: HashSet<String>,
    /// Texts one call may have; more are "too many tokens".
    pub(super) most: Option<usize>,
    /// RPM and TPM of each key and model.
    pub(super) limits: Option<(usize, u64)>,
    /// The secrets that are accepted; `None`: all.
    pub(super) accepts: Mutex<Option<Vec<Arc<ApiKey>>>>,
    /// The failures of the next calls; `None`: success.
    pub(super) script: Mutex<VecDeque<Option<Fault>>>,
    /// The failure of all further calls.
    pub(super) down: Mutex<Option<Fault>>,
    /// Where the next calls panic.
    pub(super) panics: Mutex<VecDeque<Panic>>,
    pub(super) calls: Mutex<Vec<Call>>,
    pub(super) windows: Mutex<HashMap<KeyAndModel, Counted>>,
    pub(super) refused: AtomicU64,
    pub(super) in_flight: Mutex<HashSet<(Parameters, String)>>,
    pub(super) twice: Mutex<HashSet<String>>,
    pub(super) reported: AtomicU64,
}

impl Fake {
    /// Answers everything after `latency`.
    pub(super) fn after(latency: Duration) -> Self {
        Self {
            latencies: vec![latency],
            named: HashSet::new(),
            unnamed: HashSet::new(),
            most: None,
            limits: None,
            accepts: Mutex::default(),
            script: Mutex::default(),
            down: Mutex::default(),
            panics: Mutex::default(),
            calls: Mutex::default(),
            windows: Mutex::default(),
            refused: AtomicU64::new(0),
            in_flight: Mutex::default(),
            twice: Mutex::default(),
            reported: AtomicU64::new(0),
        }
    }

    /// Answers after 100 ms, but fails the first calls with the given faults.
    pub(super) fn failing(script: impl IntoIterator<Item = Option<Fault>>) -> Self {
        let fake = Self::after(Duration::from_millis(100));
        *fake.script.lock().unwrap() = script.into_iter().collect();
        fake
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// The texts of every call so far.
    pub(super) fn sent(&self) -> Vec<Vec<String>> {
        self.calls().into_iter().map(|call| call.texts).collect()
    }

    /// When a text was sent for the first time.
    pub(super) fn sent_at(&self, text: &str) -> Option<Instant> {
        let calls = self.calls.lock().unwrap();
        calls.iter().find(|call| call.texts.iter().any(|sent| sent == text)).map(|call| call.at)
    }

    /// Texts that were in flight twice at once.
    pub(super) fn twice(&self) -> HashSet<String> {
        self.twice.lock().unwrap().clone()
    }

    /// The 429s of the provider's own counting.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The tokens of all replies.
    pub(super) fn reported(&self) -> u64 {
        self.reported.load(Ordering::Relaxed)
    }

    /// The requests and tokens that were counted for a model, over all keys.
    pub(super) fn counted(&self, model: &str) -> (usize, u64) {
        let windows = self.windows.lock().unwrap();
        let of_model = windows.iter().filter(|((_, of), _)| **of == *model);
        let counted: Vec<_> = of_model.flat_map(|(_, counted)| counted).collect();
        (counted.len(), counted.iter().map(|(_, tokens)| tokens).sum())
    }

    /// Accepts these keys from now on, and answers 401 to all others.
    pub(super) fn accept_only(&self, keys: impl IntoIterator<Item = Arc<ApiKey>>) {
        *self.accepts.lock().unwrap() = Some(keys.into_iter().collect());
    }

    fn takes(&self, key: &ApiKey) -> bool {
        let accepts = self.accepts.lock().unwrap();
        accepts.as_ref().is_none_or(|accepted| accepted.iter().any(|other| other.same_secret(key)))
    }

    fn panic_at(&self, point: Panic) {
        let mut panics = self.panics.lock().unwrap();
        if panics.front() == Some(&point) {
            panics.pop_front();
            drop(panics);
            panic!("as the test asked");
        }
    }

    /// Counts a call if the limits of the last minute allow it.
    fn count(&self, key: &ApiKey, model: &Arc<str>, tokens: u64) -> bool {
        let now = Instant::now();
        let mut windows = self.windows.lock().unwrap();
        let counted = windows.entry((Arc::clone(key.alias()), Arc::clone(model))).or_default();
        let recent = counted.iter().rev().take_while(|(at, _)| *at + MINUTE > now);
        let (requests, used) = recent.fold((0, 0), |(n, sum), (_, tokens)| (n + 1, sum + tokens));
        let takes = self.limits.is_none_or(|(rpm, tpm)| requests < rpm && used + tokens <= tpm);
        if takes {
            counted.push((now, tokens));
        } else {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        takes
    }

    fn verdict(&self, texts: &[String]) -> Option<Fault> {
        if let Some(fault) = self.down.lock().unwrap().clone() {
            return Some(fault);
        }
        if self.most.is_some_and(|most| texts.len() > most) {
            return Some(Fault::TooManyTokens { limit: None, actual: None });
        }
        if let Some(index) = texts.iter().position(|text| self.named.contains(text)) {
            return Some(Fault::InputTooLong { index, limit: None });
        }
        let unnamed = texts.iter().any(|text| self.unnamed.contains(text));
        unnamed.then_some(Fault::InvalidRequest { detail: None, field: None })
    }

    async fn answer(
        &self,
        key: &ApiKey,
        parameters: &Parameters,
        texts: &[String],
        (tokens, latency): (u64, Duration),
    ) -> Option<Fault> {
        let scripted = self.script.lock().unwrap().pop_front().flatten();
        self.panic_at(Panic::Sending);
        sleep(latency / 2).await;
        if !self.takes(key) {
            return Some(Fault::Unauthenticated);
        }
        let counted = self.count(key, &parameters.model, tokens);
        sleep(latency / 2).await;
        self.panic_at(Panic::Reading);
        if !counted {
            return Some(Fault::RateLimited { retry_after: None, free_tier: false });
        }
        let fault = scripted.or_else(|| self.verdict(texts));
        if fault.is_none() {
            self.reported.fetch_add(tokens, Ordering::Relaxed);
        }
        fault
    }
}

impl Upstream for Fake {
    fn call<'a>(
        &'a self,
        key: &'a ApiKey,
        parameters: &'a Parameters,
        inputs: &'a [&'a Input],
        _span: &'a mut Span,
    ) -> BoxFuture<'a, Result<Reply, Error>> {
        let texts: Vec<String> = inputs.iter().map(|input| text_of(input)).collect();
        let number = {
            let mut calls = self.calls.lock().unwrap();
            let key = Arc::clone(key.alias());
            calls.push(Call { at: Instant::now(), texts: texts.clone(), key });
            calls.len() - 1
        };
        self.panic_at(Panic::Calling);
        Box::pin(async move {
            let flying = Flying::new(self, parameters, &texts);
            let latency = self.latencies[number % self.latencies.len()];
            let usage = usage_of(parameters, inputs);
            let fault = self.answer(key, parameters, &texts, (usage.tokens, latency)).await;
            drop(flying);
            match fault {
                Some(fault) => Err(failure(key, parameters, fault)),
                None => Ok(Reply {
                    usage: Some(usage),
                    answers: texts.iter().map(|text| vector_of(text)).collect(),
                    request_id: None,
                    warning: None,
                }),
            }
        })
    }
}

/// Notes the texts of a call as in flight while it lives.
struct Flying<'a> {
    fake: &'a Fake,
    keys: Vec<(Parameters, String)>,
}

impl<'a> Flying<'a> {
    fn new(fake: &'a Fake, parameters: &Parameters, texts: &[String]) -> Self {
        let mut in_flight = fake.in_flight.lock().unwrap();
        let keys: Vec<_> = texts.iter().map(|text| (parameters.clone(), text.clone())).collect();
        for key in &keys {
            if !in_flight.insert(key.clone()) {
                fake.twice.lock().unwrap().insert(key.1.clone());
            }
        }
        Self { fake, keys }
    }
}

impl Drop for Flying<'_> {
    fn drop(&mut self) {
        let mut in_flight = self.fake.in_flight.lock().unwrap();
        self.keys.iter().for_each(|key| {
            in_flight.remove(key);
        });
    }
}

fn failure(key: &ApiKey, parameters: &Parameters, fault: Fault) -> Error {
    Error::Upstream(Arc::new(UpstreamError::new(fault, parameters, Arc::clone(key.alias()))))
}

fn text_of(input: &Input) -> String {
    input.texts().collect()
}

/// The provider's usage of a call: a query counts with each of its documents.
fn usage_of(parameters: &Parameters, inputs: &[&Input]) -> Usage {
    let shared = parameters.shared_text().map_or(0, tokens_of);
    let usage = |input: &&Input| {
        let (text_tokens, media) = (shared + tokens_of(&text_of(input)), input.media());
        Usage {
            tokens: text_tokens + u64::from(media.tokens),
            text_tokens: if media == Media::NONE { 0 } else { text_tokens },
            image_pixels: media.image_pixels,
            video_pixels: media.video_pixels,
        }
    };
    inputs.iter().map(usage).sum()
}

/// The provider's token count, about as in English prose.
pub(super) fn tokens_of(text: &str) -> u64 {
    (text.len() as u64).div_ceil(5)
}

/// The vector of a text: its own bytes, so that a test can identify it.
pub(super) fn vector_of(text: &str) -> Answer {
    Answer::Vector(Vector::new(Bytes::copy_from_slice(text.as_bytes())))
}
