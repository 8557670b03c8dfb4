//! The status and the page of given metrics.

mod golden;
mod history;
mod page;
mod plots;
mod verdict;

use prometheus::{CounterVec, GaugeVec, HistogramOpts, HistogramVec, Opts, Registry};

use super::*;
use crate::telemetry::{EndedRpc, Families, RpcOutcome};

/// Families as the metrics would have them.
struct Given(Registry);

/// Labels with their values.
type Labels<'a> = &'a [(&'a str, &'a str)];

impl Given {
    fn nothing() -> Self {
        Self(Registry::new())
    }

    fn names<'a>(series: &[(Labels<'a>, f64)]) -> Vec<&'a str> {
        let labels = series.first().map(|(labels, _)| *labels).unwrap_or_default();
        labels.iter().map(|(name, _)| *name).collect()
    }

    /// A counter of these series.
    fn counter(self, name: &str, series: &[(Labels<'_>, f64)]) -> Self {
        let family = CounterVec::new(Opts::new(name, "."), &Self::names(series)).unwrap();
        for (labels, value) in series {
            let values: Vec<_> = labels.iter().map(|(_, value)| *value).collect();
            family.with_label_values(&values).inc_by(*value);
        }
        self.0.register(Box::new(family)).unwrap();
        self
    }

    /// A gauge of these series.
    fn gauge(self, name: &str, series: &[(Labels<'_>, f64)]) -> Self {
        let family = GaugeVec::new(Opts::new(name, "."), &Self::names(series)).unwrap();
        for (labels, value) in series {
            let values: Vec<_> = labels.iter().map(|(_, value)| *value).collect();
            family.with_label_values(&values).set(*value);
        }
        self.0.register(Box::new(family)).unwrap();
        self
    }

    /// A histogram of these values, one series each.
    fn histogram(self, name: &str, bounds: &[f64], series: &[(&str, &[f64])]) -> Self {
        let options = HistogramOpts::new(name, ".").buckets(bounds.to_vec());
        let family = HistogramVec::new(options, &["model"]).unwrap();
        for (model, values) in series {
            for value in *values {
                family.with_label_values(&[*model]).observe(*value);
            }
        }
        self.0.register(Box::new(family)).unwrap();
        self
    }

    fn families(&self) -> Families {
        Families::of(&self.0)
    }

    /// The status ten seconds after a start.
    fn status(&self) -> report::Status {
        self.status_with(&Recent::default(), true)
    }

    fn status_with(&self, recent: &Recent, is_ready: bool) -> report::Status {
        let now = Instant::now();
        let started = now.checked_sub(Duration::from_secs(10)).unwrap();
        let sources = Sources {
            families: self.families(),
            history: &History::new(started),
            recent,
            is_ready,
            started,
            now,
            wall_seconds: 1_000_000.0,
        };
        sources.status()
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_is_served_again_for_half_a_second() {
    let metrics = Metrics::new().unwrap();
    let page = StatusPage::new(metrics.clone(), Health::new().await, || Duration::ZERO);
    let first = page.rendered().unwrap();
    metrics.panic();
    tokio::time::advance(FRESH.checked_sub(Duration::from_millis(1)).unwrap()).await;
    assert_eq!(page.rendered().unwrap().json, first.json);
    tokio::time::advance(Duration::from_millis(1)).await;
    let later = String::from_utf8(page.rendered().unwrap().json.to_vec()).unwrap();
    assert!(later.contains(r#""code":"panic""#), "{later}");
}

#[tokio::test(start_paused = true)]
async fn the_last_minute_ends_now() {
    let metrics = Metrics::new().unwrap();
    let page = StatusPage::new(metrics.clone(), Health::new().await, || Duration::ZERO);
    let sampling = tokio::spawn(page.clone().keep_samples());
    let rpcs = async || {
        let json: serde_json::Value =
            serde_json::from_slice(&page.rendered().unwrap().json).unwrap();
        let all = &json["rpcs"]["all"];
        (all["last_minute"].as_f64().unwrap(), all["since_start"].as_f64().unwrap())
    };
    tokio::time::sleep(Duration::from_secs(3)).await;
    metrics.rpc(EndedRpc {
        method: "m",
        code: "OK",
        outcome: RpcOutcome::Ok,
        took: Duration::ZERO,
        caller: None,
    });
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!(rpcs().await, (1.0, 1.0));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(rpcs().await, (0.0, 1.0));
    sampling.abort();
}
