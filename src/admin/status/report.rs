//! What the page says, as values: `/status` is this as JSON. What nobody counts is `null`.
//!
//! `last_minute` is what was counted in the last `window_seconds`: some 60, fewer after a start.

use serde::Serialize;

/// The gateway's state.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Status {
    /// The version of the program.
    pub version: String,
    /// The source revision it was built from.
    pub revision: String,
    /// Since its start.
    pub uptime_seconds: f64,
    /// The span that `last_minute` is about.
    pub window_seconds: f64,
    /// Whether it is well, and who has to act if not.
    pub health: Health,
    /// RPCs by how they ended.
    pub rpcs: Rpcs,
    /// How inputs were answered.
    pub cache: Cache,
    /// What was paid and what was not, in USD by the catalogue's prices.
    pub cost: Cost,
    /// Tokens by what became of them.
    pub tokens: Tokens,
    /// The sliding minute of each model and key.
    pub rate_limits: Vec<RateLimit>,
    /// The gateway's own budgets of tokens that are set.
    pub budgets: Vec<Budget>,
    /// What waits and what is under way.
    pub work: Work,
    /// Voyage, as calls to it find it.
    pub upstream: Upstream,
    /// Those who used the most tokens since the start, at most ten.
    pub callers: Vec<CallerUse>,
    /// The slowest RPCs of the last ten minutes.
    pub slow_rpcs: Vec<SlowRpc>,
    /// The process.
    pub process: Process,
}

/// Whether the gateway is well.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Health {
    /// `well`, `impaired`, `failing` (only what is cached is answered) or `draining`.
    pub state: &'static str,
    /// What this gateway or its operators have to see to.
    pub gateway: Vec<Cause>,
    /// What Voyage does.
    pub voyage: Vec<Cause>,
    /// What callers do.
    pub callers: Vec<Cause>,
}

/// Why something is not well.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Cause {
    /// For programs.
    pub code: &'static str,
    /// `notice`, `impaired` or `failing`.
    pub severity: Severity,
    /// For people.
    pub text: String,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// Worth knowing.
    Notice,
    /// Some calls fail or wait.
    Impaired,
    /// Only what is cached is answered.
    Failing,
}

/// A counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Count {
    /// In the last minute.
    pub last_minute: f64,
    /// Since the start.
    pub since_start: f64,
}

/// RPCs.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Rpcs {
    /// In the last minute.
    pub per_second: f64,
    /// All of them.
    pub all: Count,
    /// By outcome, each that there is.
    pub outcomes: Vec<Named>,
    /// Seconds that half took at most, in the last minute.
    pub p50_seconds: Option<f64>,
    /// Seconds that 99 % took at most, in the last minute.
    pub p99_seconds: Option<f64>,
}

/// A counter of several.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Named {
    /// What is counted.
    pub name: String,
    /// How many.
    #[serde(flatten)]
    pub count: Count,
}

/// How inputs were answered.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Cache {
    /// Hits out of the inputs that were looked up, in the last minute.
    pub hit_ratio_last_minute: Option<f64>,
    /// The same since the start.
    pub hit_ratio_since_start: Option<f64>,
    /// Answers kept.
    pub entries: Option<f64>,
    /// Bytes they take.
    pub bytes: Option<f64>,
    /// Bytes they may take.
    pub max_bytes: Option<f64>,
}

/// USD.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Cost {
    /// Paid.
    pub spent_usd: Option<Count>,
    /// Not paid, because of the cache and of flights that were shared.
    pub saved_usd: Option<Count>,
}

/// Tokens.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Tokens {
    /// Reported by Voyage.
    pub billed: Count,
    /// Not sent, because of the cache and of flights that were shared.
    pub saved: Option<Count>,
}

/// A sliding minute.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct RateLimit {
    /// The model, by the catalogue.
    pub model: String,
    /// The key's alias.
    pub key: String,
    /// Requests.
    pub requests: Option<Use>,
    /// Tokens.
    pub tokens: Option<Use>,
}

/// How much of something is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Use {
    /// Used, or held for calls.
    pub used: f64,
    /// What there is.
    pub limit: f64,
}

