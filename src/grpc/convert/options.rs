//! The fields that every RPC with items has: the model and the options.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::Violations;
use crate::{
    caller::{self, Caller},
    error::Error,
    grpc::{
        RequestModels,
        v1::{CacheMode as ProtoCacheMode, InvalidText, Priority, RequestOptions},
    },
    item::{Input, Parameters},
    model::{self, Kind, ModelName},
    pipeline::{CacheMode, Request},
};

/// The default receive limit of gRPC clients.
pub(super) const DEFAULT_MAX_RESPONSE_BYTES: u64 = 4 * 1024 * 1024;

/// The longest `google.protobuf.Duration`: 10,000 years.
const MAX_DURATION_SECONDS: u64 = 315_576_000_000;

/// The caller of a request, and its deadline.
#[derive(Debug)]
pub(in crate::grpc) struct CallTerms {
    pub(in crate::grpc) caller: Caller,
    pub(in crate::grpc) deadline: Instant,
}

impl CallTerms {
    /// Returns an error unless the caller's rules allow the RPC and the model.
    pub(super) fn check(&self, rpc: &str, model: &str) -> Result<(), Error> {
        self.caller.check_rpc(rpc)?;
        self.caller.check_model(model)
    }
}

/// The options of a request.
#[derive(Debug)]
pub(super) struct Options {
    cache_mode: CacheMode,
    priority: caller::Priority,
    pub(super) allow_partial: bool,
    max_queue_wait: Option<Duration>,
    /// Bytes the caller can receive.
    pub(super) max_bytes: u64,
}

impl Options {
    /// Reads the options; `usual` is the priority of requests that name none.
    pub(super) fn read(
        options: Option<RequestOptions>,
        usual: caller::Priority,
        violations: &mut Violations,
    ) -> Self {
        let options = options.unwrap_or_default();
        let read = Self {
            cache_mode: cache_mode(options.cache_mode, violations),
            priority: priority(options.priority, usual, violations),
            allow_partial: options.allow_partial,
            max_queue_wait: max_queue_wait(&options, violations),
            max_bytes: max_response_bytes(&options, violations),
        };
        check_invalid_text(&options, violations);
        read
    }

    /// Turns off look-ups and stores.
    pub(super) fn bypass_cache(&mut self) {
        if self.cache_mode != CacheMode::OnlyIfCached {
            self.cache_mode = CacheMode::Bypass;
        }
    }

    /// Builds the pipeline's request.
    pub(super) fn request(
        self,
        parameters: Parameters,
        inputs: Vec<Result<Input, Error>>,
        reply_bytes: u64,
        terms: CallTerms,
    ) -> Request {
        let CallTerms { caller, deadline } = terms;
        Request {
            parameters: Arc::new(parameters),
            inputs,
            cache_mode: self.cache_mode,
            allow_partial: self.allow_partial,
            deadline,
            max_queue_wait: self.max_queue_wait,
            priority: caller.clamp(self.priority),
            caller,
            reply_bytes: usize::try_from(reply_bytes).unwrap_or(usize::MAX),
        }
    }
}

/// Reads the name of a model or an alias; an empty one is the default of the kind. A listed model of another kind is a
/// violation.
pub(super) fn model_name(
    name: &str,
    kind: Kind,
    models: &RequestModels,
    violations: &mut Violations,
) -> ModelName {
    if !name.is_empty() && !model::is_name(name) {
        violations.add("model", "INVALID_MODEL", "must be at most 128 visible ASCII characters");
    }
    let model = models.resolve(name, kind);
    if let Some(listed) = model.listed().filter(|listed| listed.kind != kind) {
        let (takes, wanted, rpc) = (listed.kind.inputs(), kind.inputs(), rpc_of(listed.kind));
        let description =
            format!("{model} takes {takes}, in {rpc}; this RPC needs a model that takes {wanted}");
        violations.add("model", "WRONG_KIND", description);
    }
    model
}

/// Checks a field that has its effect before the message is decoded.
pub(super) fn check_invalid_text(options: &RequestOptions, violations: &mut Violations) {
    let field = "options.invalid_text";
    violations.read_enum(field, options.invalid_text, InvalidText::as_str_name);
}

/// Returns the RPC for the models of a kind.
const fn rpc_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "EmbeddingService/Embed",
        Kind::Contextualized => "EmbeddingService/EmbedChunks",
        Kind::Multimodal => "EmbeddingService/EmbedMultimodal",
        Kind::Rerank => "RerankService/Rerank",
    }
}

fn cache_mode(number: i32, violations: &mut Violations) -> CacheMode {
    match violations.read_enum("options.cache_mode", number, ProtoCacheMode::as_str_name) {
        ProtoCacheMode::Unspecified | ProtoCacheMode::ReadWrite => CacheMode::ReadWrite,
        ProtoCacheMode::ReadOnly => CacheMode::ReadOnly,
        ProtoCacheMode::Refresh => CacheMode::Refresh,
        ProtoCacheMode::Bypass => CacheMode::Bypass,
        ProtoCacheMode::OnlyIfCached => CacheMode::OnlyIfCached,
    }
}

fn priority(number: i32, usual: caller::Priority, violations: &mut Violations) -> caller::Priority {
    match violations.read_enum("options.priority", number, Priority::as_str_name) {
        Priority::Batch => caller::Priority::Batch,
        Priority::Interactive => caller::Priority::Interactive,
        Priority::Unspecified => usual,
    }
}

/// By hand: prost-types overflows on the most negative durations.
fn max_queue_wait(options: &RequestOptions, violations: &mut Violations) -> Option<Duration> {
    let wait = options.max_queue_wait?;
    if let Ok(seconds @ 0..=MAX_DURATION_SECONDS) = u64::try_from(wait.seconds)
        && let Ok(nanos @ 0..1_000_000_000) = u32::try_from(wait.nanos)
    {
        return Some(Duration::new(seconds, nanos));
    }
    let description = "must be a google.protobuf.Duration of 0 s or more";
    violations.add("options.max_queue_wait", "INVALID_DURATION", description);
    None
}

fn max_response_bytes(options: &RequestOptions, violations: &mut Violations) -> u64 {
    match u64::try_from(options.max_response_bytes) {
        Ok(0) => DEFAULT_MAX_RESPONSE_BYTES,
        Ok(bytes) => bytes,
        Err(_) => {
            violations.add("options.max_response_bytes", "NEGATIVE", "must be 0 (4 MiB) or more");
            DEFAULT_MAX_RESPONSE_BYTES
        }
    }
}
