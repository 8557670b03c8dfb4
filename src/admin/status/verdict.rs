//! The health of the gateway, and its problems by the side that causes them.

use std::collections::BTreeMap;

use super::{
    format,
    history::CountWindow,
    report::{
        Count, Problem,
        Severity::{self, Failing, Impaired, Notice},
        Status, Verdict,
    },
};
use crate::telemetry::{
    RpcOutcome,
    catalogue::{self, label},
};

/// How long before its end a certificate is reported, in seconds.
const CERTIFICATE_NOTICE: f64 = 14.0 * 86_400.0;

/// The share of a budget from which it counts as used up: hardly a call fits into the rest.
const USED_UP: f64 = 0.99;

/// The share of RPCs that exceed their deadline from which Voyage counts as slow.
const LATE_SHARE: f64 = 0.05;

/// The fewest such RPCs.
const LATE_COUNT: f64 = 5.0;

/// Judges the last minute, and the state of now.
pub(super) fn of(status: &Status, window: &CountWindow<'_>, is_ready: bool) -> Verdict {
    let gateway = gateway(status, window, is_ready);
    let (voyage, callers) = (voyage(status, window), callers(status, window));
    let worst = gateway.iter().chain(&voyage).map(|cause| cause.severity).max();
    let state = match worst {
        _ if !is_ready => "draining",
        Some(Failing) => "failing",
        Some(Impaired) => "impaired",
        Some(Notice) | None => "well",
    };
    Verdict { state, gateway, voyage, callers }
}

#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, code: &'static str, severity: Severity, text: impl Into<String>) {
        self.0.push(Problem { code, severity, text: text.into() });
    }

    /// Adds a problem with a count of the last minute, unless it is 0.
    fn count(&mut self, code: &'static str, severity: Severity, n: f64, text: &str) {
        if n > 0.0 {
            self.add(code, severity, format!("{text} in the last minute."));
        }
    }
}

fn gateway(status: &Status, window: &CountWindow<'_>, is_ready: bool) -> Vec<Problem> {
    let mut causes = Problems::default();
    if !is_ready {
        causes.add("draining", Notice, "Shutting down; calls in flight are completed.");
    }
    rejected_keys(status, &mut causes);
    budgets(status, window, &mut causes);
    let shed = outcome(window, RpcOutcome::Shed);
    causes.count("full", Impaired, shed, &format!("Overloaded: {} refused", rpcs(shed)));
    let waiting = reason(window, "QUEUE_TIMEOUT");
    let text = format!("{} refused because the rate limit is used up", rpcs(waiting));
    causes.count("rate_limit_full", Impaired, waiting, &text);
    let panics = window.total(&catalogue::PANICS).last_minute;
    causes.count("panic", Impaired, panics, &format!("Defect: {} panicked", rpcs(panics)));
    let failed = outcome(window, RpcOutcome::Gateway);
    let text = format!("{} failed with a gateway error", rpcs(failed));
    causes.count("failures", Impaired, failed, &text);
    match status.process.certificate_expires_in_seconds {
        Some(left) if left <= 0.0 => {
            let text = format!("The certificate expired {} ago.", format::span(-left));
            causes.add("certificate", Failing, text);
        }
        Some(left) if left < CERTIFICATE_NOTICE => {
            let text = format!("The certificate expires in {}.", format::span(left));
            causes.add("certificate", Notice, text);
        }
        _ => {}
    }
    causes.0
}

fn rejected_keys(status: &Status, causes: &mut Problems) {
    let keys = &status.upstream.keys;
    let (severity, rest) = if keys.iter().any(|key| !key.rejected) {
        (Impaired, "Other keys are in use.")
    } else {
        (Failing, "Only cached inputs are answered.")
    };
    for key in keys.iter().filter(|key| key.rejected) {
        let text = format!("Voyage rejects the key {}: replace it. {rest}", key.key);
        causes.add("key_rejected", severity, text);
    }
}

