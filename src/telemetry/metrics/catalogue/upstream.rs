//! The upstream side: queue, batches, limits, and calls to Voyage.
#![expect(missing_docs, reason = "each entry's description documents it")]

use super::{
    A_MODEL, Label, MODEL, MOST_MODELS, Metric, SECONDS, counter, gauge, histogram, label,
};
use crate::telemetry::semconv;

/// Statuses with a series of their own. `none`: no answer.
pub const STATUSES: &[&str] = &[
    "200", "301", "302", "307", "308", "400", "401", "402", "403", "404", "405", "406", "408",
    "409", "410", "411", "413", "415", "422", "425", "429", "431", "500", "501", "502", "503",
    "504", "505", "520", "521", "522", "523", "524", "529", "none", "_other",
];

const STATUS: Label = Label::closed(label::STATUS, STATUSES);

const ENDPOINT: Label = Label::closed(
    label::ENDPOINT,
    &["/embeddings", "/contextualizedembeddings", "/multimodalembeddings", "/rerank"],
)
.by_model();

const KEY: Label = Label::bounded(label::KEY, "the alias of an API key; at most 64 keys", 64);

const OPERATION: Label = Label::closed(semconv::GEN_AI_OPERATION_NAME, &["embeddings", "rerank"]);

const PROVIDER: Label = Label::closed(semconv::GEN_AI_PROVIDER_NAME, &["voyageai"]);

const REQUEST_MODEL: Label = Label::bounded(semconv::GEN_AI_REQUEST_MODEL, A_MODEL, MOST_MODELS);

const FAULT: Label = Label::closed(
    semconv::ERROR_TYPE,
    &[
        "invalid_request",
        "too_many_tokens",
        "input_too_long",
        "model_not_supported",
        "unauthenticated",
        "forbidden",
        "payment_required",
        "not_found",
        "payload_too_large",
        "rate_limited",
        "server_error",
        "unavailable",
        "timeout",
        "connect_failed",
        "connection_lost",
        "tls_rejected",
        "tls_cut",
        "bad_response",
        "protocol",
        "conflict",
        "redirect",
        "unexpected_status",
        "_OTHER",
    ],
)
.optional();

pub const EMBEDDINGS_DURATION: Metric = histogram(
    "gen_ai.client.embeddings.duration",
    "Duration of a batch, from its first attempt to its end, with all attempts and waits.",
    &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92],
)
.unit("s")
.labels(&[OPERATION, PROVIDER, REQUEST_MODEL, FAULT])
.purpose("The time that callers wait for Voyage. Each part of a split batch is counted.");

pub const EMBEDDINGS_INPUT_TOKENS: Metric = histogram(
    "gen_ai.client.embeddings.operation.input_tokens",
    "Tokens of a batch, as Voyage reported them.",
    &[
        1.0,
        4.0,
        16.0,
        64.0,
        256.0,
        1_024.0,
        4_096.0,
        16_384.0,
        65_536.0,
        262_144.0,
        1_048_576.0,
        4_194_304.0,
        16_777_216.0,
        67_108_864.0,
    ],
)
.unit("{token}")
.labels(&[OPERATION, PROVIDER, REQUEST_MODEL])
.purpose("The size of calls in tokens.");

pub const QUEUE_WAIT: Metric = histogram(
    "voyage_gateway.queue.wait",
    "Time of an input in the queue before its first attempt. `queue`: for a full batch and a free call. `limiter`: for the rate limit.",
    &[
        0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
        10.0, 30.0, 60.0,
    ],
)
.unit("s")
.labels(&[MODEL, Label::closed(label::STAGE, &["queue", "limiter"])])
.purpose("If `queue` is high, raise `batch.max_in_flight`. If `limiter` is high, the account's rate limit is reached.");

pub const BATCH_SIZE: Metric = histogram(
    "voyage_gateway.batch.size",
    "Inputs of a batch at its first attempt.",
    &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_000.0],
)
.unit("{input}")
.labels(&[MODEL])
.purpose("If most are near 1 under load, raise `batch.max_delay`.");

pub const BATCH_FILL: Metric = histogram(
    "voyage_gateway.batch.fill",
    "Fill of a batch at its first attempt: the largest of its ratios of inputs, tokens and bytes to their limits.",
    &[0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0],
)
.unit("1")
.labels(&[MODEL])
.purpose("Near 1, bulk requests use calls well.");

pub const BATCHES_IN_FLIGHT: Metric =
    gauge("voyage_gateway.batches.in_flight", "Upstream calls in flight.")
        .purpose("At the maximum while inputs wait, raise `batch.max_in_flight`.");

