//! The caller's side: RPCs, cache, admission and connections.
#![expect(missing_docs, reason = "each entry's description documents it")]

use super::{
    Label, Metric, RPC_METHOD, SECONDS, counter, gauge, histogram, label, up_down_counter,
};
use crate::telemetry::semconv;

const STATUS_CODE: Label =
    Label::bounded(semconv::RPC_RESPONSE_STATUS_CODE, "a gRPC status code, such as `OK`", 17);

const TIER: Label = Label::closed(label::TIER, &["memory"]);

const PORT: Label = Label::closed(label::PORT, &["grpc", "admin"]);

pub const RPC_DURATION: Metric = histogram(
    "rpc.server.call.duration",
    "Duration of an RPC, from the first byte of the request to the last byte of the reply.",
    SECONDS,
)
.unit("s")
.labels(&[
    Label::closed(semconv::RPC_SYSTEM_NAME, &["grpc"]),
    RPC_METHOD,
    STATUS_CODE,
    // A series has one status code, so this label adds no series.
    Label::bounded(semconv::ERROR_TYPE, "the status code; absent for `OK`", 1).optional(),
])
.purpose("The latency that callers see.");

pub const RPCS: Metric = counter(
    "voyage_gateway.rpcs",
    "RPCs by method, status code and outcome. Each RPC has exactly one outcome.",
)
.labels(&[
    RPC_METHOD,
    STATUS_CODE,
    Label::closed(
        label::OUTCOME,
        &["ok", "caller", "upstream", "gateway", "shed", "cancelled", "panicked"],
    ),
])
.purpose("Request rate and error rate. Only `upstream`, `gateway`, `shed` and `panicked` are failures of the service.");

pub const ERRORS: Metric =
    counter("voyage_gateway.errors", "Refused and failed RPCs by reason, and by who must act.")
        .labels(&[
            RPC_METHOD,
            Label::bounded(label::REASON, "a reason of `docs/errors.md`", 64),
            Label::closed(label::BLAME, &["caller", "gateway", "upstream"]),
        ])
        .purpose("`docs/errors.md` says what to do about each reason.");

pub const CALLER_RPCS: Metric = counter("voyage_gateway.caller_rpcs", "RPCs by caller.")
    .labels(&[Label::bounded(
        label::CALLER,
        "a caller's name: the first 1,000 callers of `[callers]` and the first 256 others; `_other` for all further callers",
        1_257,
    )])
    .purpose("Shows which callers cause the load.");

pub const OVERHEAD: Metric = histogram(
    "voyage_gateway.overhead",
    "Duration of an RPC minus the time during which an upstream call for it was in flight.",
    &[
        0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01,
        0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
    ],
)
.unit("s")
.labels(&[RPC_METHOD])
.purpose("The latency that the gateway adds. If it is high, the queue is full, a rate limit is reached, or CPU is short.");

pub const CACHE_LOOKUPS: Metric =
    counter("voyage_gateway.cache.lookups", "Inputs by the source of their answers.")
        .labels(&[
            Label::closed(label::RESULT, &["hit", "miss", "coalesced", "bypassed", "refused"]),
            Label::bounded(label::TIER, "`memory` for hits, else `none`", 1),
        ])
        .purpose("The hit ratio is `hit` over `hit` + `miss` + `coalesced`. `coalesced` inputs share a call with an identical input; `refused` inputs were not looked up.");

pub const CACHE_ENTRIES: Metric = gauge("voyage_gateway.cache.entries", "Entries in the cache.")
    .labels(&[TIER])
    .purpose("Shows how full the cache is after a start.");

pub const CACHE_SIZE: Metric =
    gauge("voyage_gateway.cache.size", "Size of the cache, with keys and overhead.")
        .unit("By")
        .labels(&[TIER])
        .purpose("If it is near the maximum and entries are evicted for size, a larger `cache.max_bytes` raises the hit ratio.");

pub const CACHE_MAX_SIZE: Metric =
    gauge("voyage_gateway.cache.max_size", "Maximum size of the cache: `cache.max_bytes`.")
        .unit("By")
        .labels(&[TIER])
        .purpose("The limit of the size.");

pub const CACHE_EVICTIONS: Metric =
    counter("voyage_gateway.cache.evictions", "Evicted cache entries by cause.")
        .labels(&[TIER, Label::closed(label::CAUSE, &["size", "expired"])])
        .purpose("Many evictions for `size` mean that the cache is too small.");

pub const IN_FLIGHT_REQUESTS: Metric =
    gauge("voyage_gateway.in_flight_requests", "Admitted requests that have not ended.")
        .purpose("The load of the replica: scale on its ratio to the maximum.");

pub const MAX_IN_FLIGHT_REQUESTS: Metric = gauge(
    "voyage_gateway.max_in_flight_requests",
    "Maximum of admitted requests: `admission.max_in_flight`.",
)
.purpose("The limit of the requests in flight.");

pub const IN_FLIGHT_SIZE: Metric =
    gauge("voyage_gateway.in_flight_size", "Bytes of messages, inputs and replies in flight.")
        .unit("By")
        .purpose("The memory that requests in flight use.");

pub const MAX_IN_FLIGHT_SIZE: Metric = gauge(
    "voyage_gateway.max_in_flight_size",
    "Maximum of bytes in flight: `admission.max_bytes`.",
)
.unit("By")
.purpose("The limit of the bytes in flight.");

pub const SHED: Metric = counter(
    "voyage_gateway.shed",
    "Requests and queued inputs refused because the replica was full.",
)
.purpose("Add replicas, or raise `admission.*` or `batch.max_waiting_*` if memory allows.");

pub const PANICS: Metric = counter("voyage_gateway.panics", "RPCs that ended in a panic.")
    .purpose("A panic is a defect: report it with the log line.");

pub const AUTH_FAILURES: Metric = counter(
    "voyage_gateway.auth_failures",
    "Calls refused because of their credential, by `auth.mode` and cause.",
)
.labels(&[
    Label::bounded(label::MODE, "`auth.mode`: `tokens`, `jwt` or `mtls`", 3),
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
.purpose("Many `unknown_token` or `forged` mean an attack or a failed rotation; `no_keys` means that the gateway has no keys to verify tokens.");

pub const CONNECTIONS: Metric = up_down_counter("voyage_gateway.connections", "Open connections.")
    .labels(&[PORT])
    .purpose("At the maximum, further connections wait to be accepted.");

pub const MAX_CONNECTIONS: Metric =
    gauge("voyage_gateway.max_connections", "Maximum of open connections.")
        .labels(&[PORT])
        .purpose("The limit of the open connections. If it is below `server.max_connections`, raise the limit of open files.");

pub const CONNECTION_FAILURES: Metric = counter(
    "voyage_gateway.connection_failures",
    "Connections that were not accepted or that the gateway closed because of a failure.",
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
.purpose("`accept_error` means too many open files or too little memory; `cut_at_drain` means that calls take longer than `drain.grace`.");

pub const TLS_CERTIFICATE_NOT_AFTER: Metric = gauge(
    "voyage_gateway.tls.certificate_not_after",
    "Expiry time of the served certificate, in seconds since 1970. Absent without `[tls]`.",
)
.unit("s")
.purpose("Alert before the certificate expires: its renewal has failed.");

pub const TLS_HANDSHAKES: Metric =
    counter("voyage_gateway.tls.handshakes", "TLS handshakes by outcome.")
        .labels(&[Label::closed(label::OUTCOME, &["ok", "failed", "timeout"])])
        .purpose(
            "`failed` grows if the certificate of a client or of its authority is not accepted.",
        );

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
