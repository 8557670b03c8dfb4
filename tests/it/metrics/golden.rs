//! `/metrics` and OTLP have the metrics of the catalogue.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use opentelemetry::KeyValue;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{
        PeriodicReader, Temporality,
        data::{AggregatedMetrics, MetricData, ResourceMetrics, ScopeMetrics},
        exporter::PushMetricExporter,
    },
};
use voyage_gateway::{
    simulator::Fault,
    telemetry::{
        ConnectionFailure, Metrics, PortName,
        catalogue::{self, Metric, MetricKind, Values},
    },
};

use crate::multimodal::{contents, image_url};
use crate::support::{Gateway, eventually, texts};

/// The metrics of a gateway that exports its traces.
const OF_TRACES: [&str; 1] = [catalogue::SPANS.name];

/// A metric as an exporter receives it.
#[derive(Clone, Debug, PartialEq)]
struct Given {
    unit: String,
    description: String,
    kind: MetricKind,
    labels: BTreeSet<String>,
    /// Whether every series has the label.
    required: BTreeSet<String>,
    buckets: Vec<f64>,
}

/// Keeps the last export.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<BTreeMap<String, Given>>>);

impl PushMetricExporter for Kept {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let all = metrics.scope_metrics().flat_map(ScopeMetrics::metrics);
        let given = all.map(|metric| {
            let (kind, series, buckets) = shape(metric.data());
            let required = series.iter().cloned().reduce(|one, other| &one & &other);
            let given = Given {
                unit: metric.unit().to_owned(),
                description: metric.description().to_owned(),
                kind,
                labels: series.into_iter().flatten().collect(),
                required: required.unwrap_or_default(),
                buckets,
            };
            (metric.name().to_owned(), given)
        });
        *self.0.lock().unwrap() = given.collect();
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

type Shape = (MetricKind, Vec<BTreeSet<String>>, Vec<f64>);

fn shape(data: &AggregatedMetrics) -> Shape {
    match data {
        AggregatedMetrics::F64(data) => shape_of(data),
        AggregatedMetrics::U64(data) => shape_of(data),
        AggregatedMetrics::I64(data) => shape_of(data),
    }
}

fn shape_of<T: Copy>(data: &MetricData<T>) -> Shape {
    fn names<'a>(labels: impl Iterator<Item = &'a KeyValue>) -> BTreeSet<String> {
        labels.map(|label| label.key.to_string()).collect()
    }
    match data {
        MetricData::Gauge(gauge) => {
            let series = gauge.data_points().map(|point| names(point.attributes()));
            (MetricKind::Gauge, series.collect(), Vec::new())
        }
        MetricData::Sum(sum) => {
            assert_eq!(sum.temporality(), Temporality::Cumulative);
            let kind =
                if sum.is_monotonic() { MetricKind::Counter } else { MetricKind::UpDownCounter };
            let series = sum.data_points().map(|point| names(point.attributes()));
            (kind, series.collect(), Vec::new())
        }
        MetricData::Histogram(histogram) => {
            assert_eq!(histogram.temporality(), Temporality::Cumulative);
            let buckets = histogram.data_points().next().map(|point| point.bounds().collect());
            let series = histogram.data_points().map(|point| names(point.attributes()));
            (MetricKind::Histogram, series.collect(), buckets.unwrap_or_default())
        }
        MetricData::ExponentialHistogram(_) => panic!("Prometheus' text format has none"),
    }
}

impl Given {
    fn of(metric: &Metric) -> Self {
        let names = |optional: bool| {
            let labels = metric.labels.iter().filter(move |label| optional || label.required);
            labels.map(|label| label.name.to_owned()).collect()
        };
        Self {
            unit: metric.unit.to_owned(),
            description: metric.description.to_owned(),
            kind: metric.kind,
            labels: names(true),
            required: names(false),
            buckets: metric.buckets.to_vec(),
        }
    }
}

/// A family of `/metrics`: its type, and the values of each label.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    labels: BTreeMap<String, BTreeSet<String>>,
    buckets: BTreeSet<String>,
}

fn families(page: &str) -> BTreeMap<String, Family> {
    let mut families = BTreeMap::<String, Family>::new();
    let mut present = String::new();
    for line in page.lines() {
        if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            name.clone_into(&mut present);
            let family = Family { kind: kind.to_owned(), ..Family::default() };
            assert!(families.insert(present.clone(), family).is_none(), "{name} is there twice");
        } else if !line.starts_with('#') {
            assert!(line.starts_with(&present), "{line} is not of {present}");
            let family = families.get_mut(&present).unwrap();
            let Some((_, rest)) = line.split_once('{') else { continue };
            let (labels, _) = rest.rsplit_once('}').unwrap();
            for label in labels.split("\",").filter(|label| !label.is_empty()) {
                let (name, value) = label.split_once("=\"").unwrap();
                let value = value.trim_end_matches('"').to_owned();
                if name == "le" {
                    family.buckets.insert(value);
                } else {
                    family.labels.entry(name.to_owned()).or_default().insert(value);
                }
            }
        }
    }
    families
}

