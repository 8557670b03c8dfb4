//! The number of series is bounded for any number of names.

use std::time::Duration;

use http::StatusCode;

use super::*;
use crate::item::{Parameters, TextParameters, Usage};

/// The number of names.
const NAMES: u32 = 1_000_000;

#[test]
fn a_million_names_make_a_bounded_number_of_series() {
    let metrics = Metrics::new().unwrap();
    let rule = Arc::default();
    for number in 0..NAMES {
        let name: Arc<str> = Arc::from(format!("name-{number}"));
        let named = number % 2 == 0;
        let caller = Caller { name: Arc::clone(&name), named, rule: Arc::clone(&rule) };
        metrics.tokens(1, Some(&caller));
        if number % 10 == 0 {
            metrics.saved(&(&*name).into(), &Usage::of_tokens(10));
        }
    }
    let tokens = series(&metrics, "voyage_gateway_tokens_total");
    // With `_other` and `abandoned`.
    assert_eq!(tokens.len(), 1_000 + 256 + 2);
    let sum: f64 = tokens.iter().map(|(_, tokens)| tokens).sum();
    assert!((sum - f64::from(NAMES)).abs() < 0.5, "{sum}");
    let other = "{kind=\"saved\",model=\"_other\"}".to_owned();
    let expected = [(other, f64::from(NAMES))];
    assert_eq!(series(&metrics, "voyage_gateway_model_tokens_total"), expected);
    let page = metrics.render().unwrap();
    assert!(!page.contains("otel_metric_overflow"));
    assert!(page.len() < 200_000, "{} bytes", page.len());
}

#[test]
fn a_caller_has_one_name_in_all_metrics() {
    let metrics = Metrics::new().unwrap();
    for number in 0..2_000 {
        let caller = Caller::unruled(&format!("name-{number}"));
        let ended = EndedRpc {
            method: "a.Service/Method",
            code: "OK",
            outcome: RpcOutcome::Ok,
            took: Duration::from_millis(1),
            caller: Some(&caller),
        };
        metrics.rpc(ended);
        metrics.tokens(1, Some(&caller));
    }
    let names = |metric, label: &str| {
        let series = series(&metrics, metric).into_iter();
        let counted = series.filter(|(_, value)| *value > 0.0);
        counted.map(|(labels, _)| labels.replace(label, "name")).collect::<Vec<_>>()
    };
    let callers = names("voyage_gateway_caller_rpcs_total", "caller");
    assert_eq!(callers.len(), 257);
    assert_eq!(callers, names("voyage_gateway_tokens_total", "billed_to"));
}

#[test]
fn unknown_models_and_statuses_share_one_series() {
    let metrics = Metrics::new().unwrap();
    for status in 100..1_000 {
        let parameters = Parameters::texts(&*format!("model-{status}"), TextParameters::default());
        let status = StatusCode::from_u16(status).unwrap();
        metrics.upstream_call(&parameters, Some(status), Duration::ZERO);
        metrics.operation(&parameters, Duration::ZERO, Ok(Some(1)));
        metrics.batch(&parameters.model, 1, 1.0);
    }
    let calls = series(&metrics, "voyage_gateway_upstream_calls_total");
    // Every status of the list but `none`.
    assert_eq!(calls.len(), catalogue::STATUSES.len() - 1);
    assert!(calls.iter().all(|(labels, _)| labels.contains("model=\"_other\"")));
    assert_eq!(series(&metrics, "voyage_gateway_batch_size_count").len(), 1);
    assert_eq!(series(&metrics, "gen_ai_client_embeddings_duration_seconds_count").len(), 1);
}
