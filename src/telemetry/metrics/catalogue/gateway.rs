//! The caller's side: RPCs, the cache, admission, connections.

use super::{Label, Metric, RPC_METHOD, SECONDS, label};
use crate::telemetry::semconv;

const STATUS_CODE: Label = Label::closed(
    semconv::RPC_RESPONSE_STATUS_CODE,
    &[
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ],
);

const TIER: Label = Label::closed(label::TIER, &["memory"]);

const PORT: Label = Label::closed(label::PORT, &["grpc", "admin"]);

/// Server time by method and status.
pub const RPC_DURATION: Metric = Metric::histogram(
    "rpc.server.call.duration",
    "rpc_server_call_duration_seconds",
    "Time from an RPC's first byte to the last one of its reply.",
)
.unit("s")
.labels(&[
    Label::closed(semconv::RPC_SYSTEM_NAME, &["grpc"]),
    RPC_METHOD,
    STATUS_CODE,
    // What is not OK has its status as its type: the two are one value in a series.
    Label::bounded(semconv::ERROR_TYPE, "the status code again; absent when it is `OK`", 1)
        .optional(),
])
.buckets(SECONDS)
.for_this("The latency that callers see; an objective is set on it.");

/// RPCs by how they ended.
pub const RPCS: Metric = Metric::counter(
    "voyage_gateway.rpcs",
    "voyage_gateway_rpcs_total",
    "RPCs by method, status, and whose doing the end was. Each ends in exactly one outcome.",
)
.labels(&[
    RPC_METHOD,
    STATUS_CODE,
    Label::closed(
        label::OUTCOME,
        &["ok", "caller", "upstream", "gateway", "shed", "cancelled", "panicked"],
    ),
])
.for_this("Traffic and error rate. `outcome` tells who has to act: only `upstream`, `gateway`, `shed` and `panicked` are the service's failures.");

/// Errors by reason.
pub const ERRORS: Metric = Metric::counter(
    "voyage_gateway.errors",
    "voyage_gateway_errors_total",
    "RPCs that were refused or failed, by the reason their caller was told.",
)
.labels(&[
    RPC_METHOD,
    Label::bounded(label::REASON, "a reason of `docs/errors.md`", 64),
    Label::closed(label::BLAME, &["caller", "gateway", "upstream"]),
])
.for_this("Look the reason up in `docs/errors.md`, which says what to do.");

/// RPCs by caller.
pub const CALLER_RPCS: Metric =
    Metric::counter("voyage_gateway.caller_rpcs", "voyage_gateway_caller_rpcs_total", "RPCs by who called.")
        .labels(&[Label::bounded(
            label::CALLER,
            "a caller's name: the first 1,000 of those that `[callers]` names and the first 256 others; further ones are `_other`",
            1_257,
        )])
        .for_this("Who makes the load; who still calls before a caller's rules are changed.");

/// The gateway's own time.
pub const OVERHEAD: Metric = Metric::histogram(
    "voyage_gateway.overhead",
    "voyage_gateway_overhead_seconds",
    "Time of an RPC less the time that an upstream call for it was out.",
)
.unit("s")
.labels(&[RPC_METHOD])
.buckets(&[
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05,
    0.1, 0.25, 0.5, 1.0,
])
.for_this("What the gateway itself costs. High while Voyage is quick: a full queue, a rate limit, or too little CPU.");

/// Where answers come from.
pub const CACHE_LOOKUPS: Metric = Metric::counter(
    "voyage_gateway.cache.lookups",
    "voyage_gateway_cache_lookups_total",
    "Inputs by where their answers came from.",
)
.labels(&[
    Label::closed(label::RESULT, &["hit", "miss", "coalesced", "bypassed", "refused"]),
    Label::closed(label::TIER, &["memory", "none"]),
])
.for_this("The hit ratio: `hit` over all. `coalesced` inputs shared a call with an identical one; `refused` were never looked for.");

/// Answers in the cache.
pub const CACHE_ENTRIES: Metric = Metric::gauge(
    "voyage_gateway.cache.entries",
    "voyage_gateway_cache_entries",
    "Answers in the cache.",
)
.labels(&[TIER])
.for_this("How warm the cache is after a start.");

/// Bytes in the cache.
pub const CACHE_SIZE: Metric = Metric::gauge(
    "voyage_gateway.cache.size",
    "voyage_gateway_cache_size_bytes",
    "Bytes the cache takes, keys and overhead included.",
)
.unit("By")
.labels(&[TIER])
.for_this("Near its maximum, with evictions for size: raise `cache.max_bytes` if the hit ratio is to grow.");

/// The cache's bound.
pub const CACHE_MAX_SIZE: Metric = Metric::gauge(
    "voyage_gateway.cache.max_size",
    "voyage_gateway_cache_max_size_bytes",
    "`cache.max_bytes`.",
)
.unit("By")
.labels(&[TIER])
.for_this("What the size is held against.");

/// What left the cache by itself.
pub const CACHE_EVICTIONS: Metric = Metric::counter(
    "voyage_gateway.cache.evictions",
    "voyage_gateway_cache_evictions_total",
    "Answers that left the cache because it was full or they were old.",
)
.labels(&[TIER, Label::closed(label::CAUSE, &["size", "expired"])])
.for_this("Many for `size`: the cache is too small for what is asked.");

/// Requests in flight.
pub const IN_FLIGHT_REQUESTS: Metric = Metric::gauge(
    "voyage_gateway.in_flight_requests",
    "voyage_gateway_in_flight_requests",
    "Requests let in and not ended.",
)
.for_this("How full the replica is; scale on its share of the maximum.");