fn check_family(metric: &Metric, family: &Family) {
    let name = &metric.prometheus();
    assert_eq!(family.kind, metric.kind.prometheus_type(), "{name}");
    let expected = metric.labels.iter().map(|label| label.name.replace('.', "_"));
    let shown: BTreeSet<_> = family.labels.keys().cloned().collect();
    assert_eq!(shown, expected.collect(), "{name}");
    for label in metric.labels {
        let shown = &family.labels[&label.name.replace('.', "_")];
        match label.values {
            Values::Closed(values) => {
                let strange = shown.iter().find(|value| !values.contains(&value.as_str()));
                assert_eq!(strange, None, "{name}: {}", label.name);
            }
            Values::Bounded(_, most) => {
                // A status and its type are one label: at most as many as there are statuses.
                assert!(shown.len() <= most.max(17), "{name}: {}", label.name);
            }
        }
    }
    let mut buckets: BTreeSet<_> = metric.buckets.iter().map(f64::to_string).collect();
    if !buckets.is_empty() {
        buckets.insert("+Inf".to_owned());
    }
    assert_eq!(family.buckets, buckets, "{name}");
}

/// Does something of everything that callers, Voyage and operators can cause.
async fn work(gateway: &Gateway, metrics: &Metrics) {
    gateway.embed(texts(&["one", "two"])).await.unwrap();
    gateway.embed(texts(&["one"])).await.unwrap();
    gateway.simulator().script().next_calls(1, Fault::status(503));
    gateway.embed(texts(&["repeated"])).await.unwrap();
    gateway.simulator().script().next_calls(1, Fault::status(400));
    gateway.embed(texts(&["refused"])).await.unwrap_err();
    let limited = Fault::status(429).with_header("retry-after", "0");
    gateway.simulator().script().next_calls(1, limited);
    gateway.embed(texts(&["limited"])).await.unwrap();
    gateway.contents(contents([vec![image_url("https://example.com/a.png")]])).await.unwrap();
    // Series that only a certificate, an attack, a full replica or a defect causes.
    metrics.watch_certificate(|| Some(4_000_000_000));
    drop(metrics.tls_handshake());
    metrics.auth_failures("tokens", "missing", 1);
    metrics.connection_failed(PortName::Grpc, ConnectionFailure::Protocol);
    metrics.evicted("size");
    metrics.panic();
    metrics.quota_refusal("tokens_per_day");
    metrics.reload("tls", "refused");
    metrics.shed();
}

#[tokio::test]
async fn what_is_shown_and_exported_is_what_the_catalogue_says() {
    let kept = Kept::default();
    let reader = PeriodicReader::builder(kept.clone()).with_interval(Duration::from_millis(20));
    let metrics = Metrics::with(|provider| provider.with_reader(reader.build())).unwrap();
    let gateway = Gateway::measured(metrics.clone(), |config, _| {
        config.limits.daily_tokens = Some(1_000_000);
        config.limits.monthly_tokens = Some(1_000_000);
    })
    .await;
    work(&gateway, &metrics).await;

    let expected = |shown: &dyn Fn(&Metric) -> bool| -> Vec<&'static Metric> {
        let there = |metric: &&Metric| !OF_TRACES.contains(&metric.name) || shown(metric);
        catalogue::all().filter(there).collect()
    };
    let given = || kept.0.lock().unwrap().clone();
    // The last of all that is counted: an RPC, when its last byte has left.
    let is_there = |given: &BTreeMap<String, Given>| {
        let labels = given.get(catalogue::RPC_DURATION.name).map(|given| given.labels.len());
        labels == Some(4) && given.contains_key(catalogue::SHED.name)
    };
    // Twice: the export that was under way may lack the last of them.
    for _ in 0..2 {
        kept.0.lock().unwrap().clear();
        eventually(async || is_there(&given())).await;
    }
    let given = given();
    let of_catalogue = expected(&|metric| given.contains_key(metric.name));
    let names: BTreeSet<_> = of_catalogue.iter().map(|metric| metric.name.to_owned()).collect();
    assert_eq!(given.keys().cloned().collect::<BTreeSet<_>>(), names);
    for metric in of_catalogue {
        let mut reported = given[metric.name].clone();
        let said = Given::of(metric);
        // Here, some optional labels may be on every series.
        reported.required = &reported.required & &said.required;
        assert_eq!(reported, said, "{}", metric.name);
    }

    let mut families = families(&gateway.metrics().await);
    assert!(families.remove("target_info").is_some());
    let of_catalogue = expected(&|metric| families.contains_key(&metric.prometheus()));
    let names: BTreeSet<_> = of_catalogue.iter().map(|metric| metric.prometheus()).collect();
    assert_eq!(families.keys().cloned().collect::<BTreeSet<_>>(), names);
    for metric in of_catalogue {
        check_family(metric, &families[&metric.prometheus()]);
    }
}
