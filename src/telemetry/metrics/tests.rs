use std::collections::BTreeSet;

use super::{
    catalogue::{Metric, Values},
    *,
};
use crate::caller::Caller;

mod bounds;
mod page;

/// Returns the values of a metric's series, each with its labels as they are written.
fn series(metrics: &Metrics, name: &str) -> Vec<(String, f64)> {
    let page = metrics.render().unwrap();
    let lines = page.lines().filter_map(|line| line.strip_prefix(name));
    lines
        .filter(|rest| rest.starts_with(['{', ' ']))
        .map(|rest| {
            let (labels, value) = rest.rsplit_once(' ').unwrap();
            (labels.to_owned(), value.parse().unwrap())
        })
        .collect()
}

#[test]
fn the_catalogue_is_consistent() {
    let (mut names, mut shown) = (BTreeSet::new(), BTreeSet::new());
    for metric in catalogue::all() {
        let (name, prometheus) = (metric.name, metric.prometheus());
        assert!(names.insert(name) && shown.insert(prometheus.clone()), "{name} is a duplicate");
        assert!(metric.description.ends_with('.') && metric.purpose.ends_with('.'), "{name}");
        let is_counter = metric.kind == catalogue::MetricKind::Counter;
        assert_eq!(prometheus.ends_with("_total"), is_counter, "{name}");
        let is_histogram = metric.kind == catalogue::MetricKind::Histogram;
        assert_eq!(!metric.buckets.is_empty(), is_histogram, "{name}");
        assert!(metric.buckets.is_sorted_by(|one, next| one < next), "{name}");
        for label in metric.labels {
            let most = match label.values {
                Values::Closed(values) => values.len(),
                Values::Bounded(_, most) => most,
            };
            assert!(most > 0, "{name}");
        }
    }
}

/// Most instruments keep 2,000 series and count further ones in one; a larger limit is set where more are legal.
#[test]
fn no_legal_configuration_has_more_series_than_are_kept() {
    for metric in catalogue::all() {
        let most = metric.max_series();
        assert!(most < 2_000 || (most < 8_000 && metric.buckets.is_empty()), "{}", metric.name);
    }
}

#[test]
fn metrics_that_are_off_record_nothing() {
    let metrics = Metrics::off();
    metrics.panic();
    metrics.tokens(1, None);
    metrics.watch_cache(|| unreachable!("metrics are off"));
    drop(metrics.connection(PortName::Grpc));
    assert_eq!(metrics.render().unwrap(), "");
}

#[test]
fn costs_are_counted_at_the_catalogues_prices() {
    let metrics = Metrics::new().unwrap();
    metrics.replied(&"voyage-4".into(), Replied::Reported(Usage::of_tokens(500_000)));
    metrics.replied(&"voyage-4".into(), Replied::Guessed(Usage::of_tokens(3)));
    metrics.replied(&"a-model-of-tomorrow".into(), Replied::Reported(Usage::of_tokens(7)));
    metrics.saved(&"voyage-4-lite".into(), &Usage::of_tokens(2_000_000));
    metrics.saved(&"voyage-4-lite".into(), &Usage::of_tokens(0));
    let of = |kind: &str, model: &str| format!("{{kind=\"{kind}\",model=\"{model}\"}}");
    assert_eq!(
        series(&metrics, "voyage_gateway_model_tokens_total"),
        [
            (of("billed", "_other"), 7.0),
            (of("billed", "voyage-4"), 500_000.0),
            (of("estimated", "voyage-4"), 3.0),
            (of("saved", "voyage-4-lite"), 2_000_000.0),
        ]
    );
    let cost = series(&metrics, "voyage_gateway_cost_usd_total");
    let [(saved, saved_usd), (spent, spent_usd)] = &cost[..] else { panic!("{cost:?}") };
    assert_eq!((saved, spent), (&of("saved", "voyage-4-lite"), &of("spent", "voyage-4")));
    assert!((saved_usd - 0.04).abs() < 1e-9 && (spent_usd - 0.03).abs() < 1e-9, "{cost:?}");
}

