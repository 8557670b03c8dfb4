//! Behind the door: the queue, batches, limits, and calls to Voyage.

use super::{ENDPOINT, KEY, Label, MODEL, Metric, SECONDS, label};
use crate::telemetry::semconv;

/// The statuses of Voyage's that are told apart; `none`: there was no answer.
pub const STATUSES: &[&str] = &[
    "200", "301", "302", "307", "308", "400", "401", "402", "403", "404", "405", "406", "408",
    "409", "410", "411", "413", "415", "422", "425", "429", "431", "500", "501", "502", "503",
    "504", "505", "520", "521", "522", "523", "524", "529", "none", "_other",
];

const STATUS: Label = Label::closed(label::STATUS, STATUSES);

const OPERATION: Label = Label::closed(semconv::GEN_AI_OPERATION_NAME, &["embeddings"]);

const PROVIDER: Label = Label::closed(semconv::GEN_AI_PROVIDER_NAME, &["voyageai"]);

const REQUEST_MODEL: Label =
    Label::bounded(semconv::GEN_AI_REQUEST_MODEL, "a model of the catalogue, or `_other`", 28);

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

/// Time of a batch.
pub const EMBEDDINGS_DURATION: Metric = Metric::histogram(
    "gen_ai.client.embeddings.duration",
    "gen_ai_client_embeddings_duration_seconds",
    "Time from sending a batch first to its end, all attempts and the waits between them included.",
)
.unit("s")
.labels(&[OPERATION, PROVIDER, REQUEST_MODEL, FAULT])
.buckets(&[
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
])
.for_this("How long callers wait for Voyage, repeats included. A batch that is taken apart ends once a part.");

/// Tokens of a batch.
pub const EMBEDDINGS_INPUT_TOKENS: Metric = Metric::histogram(
    "gen_ai.client.embeddings.operation.input_tokens",
    "gen_ai_client_embeddings_operation_input_tokens",
    "Tokens of a batch, as Voyage reported them.",
)
.unit("{token}")
.labels(&[OPERATION, PROVIDER, REQUEST_MODEL])
.buckets(&[
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
])
.for_this("How large calls are in tokens.");

/// Time of items before they are sent.
pub const QUEUE_WAIT: Metric = Metric::histogram(
    "voyage_gateway.queue.wait",
    "voyage_gateway_queue_wait_seconds",
    "Time from an input's coming to its being sent: in the `queue` for company and a free call, for the rate `limiter` after that.",
)
.unit("s")
.labels(&[MODEL, Label::closed(label::STAGE, &["queue", "limiter"])])
.buckets(&[
    0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0, 60.0,
])
.for_this("`queue` high: raise `batch.max_in_flight`. `limiter` high: the account's rate limit is met.");

/// Inputs of a batch.
pub const BATCH_SIZE: Metric = Metric::histogram(
    "voyage_gateway.batch.size",
    "voyage_gateway_batch_size",
    "Inputs of a batch when it is sent first.",
)
.unit("{input}")
.labels(&[MODEL])
.buckets(&[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_000.0])
.for_this("How many texts share a call. All near 1 under load: raise `batch.max_delay`.");

/// How full a batch is.
pub const BATCH_FILL: Metric = Metric::histogram(
    "voyage_gateway.batch.fill",
    "voyage_gateway_batch_fill_ratio",
    "How full a batch is when it is sent first: the share of its inputs, tokens or bytes, whichever is the largest.",
)
.unit("1")
.labels(&[MODEL])
.buckets(&[0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0])
.for_this("Near 1, bulk work uses calls well.");

/// Calls that are out.
pub const BATCHES_IN_FLIGHT: Metric = Metric::gauge(
    "voyage_gateway.batches.in_flight",
    "voyage_gateway_batches_in_flight",
    "Upstream calls that are out.",
)
.for_this("At the maximum while inputs wait: raise `batch.max_in_flight`.");

/// Calls that may be out.
pub const BATCHES_MAX_IN_FLIGHT: Metric = Metric::gauge(
    "voyage_gateway.batches.max_in_flight",
    "voyage_gateway_batches_max_in_flight",
    "`batch.max_in_flight`.",
)
.for_this("What the calls that are out are held against.");

/// Inputs behind the door.
pub const QUEUE_ITEMS: Metric = Metric::gauge(
    "voyage_gateway.queue.items",
    "voyage_gateway_queue_items",
    "Inputs waiting for Voyage or sent to it.",
)
.for_this("The backlog; `batch.max_waiting_inputs` bounds it.");