/// The bound of requests in flight.
pub const MAX_IN_FLIGHT_REQUESTS: Metric = Metric::gauge(
    "voyage_gateway.max_in_flight_requests",
    "voyage_gateway_max_in_flight_requests",
    "`admission.max_in_flight`.",
)
.for_this("What the requests in flight are held against.");

/// Bytes in flight.
pub const IN_FLIGHT_SIZE: Metric = Metric::gauge(
    "voyage_gateway.in_flight_size",
    "voyage_gateway_in_flight_size_bytes",
    "Bytes of messages, inputs and replies in flight.",
)
.unit("By")
.for_this("How much of the replica's memory callers hold.");

/// The bound of bytes in flight.
pub const MAX_IN_FLIGHT_SIZE: Metric = Metric::gauge(
    "voyage_gateway.max_in_flight_size",
    "voyage_gateway_max_in_flight_size_bytes",
    "`admission.max_bytes`.",
)
.unit("By")
.for_this("What the bytes in flight are held against.");

/// Refusals of a full replica.
pub const SHED: Metric = Metric::counter(
    "voyage_gateway.shed",
    "voyage_gateway_shed_total",
    "Requests, or inputs behind the door, refused because this replica was full.",
)
.for_this("Add replicas, or raise `admission.*` or `batch.max_waiting_*` where memory allows.");

/// Panics.
pub const PANICS: Metric = Metric::counter(
    "voyage_gateway.panics",
    "voyage_gateway_panics_total",
    "RPCs lost to a panic.",
)
.for_this("Any is a defect: report it with the log line.");

/// Refused credentials.
pub const AUTH_FAILURES: Metric = Metric::counter(
    "voyage_gateway.auth_failures",
    "voyage_gateway_auth_failures_total",
    "Calls whose caller is not known, by `auth.mode` and by what is wrong.",
)
.labels(&[
    Label::closed(label::MODE, &["tokens", "jwt", "mtls"]),
    Label::closed(
        label::WHY,
        &[
            "missing",
            "malformed",
            "unknown_token",
            "unknown_key",
            "wrong_algorithm",
            "forged",
            "expired",
            "not_yet_valid",
            "wrong_issuer",
            "wrong_audience",
            "wrong_name",
            "no_keys",
        ],
    ),
])
.for_this("A burst of `unknown_token` or `forged` is an attack or a rotation gone wrong; `no_keys` is the gateway's own trouble.");

/// Open connections.
pub const CONNECTIONS: Metric = Metric::new(
    super::Kind::UpDownCounter,
    "voyage_gateway.connections",
    "voyage_gateway_connections",
    "Connections that are open.",
)
.labels(&[PORT])
.for_this("At the maximum, further callers wait to be accepted.");

/// The bound of connections.
pub const MAX_CONNECTIONS: Metric = Metric::gauge(
    "voyage_gateway.max_connections",
    "voyage_gateway_max_connections",
    "Connections that may be open; further ones wait to be accepted.",
)
.labels(&[PORT])
.for_this("What the open connections are held against. Below `server.max_connections`: raise the limit of open files.");

/// Connections that ended badly.
pub const CONNECTION_FAILURES: Metric = Metric::counter(
    "voyage_gateway.connection_failures",
    "voyage_gateway_connection_failures_total",
    "Connections that could not be accepted, or ended otherwise than by their peer's wish.",
)
.labels(&[
    PORT,
    Label::closed(
        label::REASON,
        &[
            "accept_error",
            "handshake_timeout",
            "handshake_error",
            "unresponsive",
            "protocol_error",
            "cut_at_age",
            "cut_at_drain",
            "panic",
        ],
    ),
])
.for_this("`accept_error`: files or memory run out. `cut_at_drain`: calls take longer than `drain.grace`.");

/// When the certificate expires.
pub const TLS_CERTIFICATE_NOT_AFTER: Metric = Metric::gauge(
    "voyage_gateway.tls.certificate_not_after",
    "voyage_gateway_tls_certificate_not_after_seconds",
    "When the served certificate expires, in seconds since 1970. Absent without `[tls]`.",
)
.unit("s")
.for_this("Alert when it is near: whatever renews the file has failed.");

/// Handshakes.
pub const TLS_HANDSHAKES: Metric = Metric::counter(
    "voyage_gateway.tls.handshakes",
    "voyage_gateway_tls_handshakes_total",
    "TLS handshakes of callers by how they ended.",
)
.labels(&[Label::closed(label::OUTCOME, &["ok", "failed", "timeout"])])
.for_this("`failed` grows when a client's or the authority's certificate is not accepted.");

/// All of these.
pub(super) const ALL: &[&Metric] = &[
    &RPC_DURATION,
    &RPCS,
    &ERRORS,
    &CALLER_RPCS,
    &OVERHEAD,
    &CACHE_LOOKUPS,
    &CACHE_ENTRIES,
    &CACHE_SIZE,
    &CACHE_MAX_SIZE,
    &CACHE_EVICTIONS,
    &IN_FLIGHT_REQUESTS,
    &MAX_IN_FLIGHT_REQUESTS,
    &IN_FLIGHT_SIZE,
    &MAX_IN_FLIGHT_SIZE,
    &SHED,
    &PANICS,
    &AUTH_FAILURES,
    &CONNECTIONS,
    &MAX_CONNECTIONS,
    &CONNECTION_FAILURES,
    &TLS_CERTIFICATE_NOT_AFTER,
    &TLS_HANDSHAKES,
];