/// A budget of tokens.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Budget {
    /// The setting.
    pub budget: String,
    /// Tokens.
    #[serde(flatten)]
    pub tokens: Use,
}

/// What waits and what is under way.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Work {
    /// Texts that wait for a call.
    pub waiting_texts: Option<f64>,
    /// Their bytes.
    pub waiting_bytes: Option<f64>,
    /// Seconds that half of those who left waited at most, in the last minute.
    pub wait_p50_seconds: Option<f64>,
    /// Seconds that 99 % waited at most.
    pub wait_p99_seconds: Option<f64>,
    /// Calls to Voyage that are out.
    pub calls: Option<f64>,
    /// How many may be.
    pub max_calls: Option<f64>,
    /// How full batches were on average in the last minute, 0 to 1.
    pub batch_fill: Option<f64>,
    /// Texts in a batch on average in the last minute.
    pub batch_texts: Option<f64>,
    /// Requests let in.
    pub requests: Option<f64>,
    /// How many may be.
    pub max_requests: Option<f64>,
    /// Bytes of them.
    pub request_bytes: Option<f64>,
    /// How many there may be.
    pub max_request_bytes: Option<f64>,
}

/// Voyage.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Upstream {
    /// `closed`, `open` or `half_open`.
    pub breaker: Option<String>,
    /// Calls.
    pub calls: Count,
    /// Calls by HTTP status; `none` without an answer.
    pub statuses: Vec<Named>,
    /// Seconds that half of the calls took at most, in the last minute.
    pub p50_seconds: Option<f64>,
    /// Seconds that 99 % took at most.
    pub p99_seconds: Option<f64>,
    /// Calls that were repeated.
    pub retries: Count,
    /// Calls that were answered with 429.
    pub rate_limited: Count,
    /// Repeats that the budget allows.
    pub retry_budget: Option<f64>,
    /// Whether the account has no payment method: 3 requests and 10,000 tokens a minute.
    pub free_tier: bool,
    /// The API keys.
    pub keys: Vec<ApiKey>,
    /// The last failures, the newest first.
    pub errors: Vec<UpstreamError>,
}

/// An API key.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ApiKey {
    /// Its alias.
    pub key: String,
    /// Whether it is set aside because Voyage rejected it.
    pub rejected: bool,
}

/// A call that failed.
#[derive(Clone, Debug, Serialize)]
pub(super) struct UpstreamError {
    /// As `ErrorInfo` names it.
    pub reason: &'static str,
    /// Whose doing it is: `caller`, `gateway` or `upstream`.
    pub blame: &'static str,
    /// The HTTP status.
    pub status: Option<u16>,
    /// The key's alias.
    pub key: String,
    /// How long ago.
    pub age_seconds: f64,
    /// Voyage's `x-request-id`.
    pub request_id: Option<String>,
    /// The batch's trace.
    pub trace_id: Option<String>,
}

/// What a caller used.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct CallerUse {
    /// Its name; `_other` for all those that are too many, `abandoned` for what nobody waited for any more.
    pub caller: String,
    /// Tokens Voyage billed for it.
    pub tokens: Count,
    /// Its RPCs.
    pub rpcs: Option<Count>,
}

/// An RPC that took long.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SlowRpc {
    /// `package.Service/Method`.
    pub method: &'static str,
    /// From its first byte to its last.
    pub seconds: f64,
    /// How it ended.
    pub outcome: &'static str,
    /// Who called.
    pub caller: Option<String>,
    /// Its `x-request-id`.
    pub request_id: String,
    /// Its trace.
    pub trace_id: String,
    /// How long ago it ended.
    pub age_seconds: f64,
}

/// The process.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Process {
    /// Memory it takes.
    pub resident_bytes: Option<f64>,
    /// Its threads.
    pub threads: Option<f64>,
    /// Files it has open.
    pub file_descriptors: Option<f64>,
    /// Connections by port.
    pub connections: Vec<Connections>,
    /// Until the certificate that callers are shown expires; negative when it has.
    pub certificate_expires_in_seconds: Option<f64>,
}

/// Connections.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Connections {
    /// `grpc` or `admin`.
    pub port: String,
    /// Open.
    pub open: f64,
    /// How many may be.
    pub max: Option<f64>,
}