/// Bytes behind the door.
pub const QUEUE_SIZE: Metric = Metric::gauge(
    "voyage_gateway.queue.size",
    "voyage_gateway_queue_size_bytes",
    "Bytes of the inputs waiting for Voyage or sent to it, 512 beside its own for each.",
)
.unit("By")
.for_this("The backlog's memory; `batch.max_waiting_bytes` bounds it.");

const WINDOW: [Label; 3] = [MODEL, KEY, Label::closed(label::UNIT, &["requests", "tokens"])];

/// What is used of the rate limits.
pub const RATE_LIMIT_USED: Metric = Metric::gauge(
    "voyage_gateway.rate_limit.used",
    "voyage_gateway_rate_limit_used",
    "Requests or tokens of the last minute, those in flight included, of a key and a model that was called. Of models that are \
     not in the catalogue: of the one with the largest share of its tokens used.",
)
.labels(&WINDOW)
.for_this("Near its limit: calls wait. Ask Voyage for more, or add keys of other accounts.");

/// The rate limits.
pub const RATE_LIMIT_LIMIT: Metric = Metric::gauge(
    "voyage_gateway.rate_limit.limit",
    "voyage_gateway_rate_limit_limit",
    "Requests or tokens a minute that are believed to be allowed: configured, or learnt.",
)
.labels(&WINDOW)
.for_this("What is left is this less what is used. Falls after a 429.");

/// 429s.
pub const RATE_LIMITED: Metric = Metric::counter(
    "voyage_gateway.rate_limited",
    "voyage_gateway_rate_limited_total",
    "Upstream calls answered with 429.",
)
.for_this("Others use the same account, or `limits.*` is set too high.");

/// Repeats.
pub const RETRIES: Metric = Metric::counter(
    "voyage_gateway.retries",
    "voyage_gateway_retries_total",
    "Upstream calls repeated after a failure.",
)
.for_this("How unsteady Voyage is, before callers notice.");

/// What repeats there may still be.
pub const RETRY_BUDGET_BALANCE: Metric = Metric::gauge(
    "voyage_gateway.retry_budget.balance",
    "voyage_gateway_retry_budget_balance",
    "Repeats that may be made at once; 10 at most, one a second and one for ten calls come back.",
)
.unit("{retry}")
.for_this("At 0, failures reach callers at the first attempt.");

/// The breaker.
pub const BREAKER_STATE: Metric = Metric::gauge(
    "voyage_gateway.breaker.state",
    "voyage_gateway_breaker_state",
    "1 for the state that the circuit breaker is in, 0 for the others.",
)
.labels(&[Label::closed(label::STATE, &["closed", "open", "half_open"])])
.for_this("`open`: Voyage keeps failing and is given a rest; only hits are answered.");

/// Calls by status.
pub const UPSTREAM_CALLS: Metric = Metric::counter(
    "voyage_gateway.upstream.calls",
    "voyage_gateway_upstream_calls_total",
    "HTTP requests to Voyage by status; `none` when there was no answer.",
)
.labels(&[ENDPOINT, MODEL, STATUS])
.for_this(
    "What Voyage answers. 401: the key; 429: the limit; 5xx and `none`: Voyage or the way to it.",
);

/// Time of calls.
pub const UPSTREAM_DURATION: Metric = Metric::histogram(
    "voyage_gateway.upstream.duration",
    "voyage_gateway_upstream_duration_seconds",
    "Time from sending an HTTP request to having its whole answer.",
)
.unit("s")
.labels(&[ENDPOINT, MODEL, STATUS])
.buckets(SECONDS)
.for_this("How quick Voyage is, a single attempt.");

/// Rejected keys.
pub const KEY_REJECTED: Metric = Metric::gauge(
    "voyage_gateway.upstream.key_rejected",
    "voyage_gateway_upstream_key_rejected",
    "1 while the API key is set aside because Voyage rejected it, else 0.",
)
.labels(&[KEY])
.for_this("Alert on 1: put a good key into its file.");

/// The free tier.
pub const FREE_TIER: Metric = Metric::gauge(
    "voyage_gateway.free_tier",
    "voyage_gateway_free_tier",
    "1 while Voyage treats an account as one without a payment method, else 0.",
)
.for_this("3 requests and 10,000 tokens a minute are not for production: add a payment method.");

/// All of these.
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
