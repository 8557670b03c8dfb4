//! Whether the gateway is healthy, and whose problem it is if not.

use super::{
    format,
    history::Counts,
    report::{
        Cause, Health,
        Severity::{self, Failing, Impaired, Notice},
        Status,
    },
};
use crate::telemetry::{RpcOutcome, catalogue};

/// How long before its end a certificate is reported, in seconds.
const CERTIFICATE_NOTICE: f64 = 14.0 * 86_400.0;

/// The share of a budget from which it counts as used up: hardly a call fits into the rest.
const USED_UP: f64 = 0.99;

/// The share of RPCs that exceed their deadline from which Voyage counts as slow.
const LATE_SHARE: f64 = 0.05;

/// The fewest such RPCs.
const LATE_COUNT: f64 = 5.0;

/// Judges the last minute, and the state of now.
pub(super) fn of(status: &Status, last_minute: &Counts, is_ready: bool) -> Health {
    let gateway = gateway(status, last_minute, is_ready);
    let (voyage, callers) = (voyage(status, last_minute), callers(status, last_minute));
    let worst = gateway.iter().chain(&voyage).map(|cause| cause.severity).max();
    let state = match worst {
        _ if !is_ready => "draining",
        Some(Failing) => "failing",
        Some(Impaired) => "impaired",
        Some(Notice) | None => "well",
    };
    Health { state, gateway, voyage, callers }
}

#[derive(Default)]
struct Causes(Vec<Cause>);

impl Causes {
    fn add(&mut self, code: &'static str, severity: Severity, text: impl Into<String>) {
        self.0.push(Cause { code, severity, text: text.into() });
    }

    /// Adds a cause that was counted in the last minute; `n` is 0: it was not.
    fn counted(&mut self, code: &'static str, severity: Severity, n: f64, text: &str) {
        if n > 0.0 {
            self.add(code, severity, format!("{text} in the last minute."));
        }
    }
}

fn gateway(status: &Status, last_minute: &Counts, is_ready: bool) -> Vec<Cause> {
    let mut causes = Causes::default();
    if !is_ready {
        causes.add("draining", Notice, "Shutting down; calls in flight are completed.");
    }
    rejected_keys(status, &mut causes);
    budgets(status, last_minute, &mut causes);
    let shed = outcome(last_minute, RpcOutcome::Shed);
    causes.counted("full", Impaired, shed, &format!("Overloaded: {} refused", rpcs(shed)));
    let waiting = reason(last_minute, "QUEUE_TIMEOUT");
    let text = format!("{} refused because the rate limit is used up", rpcs(waiting));
    causes.counted("rate_limit_full", Impaired, waiting, &text);
    let panics = last_minute.total(&catalogue::PANICS);
    causes.counted("panic", Impaired, panics, &format!("Defect: {} panicked", rpcs(panics)));
    let failed = outcome(last_minute, RpcOutcome::Gateway);
    let text = format!("{} failed with a gateway error", rpcs(failed));
    causes.counted("failures", Impaired, failed, &text);
    certificate(status, &mut causes);
    causes.0
}

fn rejected_keys(status: &Status, causes: &mut Causes) {
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

fn budgets(status: &Status, last_minute: &Counts, causes: &mut Causes) {
    for budget in &status.budgets {
        if budget.tokens.used >= budget.tokens.limit * USED_UP {
            let text = format!("{} is used up: only cached inputs are answered.", budget.budget);
            causes.add("budget_exhausted", Failing, text);
        } else {
            let refused = last_minute.of_label(&catalogue::QUOTA_REFUSALS, &budget.budget);
            let text = format!(
                "{} had too few tokens left for {}",
                budget.budget,
                plural(refused, "request")
            );
            causes.counted("budget_short", Impaired, refused, &text);
        }
    }
    if status.upstream.free_tier {
        let text = "The account has no payment method: 3 requests and 10,000 tokens a minute.";
        causes.add("free_tier", Impaired, text);
    }
}

fn certificate(status: &Status, causes: &mut Causes) {
    let Some(left) = status.process.certificate_expires_in_seconds else { return };
    if left <= 0.0 {
        let text = format!("The certificate expired {} ago.", format::span(-left));
        causes.add("certificate", Failing, text);
    } else if left < CERTIFICATE_NOTICE {
        let text = format!("The certificate expires in {}.", format::span(left));
        causes.add("certificate", Notice, text);
    }
}

fn voyage(status: &Status, last_minute: &Counts) -> Vec<Cause> {
    let mut causes = Causes::default();
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
    let of_calls =
        |n| format!("{} of {}", format::count(n), calls(status.upstream.calls.last_minute));
    let limited = status.upstream.rate_limited.last_minute;
    let text = format!("{} rate limited (429)", of_calls(limited));
    causes.counted("rate_limited", Impaired, limited, &text);
    let statuses = last_minute.by(&catalogue::UPSTREAM_CALLS);
    let failed = statuses.filter(|(status, _)| *status == "none" || status.starts_with('5'));
    let failed = failed.map(|(_, n)| n).sum();
    causes.counted("calls_failed", Impaired, failed, &format!("{} failed", of_calls(failed)));
    let late = reason(last_minute, "DEADLINE_EXCEEDED");
    if late >= LATE_COUNT && late >= LATE_SHARE * status.rpcs.all.last_minute {
        let text = format!("Slow: {} exceeded the deadline", rpcs(late));
        causes.counted("slow", Impaired, late, &text);
    }
    let lost = outcome(last_minute, RpcOutcome::Upstream) - reason(last_minute, "QUEUE_TIMEOUT");
    let text = format!("{} failed with a Voyage error", rpcs(lost));
    causes.counted("failures", Impaired, lost, &text);
    causes.0
}

/// Errors of callers affect nobody else.
fn callers(status: &Status, last_minute: &Counts) -> Vec<Cause> {
    let mut causes = Causes::default();
    let of_rpcs = |n| format!("{} of {}", format::count(n), rpcs(status.rpcs.all.last_minute));
    let refused = outcome(last_minute, RpcOutcome::Caller);
    let text = format!("{} failed with a caller error", of_rpcs(refused));
    causes.counted("refused", Notice, refused, &text);
    let refusals = last_minute.by(&catalogue::QUOTA_REFUSALS);
    let over = refusals.filter(|(rule, _)| !rule.starts_with("limits.")).map(|(_, n)| n).sum();
    let text = format!("{} exceeded a caller's quota", plural(over, "request"));
    causes.counted("quota", Notice, over, &text);
    let left = outcome(last_minute, RpcOutcome::Cancelled);
    causes.counted("cancelled", Notice, left, &format!("{} cancelled", of_rpcs(left)));
    causes.0
}

fn outcome(last_minute: &Counts, outcome: RpcOutcome) -> f64 {
    last_minute.of_label(&catalogue::RPCS, outcome.as_str())
}

fn reason(last_minute: &Counts, name: &str) -> f64 {
    last_minute.of_label(&catalogue::ERRORS, name)
}

fn rpcs(n: f64) -> String {
    plural(n, "RPC")
}

fn calls(n: f64) -> String {
    plural(n, "call")
}

fn plural(n: f64, noun: &str) -> String {
    format!("{} {noun}{}", format::count(n), if n > 1.0 { "s" } else { "" })
}