pub const BATCHES_MAX_IN_FLIGHT: Metric = gauge(
    "voyage_gateway.batches.max_in_flight",
    "Maximum of upstream calls in flight: `batch.max_in_flight`.",
)
.purpose("The limit of the upstream calls in flight.");

pub const QUEUE_ITEMS: Metric =
    gauge("voyage_gateway.queue.items", "Inputs that wait for Voyage or are in an upstream call.")
        .purpose("The backlog; its limit is `batch.max_waiting_inputs`.");

pub const QUEUE_SIZE: Metric = gauge(
    "voyage_gateway.queue.size",
    "Bytes of the inputs that wait for Voyage or are in an upstream call, with 512 bytes of overhead each.",
)
.unit("By")
.purpose("The memory of the backlog; its limit is `batch.max_waiting_bytes`.");

const WINDOW: [Label; 3] = [MODEL, KEY, Label::closed(label::UNIT, &["requests", "tokens"])];

pub const RATE_LIMIT_USED: Metric = gauge(
    "voyage_gateway.rate_limit.used",
    "Requests or tokens of the last minute, with those in flight, by key and called model. `_other`: the model that has used the largest share of its tokens.",
)
.labels(&WINDOW)
.purpose("Near the limit, calls wait: ask Voyage for a higher limit, or add keys of other accounts.");

pub const RATE_LIMIT_LIMIT: Metric = gauge(
    "voyage_gateway.rate_limit.limit",
    "Requests or tokens per minute that the gateway uses as limit: configured, or learnt from 429 answers.",
)
.labels(&WINDOW)
.purpose("The limit of the used requests or tokens. Falls after a 429.");

pub const RATE_LIMITED: Metric =
    counter("voyage_gateway.rate_limited", "Upstream calls answered with 429.")
        .purpose("Another client uses the same account, or `limits.*` is too high.");

pub const RETRIES: Metric =
    counter("voyage_gateway.retries", "Upstream calls repeated after a failure.")
        .purpose("Shows failures of Voyage before callers notice them.");

pub const RETRY_BUDGET_BALANCE: Metric = gauge(
    "voyage_gateway.retry_budget.balance",
    "Retries that the retry budget allows now; at most 10. It gains one per second and one per ten calls.",
)
.unit("{retry}")
.purpose("At 0, failures are not retried.");

pub const BREAKER_STATE: Metric = gauge(
    "voyage_gateway.breaker.state",
    "1 for the current state of the circuit breaker, 0 for the other states.",
)
.labels(&[Label::closed(label::STATE, &["closed", "open", "half_open"])])
.purpose("`open` means that Voyage keeps failing: only cached inputs are answered.");

pub const UPSTREAM_CALLS: Metric = counter(
    "voyage_gateway.upstream.calls",
    "HTTP requests to Voyage by status; `none` if there was no answer.",
)
.labels(&[ENDPOINT, MODEL, STATUS])
.purpose(
    "401 points to the API key, 429 to the rate limit, 5xx and `none` to Voyage or the network.",
);

pub const UPSTREAM_DURATION: Metric = histogram(
    "voyage_gateway.upstream.duration",
    "Duration of an HTTP request to Voyage, until its whole answer is read.",
    SECONDS,
)
.unit("s")
.labels(&[ENDPOINT, MODEL, STATUS])
.purpose("The latency of Voyage for one attempt.");

pub const KEY_REJECTED: Metric = gauge(
    "voyage_gateway.upstream.key_rejected",
    "1 while the API key is set aside because Voyage rejected it, else 0.",
)
.labels(&[KEY])
.purpose("Alert on 1: put a valid key into its file.");

pub const FREE_TIER: Metric = gauge(
    "voyage_gateway.free_tier",
    "1 while Voyage treats an account as one without a payment method, else 0.",
)
.purpose("The free tier allows 3 requests and 10,000 tokens per minute: add a payment method.");

pub(super) const ALL: &[&Metric] = &[
    &EMBEDDINGS_DURATION,
    &EMBEDDINGS_INPUT_TOKENS,
    &QUEUE_WAIT,
    &BATCH_SIZE,
    &BATCH_FILL,
    &BATCHES_IN_FLIGHT,
    &BATCHES_MAX_IN_FLIGHT,
    &QUEUE_ITEMS,
    &QUEUE_SIZE,
    &RATE_LIMIT_USED,
    &RATE_LIMIT_LIMIT,
    &RATE_LIMITED,
    &RETRIES,
    &RETRY_BUDGET_BALANCE,
    &BREAKER_STATE,
    &UPSTREAM_CALLS,
    &UPSTREAM_DURATION,
    &KEY_REJECTED,
    &FREE_TIER,
];
