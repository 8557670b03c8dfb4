//! Is it us, them or the caller?

use super::{
    format,
    report::{Cause, Health, Severity, Status},
    sample::Counts,
};
use crate::telemetry::catalogue::{self, Metric};

/// From how long before its end a certificate is spoken of, in seconds.
const CERTIFICATE_NOTICE: f64 = 14.0 * 86_400.0;

/// The share of a budget from which it counts as used up: hardly a call fits into the rest.
const USED_UP: f64 = 0.99;

/// The share of RPCs that run out of time from which Voyage is too slow, and the fewest that tell.
const LATE: (f64, f64) = (0.05, 5.0);

/// Says what is not well, and whose it is to mend.
pub(super) fn of(status: &Status, window: &Counts, is_ready: bool) -> Health {
    let gateway = gateway(status, window, is_ready);
    let (voyage, callers) = (voyage(status, window), callers(status, window));
    let worst = gateway.iter().chain(&voyage).map(|cause| cause.severity).max();
    let state = match worst {
        _ if !is_ready => "draining",
        Some(Severity::Failing) => "failing",
        Some(Severity::Impaired) => "impaired",
        Some(Severity::Notice) | None => "well",
    };
    Health { state, gateway, voyage, callers }
}

/// Collects what is the case.
#[derive(Default)]
struct Causes(Vec<Cause>);

impl Causes {
    fn add(&mut self, code: &'static str, severity: Severity, text: impl Into<String>) {
        self.0.push(Cause { code, severity, text: text.into() });
    }
}

fn gateway(status: &Status, window: &Counts, is_ready: bool) -> Vec<Cause> {
    let mut causes = Causes::default();
    if !is_ready {
        causes.add("draining", Severity::Notice, "It is shutting down and finishes what it has.");
    }
    rejected_keys(status, &mut causes);
    budgets(status, window, &mut causes);
    let plain = |metric: &Metric| window.plain.get(metric.name).copied().unwrap_or_default();
    let shed = outcome(window, "shed");
    if shed > 0.0 {
        let text = format!("Full: {} refused in the last minute.", rpcs(shed));
        causes.add("full", Severity::Impaired, text);
    }
    let waiting = reason(window, "QUEUE_TIMEOUT");
    if waiting > 0.0 {
        let text = format!(
            "{} could not wait for room in the rate limit in the last minute.",
            rpcs(waiting)
        );
        causes.add("rate_limit_full", Severity::Impaired, text);
    }
    let panics = plain(&catalogue::PANICS);
    if panics > 0.0 {
        let text = format!("A defect: {} lost to a panic in the last minute.", rpcs(panics));
        causes.add("panic", Severity::Impaired, text);
    }
    let failed = outcome(window, "gateway");
    if failed > 0.0 {
        let text = format!("{} failed by our doing in the last minute.", rpcs(failed));
        causes.add("failures", Severity::Impaired, text);
    }
    certificate(status, &mut causes);
    causes.0
}

fn rejected_keys(status: &Status, causes: &mut Causes) {
    let keys = &status.upstream.keys;
    let others = keys.iter().any(|key| !key.rejected);
    for key in keys.iter().filter(|key| key.rejected) {
        let (severity, rest) = if others {
            (Severity::Impaired, "others are in use")
        } else {
            (Severity::Failing, "only what is cached is answered")
        };
        let text = format!("Voyage rejects the key {}: replace it; {rest}.", key.key);
        causes.add("key_rejected", severity, text);
    }
}

fn budgets(status: &Status, window: &Counts, causes: &mut Causes) {
    for budget in &status.budgets {
        let refused = window.refusals.iter().any(|(rule, n)| budget.budget == *rule && *n > 0.0);
        if budget.tokens.used >= budget.tokens.limit * USED_UP {
            let text = format!("{} is used up: only what is cached is answered.", budget.budget);
            causes.add("budget_exhausted", Severity::Failing, text);
        } else if refused {
            let text = format!("What is left of {} was not enough for some.", budget.budget);
            causes.add("budget_short", Severity::Impaired, text);
        }
    }
    if status.upstream.free_tier {
        let text = "The account has no payment method: 3 requests and 10,000 tokens a minute.";
        causes.add("free_tier", Severity::Impaired, text);
    }
}