#[test]
fn the_last_function_of_a_gauge_wins() {
    let metrics = Metrics::new().unwrap();
    let cached = |entries| move || Some(Cached { entries, bytes: 2, max_bytes: 3 });
    metrics.watch_cache(cached(1));
    metrics.watch_cache(cached(7));
    for _ in 0..2 {
        metrics.max_connections(PortName::Grpc, 5);
    }
    let memory = "{tier=\"memory\"}".to_owned();
    assert_eq!(series(&metrics, "voyage_gateway_cache_entries"), [(memory, 7.0)]);
    let grpc = "{port=\"grpc\"}".to_owned();
    assert_eq!(series(&metrics, "voyage_gateway_max_connections"), [(grpc, 5.0)]);
}

#[test]
fn models_that_share_a_label_show_the_one_with_the_least_room() {
    let window = |model: &str, used| RateWindow {
        model: model.into(),
        key: Arc::from("a"),
        requests: (used, 10),
        tokens: (used, 100),
    };
    let windows = ["one", "two", "voyage-4"].into_iter().zip([3, 90, 50]);
    let windows = gauges::by_label(windows.map(|(model, used)| window(model, used)).collect());
    assert_eq!(windows, [window("two", 90), window("voyage-4", 50)]);
}

#[test]
fn the_process_is_measured() {
    let metrics = Metrics::new().unwrap();
    let one = |name| {
        let series = series(&metrics, name);
        let [(labels, value)] = &series[..] else { panic!("{series:?}") };
        (labels.clone(), *value)
    };
    let build = "{revision=\"";
    assert!(one("voyage_gateway_build_info").0.starts_with(build));
    assert!(one("process_uptime_seconds").1 >= 0.0);
    if cfg!(target_os = "linux") {
        assert!(one("process_resident_memory_bytes").1 > 1e6);
        assert!(one("process_virtual_memory_bytes").1 > 1e6);
        assert!(one("process_open_fds").1 >= 3.0);
        assert!(one("process_max_fds").1 > one("process_open_fds").1);
        assert!(one("process_threads").1 >= 2.0);
        assert!(one("process_start_time_seconds").1 > 1.7e9);
        assert!((0.0..1e6).contains(&one("process_cpu_seconds_total").1));
    }
}

/// The value that `increase()` and `rate()` start from.
#[test]
fn counters_of_known_labels_start_at_zero() {
    let metrics = Metrics::new().unwrap();
    for name in ["shed", "panics", "retries", "rate_limited"] {
        let series = series(&metrics, &format!("voyage_gateway_{name}_total"));
        assert_eq!(series, [(String::new(), 0.0)], "{name}");
    }
    let zeros = |name: &str| {
        let series = series(&metrics, &format!("voyage_gateway_{name}"));
        assert!(series.iter().all(|(_, value)| *value == 0.0), "{series:?}");
        series.into_iter().map(|(labels, _)| labels).collect::<Vec<_>>()
    };
    let tiers = zeros("cache_lookups_total");
    assert_eq!(tiers.len(), 5);
    assert!(tiers.contains(&"{result=\"hit\",tier=\"memory\"}".to_owned()));
    let numbers = [("cache_evictions_total", 2), ("tls_handshakes_total", 3), ("connections", 2)];
    for (name, series) in numbers {
        assert_eq!(zeros(name).len(), series, "{name}");
    }
    assert_eq!(zeros("connection_failures_total").len(), 16);
    assert_eq!(zeros("quota_refusals_total").len(), 5);

    // Labels that are known from the configuration.
    assert_eq!(zeros("reloads_total"), [""; 0]);
    metrics.expect_reloads("tls");
    assert_eq!(zeros("reloads_total").len(), 2);
    for why in ["missing", "unknown_token"] {
        metrics.auth_failures("tokens", why, 0);
    }
    assert_eq!(zeros("auth_failures_total").len(), 2);
    metrics.expect_models(["voyage-4", "a-model-of-tomorrow"].map(Into::into));
    assert_eq!(zeros("model_tokens_total").len(), 6);
    assert_eq!(zeros("cost_usd_total").len(), 2);
    assert_eq!(zeros("upstream_calls_total").len(), 20);
    metrics.expect_caller(&Caller::unruled("search"));
    assert_eq!(zeros("caller_rpcs_total"), ["{caller=\"search\"}"]);
    assert_eq!(zeros("tokens_total").len(), 2);
}
