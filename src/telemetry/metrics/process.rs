//! The process (its resources on Linux only), reloaded files and exported spans.

use opentelemetry::{
    KeyValue,
    metrics::{Meter, MeterProvider as _},
};
use tokio::time::Instant;

use super::{
    Metrics, SCOPE,
    catalogue::{self, label},
};

/// Registers the gauges that need no configuration.
pub(super) fn register(meter: &Meter) {
    let started = Instant::now();
    catalogue::UPTIME.float_gauge(meter, move |gauge| {
        gauge.observe(started.elapsed().as_secs_f64(), &[]);
    });
    catalogue::BUILD_INFO.gauge(meter, |gauge| {
        let version = KeyValue::new(label::VERSION, env!("CARGO_PKG_VERSION"));
        gauge.observe(1, &[version, KeyValue::new(label::REVISION, crate::REVISION)]);
    });
    #[cfg(target_os = "linux")]
    resources(meter);
}

#[cfg(target_os = "linux")]
fn resources(meter: &Meter) {
    use std::time::Duration;

    use opentelemetry::metrics::AsyncInstrument;
    use procfs::{
        ProcResult, WithCurrentSystemInfo as _,
        process::{LimitValue, Process},
    };

    let count = |metric: &'static catalogue::Metric, read: fn(&Process) -> ProcResult<u64>| {
        let builder = meter.i64_observable_up_down_counter(metric.name);
        let observe = move |counter: &dyn AsyncInstrument<i64>| {
            let value = Process::myself().and_then(|process| read(&process)).ok();
            if let Some(value) = value.and_then(|value| i64::try_from(value).ok()) {
                counter.observe(value, &[]);
            }
        };
        metric.observed(builder, observe).build();
    };
    count(&catalogue::MEMORY_USAGE, |process| Ok(process.stat()?.rss_bytes().get()));
    count(&catalogue::MEMORY_VIRTUAL, |process| Ok(process.stat()?.vsize));
    count(&catalogue::THREADS, |process| Ok(process.stat()?.num_threads.unsigned_abs()));
    count(&catalogue::OPEN_FILES, |process| Ok(process.fd_count()? as u64));
    count(&catalogue::MAX_OPEN_FILES, |process| {
        Ok(match process.limits()?.max_open_files.soft_limit {
            LimitValue::Value(files) => files,
            LimitValue::Unlimited => i64::MAX.unsigned_abs(),
        })
    });
    let started = Process::myself().and_then(|process| {
        Ok(procfs::boot_time_secs()? + process.stat()?.starttime / procfs::ticks_per_second())
    });
    if let Ok(started) = started {
        catalogue::START_TIME.gauge(meter, move |gauge| gauge.observe(started, &[]));
    }
    let metric = &catalogue::CPU_TIME;
    let observe = |counter: &dyn AsyncInstrument<f64>| {
        let Ok(stat) = Process::myself().and_then(|process| process.stat()) else { return };
        let millis = (stat.utime + stat.stime) * 1_000 / procfs::ticks_per_second();
        counter.observe(Duration::from_millis(millis).as_secs_f64(), &[]);
    };
    metric.observed(meter.f64_observable_counter(metric.name), observe).build();
}

impl Metrics {
    /// [`catalogue::RELOADS`]: a changed file, or fetched keys, took effect (`changed`) or were refused (`refused`), by
    /// the setting that names them.
    pub fn reload(&self, what: &'static str, outcome: &'static str) {
        self.reloads(what, outcome, 1);
    }

    /// Starts the series of [`Metrics::reload`] at 0 for a setting.
    pub fn expect_reloads(&self, what: &'static str) {
        for outcome in ["changed", "refused"] {
            self.reloads(what, outcome, 0);
        }
    }

    fn reloads(&self, what: &'static str, outcome: &'static str, events: u64) {
        let labels = [KeyValue::new(label::WHAT, what), KeyValue::new(label::OUTCOME, outcome)];
        self.add(|instruments| &instruments.reloads, events, &labels);
    }

    /// Registers [`catalogue::SPANS`]: `counts` returns the number of spans by result.
    pub(in crate::telemetry) fn watch_spans(
        &self,
        counts: impl Fn() -> [(&'static str, u64); 4] + Send + Sync + 'static,
    ) {
        let Some(shared) = &self.shared else { return };
        let (meter, metric) = (shared.provider.meter(SCOPE), &catalogue::SPANS);
        let builder = meter.u64_observable_counter(metric.name);
        metric
            .observed(builder, move |counter| {
                for (result, spans) in counts() {
                    counter.observe(spans, &[KeyValue::new(label::RESULT, result)]);
                }
            })
            .build();
    }
}