fn certificate(status: &Status, causes: &mut Causes) {
    let Some(left) = status.process.certificate_expires_in_seconds else { return };
    if left <= 0.0 {
        let text = format!("The certificate expired {} ago.", format::span(-left));
        causes.add("certificate", Severity::Failing, text);
    } else if left < CERTIFICATE_NOTICE {
        let text = format!("The certificate expires in {}.", format::span(left));
        causes.add("certificate", Severity::Notice, text);
    }
}

fn voyage(status: &Status, window: &Counts) -> Vec<Cause> {
    let mut causes = Causes::default();
    match status.upstream.breaker.as_deref() {
        Some("open") => {
            let text = "It kept failing and is given a rest: only what is cached is answered.";
            causes.add("breaker_open", Severity::Failing, text);
        }
        Some("half_open") => {
            let text = "It kept failing; the next call tries it again.";
            causes.add("breaker_half_open", Severity::Notice, text);
        }
        _ => {}
    }
    let calls = status.upstream.calls.last_minute;
    let limited = status.upstream.rate_limited.last_minute;
    if limited > 0.0 {
        let text = format!("429 for {} of {} calls in the last minute.", n(limited), n(calls));
        causes.add("rate_limited", Severity::Impaired, text);
    }
    let is_failure = |status: &str| status == "none" || status.starts_with('5');
    let failed: f64 =
        window.statuses.iter().filter(|(status, _)| is_failure(status)).map(|(_, n)| n).sum();
    if failed > 0.0 {
        let text = format!("{} of {} calls failed in the last minute.", n(failed), n(calls));
        causes.add("calls_failed", Severity::Impaired, text);
    }
    let late = reason(window, "DEADLINE_EXCEEDED");
    if late >= LATE.1 && late >= LATE.0 * status.rpcs.all.last_minute {
        let text = format!("{} ran out of time waiting for it in the last minute.", rpcs(late));
        causes.add("slow", Severity::Impaired, text);
    }
    let lost = outcome(window, "upstream") - reason(window, "QUEUE_TIMEOUT");
    if lost > 0.0 {
        let text = format!("{} failed because of it in the last minute.", rpcs(lost));
        causes.add("failures", Severity::Impaired, text);
    }
    causes.0
}

/// What callers do wrong impairs nobody but them.
fn callers(status: &Status, window: &Counts) -> Vec<Cause> {
    let mut causes = Causes::default();
    let refused = outcome(window, "caller");
    let all = status.rpcs.all.last_minute;
    if refused > 0.0 {
        let text = format!(
            "{} of {} RPCs were refused for what callers sent, or did not wait for, in the last minute.",
            n(refused),
            n(all)
        );
        causes.add("refused", Severity::Notice, text);
    }
    let over: f64 = window
        .refusals
        .iter()
        .filter(|(rule, _)| !rule.starts_with("limits."))
        .map(|(_, refusals)| refusals)
        .sum();
    if over > 0.0 {
        let text = format!("{} beyond a caller's quota in the last minute.", requests(over));
        causes.add("quota", Severity::Notice, text);
    }
    let left = outcome(window, "cancelled");
    if left > 0.0 {
        let text = format!("{} of {} RPCs were cancelled in the last minute.", n(left), n(all));
        causes.add("cancelled", Severity::Notice, text);
    }
    causes.0
}

fn outcome(window: &Counts, name: &str) -> f64 {
    window.outcomes.get(name).copied().unwrap_or_default()
}

fn reason(window: &Counts, name: &str) -> f64 {
    window.reasons.get(name).copied().unwrap_or_default()
}

fn n(count: f64) -> String {
    format::count(count)
}

fn rpcs(count: f64) -> String {
    format!("{} RPC{}", n(count), if count > 1.0 { "s" } else { "" })
}

fn requests(count: f64) -> String {
    format!("{} request{}", n(count), if count > 1.0 { "s" } else { "" })
}
