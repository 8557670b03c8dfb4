use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{
    error::{Fault, Upstream},
    item::Endpoint,
    telemetry::{
        RpcOutcome,
        recent::{Recent, SlowRpc},
    },
};

/// A page in which every text from outside is this one.
fn page_of(text: &str) -> String {
    let labels: &[(&str, &str)] = &[("billed_to", text)];
    let keys: &[(&str, &str)] = &[("key", text)];
    let limits: &[(&str, &str)] = &[("model", text), ("key", text), ("unit", "tokens")];
    let budgets: &[(&str, &str)] = &[("budget", text)];
    let given = Given::nothing()
        .counter("voyage_gateway_tokens_total", &[(labels, 1.0)])
        .counter("voyage_gateway_upstream_calls_total", &[(&[("status", text)], 1.0)])
        .gauge("voyage_gateway_upstream_key_rejected", &[(keys, 1.0)])
        .gauge("voyage_gateway_rate_limit_used", &[(limits, 1.0)])
        .gauge("voyage_gateway_breaker_state", &[(&[("state", text)], 1.0)])
        .gauge("voyage_gateway_connections", &[(&[("port", text)], 1.0)])
        .gauge("voyage_gateway_budget_limit_tokens", &[(budgets, 1.0)]);
    let recent = Recent::default();
    recent.slow_rpc(SlowRpc {
        method: "voyage.gateway.v1.EmbeddingService/Embed",
        took: Duration::from_secs(1),
        outcome: RpcOutcome::Ok,
        caller: Some(text.to_owned()),
        request_id: text.to_owned(),
        trace_id: opentelemetry::trace::TraceId::from(7).to_string(),
        ended: Instant::now(),
    });
    let failure = Upstream {
        fault: Fault::Timeout,
        endpoint: Endpoint::Embeddings,
        model: Arc::from(text),
        status: None,
        attempts: 1,
        tokens: 0,
        request_id: Some(Arc::from(text)),
        key: Arc::from(text),
    };
    recent.upstream_error(&failure, None);
    super::super::page::parts(&given.status_with(&recent, true))
}

/// The tags alone, without the text between them.
fn markup(html: &str) -> Vec<&str> {
    html.split('<').skip(1).map(|rest| rest.split_once('>').expect("a whole tag").0).collect()
}

#[tokio::test]
async fn texts_from_outside_are_escaped() {
    let html = page_of("<b>&\"'\u{202e}");
    assert!(html.matches("&lt;b&gt;&amp;&quot;'\u{fffd}").count() >= 10, "{html}");
}

#[tokio::test]
async fn texts_from_outside_are_never_markup() {
    let plain = page_of("plain");
    let check = |text: &str| markup(&page_of(text)) == markup(&plain);
    for text in ["<script>alert(1)</script>", "\"onload=\"x", "'><!--", "</title>", "{{script}}"] {
        assert!(check(text), "{text}");
    }
    proptest!(ProptestConfig::with_cases(64), |(text in "[<>&\"'a-z/= {}\\pC\\pS]{1,24}")| {
        prop_assert!(check(&text), "{text:?}");
    });
}

#[tokio::test]
async fn the_page_is_small_and_loads_nothing() {
    let status = Given::nothing().status();
    let page = super::super::page::whole(&status, &super::super::page::parts(&status));
    assert!(page.len() < 30_000, "{} bytes", page.len());
    for foreign in ["http://", "https://", "//", "@import", "url(", "style=\"", "onclick", "{{"] {
        let page = page.replace("://", ":").replace("// ", "");
        assert!(!page.contains(foreign), "{foreign}");
    }
    // A value that is not measured is a dash.
    assert!(page.contains("<dt>Spent since start</dt><dd>–</dd>"), "{page}");
}

#[tokio::test]
async fn the_parts_have_unique_ids() {
    // The script finds parts by their ids.
    let html = page_of("plain");
    let mut ids: Vec<&str> =
        html.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all);
    for id in
        ["about", "verdict", "parties", "figures", "history", "rpcs", "voyage", "errors", "slow"]
    {
        assert!(ids.contains(&id), "{id}");
    }
}

#[test]
fn numbers_are_written_for_people() {
    use super::super::format::*;
    let counts = [0.0, 999.0, 1000.0, 1_234_567.0].map(count);
    assert_eq!(counts, ["0", "999", "1,000", "1,234,567"]);
    let shorts = [9_999.0, 12_340.0, 1_234_567.0, 5e9].map(short);
    assert_eq!(shorts, ["9,999", "12.3 k", "1.23 M", "5.00 G"]);
    let percents = [0.0, 0.0001, 0.5, 0.99999, 1.0].map(percent);
    assert_eq!(percents, ["0 %", "0.1 %", "50.0 %", "99.9 %", "100 %"]);
    let moneys = [0.0, 0.000_01, 0.0123, 12.345, 12345.0].map(usd);
    assert_eq!(moneys, ["$0.00", "< $0.0001", "$0.0123", "$12.35", "$12,345"]);
    let spans = [0.4, 59.0, 60.0, 3_725.0, 90_000.0].map(span);
    assert_eq!(spans, ["0 s", "59 s", "1 min", "1 h 2 min", "1 d 1 h"]);
    let times = [0.000_25, 0.0042, 0.25, 2.5].map(took);
    assert_eq!(times, ["250 µs", "4.2 ms", "250 ms", "2.50 s"]);
    let sizes = [12.0, 2048.0, 5_242_880.0].map(bytes);
    assert_eq!(sizes, ["12 B", "2.0 KiB", "5.0 MiB"]);
}