fn budgets(status: &Status, window: &CountWindow<'_>, causes: &mut Problems) {
    for budget in &status.budgets {
        let name = &budget.budget;
        if budget.tokens.used >= budget.tokens.limit * USED_UP {
            let text = format!("{name} is used up: only cached inputs are answered.");
            causes.add("budget_exhausted", Failing, text);
        } else {
            let refused = window.last(&catalogue::QUOTA_REFUSALS, label::RULE, name);
            let text = format!("{name} had too few tokens left for {}", plural(refused, "request"));
            causes.count("budget_short", Impaired, refused, &text);
        }
    }
    if status.upstream.free_tier {
        let text = "The account has no payment method: 3 requests and 10,000 tokens a minute.";
        causes.add("free_tier", Impaired, text);
    }
}

fn voyage(status: &Status, window: &CountWindow<'_>) -> Vec<Problem> {
    let mut causes = Problems::default();
    match status.upstream.breaker.as_deref() {
        Some("open") => {
            let text = "The circuit breaker is open: only cached inputs are answered.";
            causes.add("breaker_open", Failing, text);
        }
        Some("half_open") => {
            let text = "The circuit breaker is half-open: the next call is a probe.";
            causes.add("breaker_half_open", Notice, text);
        }
        _ => {}
    }
    let calls = plural(status.upstream.calls.last_minute, "call");
    let limited = status.upstream.rate_limited.last_minute;
    let text = format!("{} of {calls} rate limited (429)", format::count(limited));
    causes.count("rate_limited", Impaired, limited, &text);
    let is_failure = |status: &str| status == "none" || status.starts_with('5');
    let failed = sum(&window.by(&catalogue::UPSTREAM_CALLS, label::STATUS), is_failure);
    let text = format!("{} of {calls} failed", format::count(failed));
    causes.count("calls_failed", Impaired, failed, &text);
    let late = reason(window, "DEADLINE_EXCEEDED");
    if late >= LATE_COUNT && late >= LATE_SHARE * status.rpcs.all.last_minute {
        let text = format!("Slow: {} exceeded the deadline", rpcs(late));
        causes.count("slow", Impaired, late, &text);
    }
    let lost = outcome(window, RpcOutcome::Upstream) - reason(window, "QUEUE_TIMEOUT");
    let text = format!("{} failed with a Voyage error", rpcs(lost));
    causes.count("failures", Impaired, lost, &text);
    causes.0
}

/// Errors of callers do not affect other callers.
fn callers(status: &Status, window: &CountWindow<'_>) -> Vec<Problem> {
    let mut causes = Problems::default();
    let of_all = |n| format!("{} of {}", format::count(n), rpcs(status.rpcs.all.last_minute));
    let refused = outcome(window, RpcOutcome::Caller);
    let text = format!("{} failed with a caller error", of_all(refused));
    causes.count("refused", Notice, refused, &text);
    let over = sum(&window.by(&catalogue::QUOTA_REFUSALS, label::RULE), |rule| {
        !rule.starts_with("limits.")
    });
    let text = format!("{} exceeded a caller's quota", plural(over, "request"));
    causes.count("quota", Notice, over, &text);
    let left = outcome(window, RpcOutcome::Cancelled);
    causes.count("cancelled", Notice, left, &format!("{} cancelled", of_all(left)));
    causes.0
}

fn outcome(window: &CountWindow<'_>, outcome: RpcOutcome) -> f64 {
    window.last(&catalogue::RPCS, label::OUTCOME, outcome.as_str())
}

fn reason(window: &CountWindow<'_>, name: &str) -> f64 {
    window.last(&catalogue::ERRORS, label::REASON, name)
}

/// Returns the count of the last minute for some values of a counter's label.
fn sum(counts: &BTreeMap<String, Count>, of: impl Fn(&str) -> bool) -> f64 {
    counts.iter().filter(|(value, _)| of(value)).map(|(_, count)| count.last_minute).sum()
}

fn rpcs(n: f64) -> String {
    plural(n, "RPC")
}

fn plural(n: f64, noun: &str) -> String {
    format!("{} {noun}{}", format::count(n), if n > 1.0 { "s" } else { "" })
}
