use super::*;
use crate::admin::status::report::{Problem, Status};

fn codes(causes: &[Problem]) -> Vec<&'static str> {
    causes.iter().map(|cause| cause.code).collect()
}

/// The state, and the causes of each party.
fn found(
    status: &Status,
) -> (&'static str, Vec<&'static str>, Vec<&'static str>, Vec<&'static str>) {
    let health = &status.health;
    (health.state, codes(&health.gateway), codes(&health.voyage), codes(&health.callers))
}

#[tokio::test]
async fn without_events_all_is_well() {
    assert_eq!(found(&Given::nothing().status()), ("well", vec![], vec![], vec![]));
}

#[tokio::test]
async fn draining_comes_first() {
    let recent = Recent::default();
    let status = Given::nothing().status_with(&recent, false);
    assert_eq!(found(&status), ("draining", vec!["draining"], vec![], vec![]));
}

#[tokio::test]
async fn an_open_breaker_is_a_problem_of_voyage() {
    let state = |state| {
        let is = |name| f64::from(u8::from(name == state));
        let series: Vec<[(&str, &str); 1]> =
            ["closed", "open", "half_open"].map(|name| [("state", name)]).to_vec();
        let series: Vec<(Labels<'_>, f64)> =
            series.iter().map(|labels| (labels.as_slice(), is(labels[0].1))).collect();
        Given::nothing().gauge("voyage_gateway_breaker_state", &series).status()
    };
    assert_eq!(found(&state("closed")), ("well", vec![], vec![], vec![]));
    assert_eq!(found(&state("open")), ("failing", vec![], vec!["breaker_open"], vec![]));
    assert_eq!(found(&state("half_open")), ("well", vec![], vec!["breaker_half_open"], vec![]));
}

#[tokio::test]
async fn a_rejected_key_is_a_gateway_problem_and_worse_without_another() {
    let keys = |rejected: [f64; 2]| {
        let series: [(Labels<'_>, f64); 2] =
            [(&[("key", "a")], rejected[0]), (&[("key", "b")], rejected[1])];
        Given::nothing().gauge("voyage_gateway_upstream_key_rejected", &series).status()
    };
    assert_eq!(found(&keys([0.0, 0.0])).0, "well");
    assert_eq!(found(&keys([1.0, 0.0])), ("impaired", vec!["key_rejected"], vec![], vec![]));
    assert_eq!(found(&keys([1.0, 1.0])).0, "failing");
    assert!(keys([0.0, 1.0]).health.gateway[0].text.contains("the key b"));
}

#[tokio::test]
async fn a_used_up_budget_is_a_gateway_problem_and_a_quota_a_callers() {
    let budget = |used| {
        let labels: Labels<'_> = &[("budget", "limits.daily_tokens")];
        Given::nothing()
            .gauge("voyage_gateway_budget_used_tokens", &[(labels, used)])
            .gauge("voyage_gateway_budget_limit_tokens", &[(labels, 100.0)])
    };
    let refused = |given: Given, rule| {
        given.counter("voyage_gateway_quota_refusals_total", &[(&[("rule", rule)], 1.0)])
    };
    assert_eq!(found(&budget(98.0).status()).0, "well");
    assert_eq!(found(&budget(99.0).status()).1, ["budget_exhausted"]);
    // A request that exceeds the rest does not use it up.
    let short = found(&refused(budget(50.0), "limits.daily_tokens").status());
    assert_eq!(short, ("impaired", vec!["budget_short"], vec![], vec![]));
    let quota = refused(budget(1.0), "tokens_per_day").status();
    assert_eq!(found(&quota), ("well", vec![], vec![], vec!["quota"]));
}

#[tokio::test]
async fn outcomes_name_the_responsible_party() {
    let of = |outcome| {
        let series: [(Labels<'_>, f64); 2] =
            [(&[("outcome", "ok")], 5.0), (&[("outcome", outcome)], 1.0)];
        found(&Given::nothing().counter("voyage_gateway_rpcs_total", &series).status())
    };
    assert_eq!(of("caller"), ("well", vec![], vec![], vec!["refused"]));
    assert_eq!(of("cancelled"), ("well", vec![], vec![], vec!["cancelled"]));
    assert_eq!(of("upstream"), ("impaired", vec![], vec!["failures"], vec![]));
    assert_eq!(of("gateway"), ("impaired", vec!["failures"], vec![], vec![]));
    assert_eq!(of("shed"), ("impaired", vec!["full"], vec![], vec![]));
}

#[tokio::test]
async fn many_exceeded_deadlines_are_voyages_and_queue_timeouts_the_gateways() {
    let of = |reason, outcome, count| {
        let outcomes: [(Labels<'_>, f64); 2] =
            [(&[("outcome", "ok")], 100.0), (&[("outcome", outcome)], count)];
        let reasons: [(Labels<'_>, f64); 1] = [(&[("reason", reason)], count)];
        let given = Given::nothing()
            .counter("voyage_gateway_rpcs_total", &outcomes)
            .counter("voyage_gateway_errors_total", &reasons);
        found(&given.status())
    };
    assert_eq!(of("DEADLINE_EXCEEDED", "caller", 5.0).2, Vec::<&str>::new());
    assert_eq!(of("DEADLINE_EXCEEDED", "caller", 10.0).2, ["slow"]);
    let waiting = of("QUEUE_TIMEOUT", "upstream", 10.0);
    assert_eq!(waiting, ("impaired", vec!["rate_limit_full"], vec![], vec![]));
}

#[tokio::test]
async fn failed_calls_are_a_problem_of_voyage_but_refused_ones_are_not() {
    let of = |status| {
        let series: [(Labels<'_>, f64); 1] = [(&[("status", status)], 2.0)];
        found(&Given::nothing().counter("voyage_gateway_upstream_calls_total", &series).status()).2
    };
    for status in ["none", "500", "503"] {
        assert_eq!(of(status), ["calls_failed"], "{status}");
    }
    for status in ["200", "400", "401"] {
        assert!(of(status).is_empty(), "{status}");
    }
}

#[tokio::test]
async fn panics_rate_limits_and_the_free_tier_impair() {
    let labels: Labels<'_> = &[];
    let counted = |name| found(&Given::nothing().counter(name, &[(labels, 1.0)]).status());
    assert_eq!(counted("voyage_gateway_panics_total").1, ["panic"]);
    assert_eq!(counted("voyage_gateway_rate_limited_total").2, ["rate_limited"]);
    let free = Given::nothing().gauge("voyage_gateway_free_tier", &[(labels, 1.0)]).status();
    assert_eq!(found(&free).1, ["free_tier"]);
}

#[tokio::test]
async fn a_certificate_is_reported_before_it_expires() {
    let labels: Labels<'_> = &[];
    let day = 86_400.0;
    let left = |seconds: f64| {
        let name = "voyage_gateway_tls_certificate_not_after_seconds";
        let status = Given::nothing().gauge(name, &[(labels, 1_000_000.0 + seconds)]).status();
        (status.health.state, status.health.gateway.first().map(|cause| cause.text.clone()))
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(left(14.0 * day), ("well", None));
    assert_eq!(left(2.5 * day), ("well", text("The certificate expires in 2 d 12 h.")));
    assert_eq!(left(-90.0), ("failing", text("The certificate expired 1 min 30 s ago.")));
}
