//! The process itself, as Linux tells it; elsewhere only its age and what was built.

use std::{fs, sync::Arc};

use opentelemetry::{KeyValue, metrics::Meter};
use tokio::time::Instant;

use super::{
    build,
    catalogue::{self, Metric, label},
};

/// Registers all of these.
pub(super) fn register(meter: &Meter) {
    let started = Instant::now();
    build::fraction(meter, &catalogue::UPTIME, move |gauge| {
        gauge.observe(started.elapsed().as_secs_f64(), &[]);
    });
    let revision: Arc<str> = Arc::from(crate::REVISION);
    build::gauge(meter, &catalogue::BUILD_INFO, move |gauge| {
        let version = KeyValue::new(label::VERSION, env!("CARGO_PKG_VERSION"));
        gauge.observe(1, &[version, KeyValue::new(label::REVISION, Arc::clone(&revision))]);
    });
    let metric = &catalogue::CPU_TIME;
    meter
        .f64_observable_counter(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(|counter| {
            let Some([user, system]) = cpu_seconds() else { return };
            counter.observe(user, &[KeyValue::new("cpu.mode", "user")]);
            counter.observe(system, &[KeyValue::new("cpu.mode", "system")]);
        })
        .build();
    count(meter, &catalogue::MEMORY_USAGE, || Some(status("VmRSS")? * 1024));
    count(meter, &catalogue::THREADS, || status("Threads"));
    count(meter, &catalogue::FILE_DESCRIPTORS, open_files);
}

fn count(meter: &Meter, metric: &'static Metric, read: fn() -> Option<i64>) {
    meter
        .i64_observable_up_down_counter(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(move |counter| {
            if let Some(value) = read() {
                counter.observe(value, &[]);
            }
        })
        .build();
}

/// Returns the CPU time in user mode and in the kernel, in seconds.
fn cpu_seconds() -> Option<[f64; 2]> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is a name in parentheses, which may hold anything; of what follows, these are 14 and 15.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok().map(f64::from);
    let a_second = ticks_a_second()?;
    Some([ticks()? / a_second, ticks()? / a_second])
}

#[cfg(target_os = "linux")]
fn ticks_a_second() -> Option<f64> {
    u32::try_from(rustix::param::clock_ticks_per_second()).ok().map(f64::from)
}

#[cfg(not(target_os = "linux"))]
fn ticks_a_second() -> Option<f64> {
    None
}

/// Returns a number of `/proc/self/status`, without its unit.
fn status(field: &str) -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn open_files() -> Option<i64> {
    let files = fs::read_dir("/proc/self/fd").ok()?.count();
    // One of them is the folder that is being read.
    i64::try_from(files.saturating_sub(1)).ok()
}
