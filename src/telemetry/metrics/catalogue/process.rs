//! The process itself, and what it follows.

use super::{Kind, Label, Metric, label};

/// CPU time.
pub const CPU_TIME: Metric = Metric::counter(
    "process.cpu.time",
    "process_cpu_time_seconds_total",
    "CPU time of the process. Linux only, as the three below.",
)
.unit("s")
.labels(&[Label::closed("cpu.mode", &["user", "system"])])
.for_this("Its rate is the number of cores in use.");

/// Memory.
pub const MEMORY_USAGE: Metric = Metric::new(
    Kind::UpDownCounter,
    "process.memory.usage",
    "process_memory_usage_bytes",
    "Resident memory of the process.",
)
.unit("By")
.for_this("Hold it against the container's limit.");

/// Open files.
pub const FILE_DESCRIPTORS: Metric = Metric::new(
    Kind::UpDownCounter,
    "process.unix.file_descriptor.count",
    "process_unix_file_descriptor_count",
    "Open files of the process, sockets included.",
)
.unit("{file_descriptor}")
.for_this("Hold it against the limit of open files.");

/// Threads.
pub const THREADS: Metric = Metric::new(
    Kind::UpDownCounter,
    "process.thread.count",
    "process_thread_count",
    "Threads of the process.",
)
.unit("{thread}")
.for_this("Grows when blocking work piles up.");

/// Uptime.
pub const UPTIME: Metric = Metric::gauge(
    "process.uptime",
    "process_uptime_seconds",
    "Time since the process set up its metrics, first thing at its start.",
)
.unit("s")
.for_this("Falls at a restart.");

/// The build.
pub const BUILD_INFO: Metric = Metric::gauge(
    "voyage_gateway.build_info",
    "voyage_gateway_build_info",
    "1, labelled with what was built.",
)
.labels(&[
    Label::bounded(label::VERSION, "the version", 1),
    Label::bounded(label::REVISION, "the source revision, or `unknown`", 1),
])
.for_this("Which versions run, and since when.");

/// Changed files.
pub const RELOADS: Metric = Metric::counter(
    "voyage_gateway.reloads",
    "voyage_gateway_reloads_total",
    "Changed files, and fetched keys, that were taken over or of no use; then the old content stays in force.",
)
.labels(&[
    Label::bounded(label::WHAT, "the setting that names the file", 16),
    Label::closed(label::OUTCOME, &["changed", "refused"]),
])
.for_this("Alert on `refused`: the file needs repair before the next start.");

/// Spans.
pub const SPANS: Metric = Metric::counter(
    "voyage_gateway.telemetry.spans",
    "voyage_gateway_telemetry_spans_total",
    "Spans of traces by what became of them.",
)
.labels(&[Label::closed(label::RESULT, &["recorded", "exported", "failed", "dropped"])])
.for_this("`failed` or `dropped`: the collector is down or slow. Callers do not notice.");

/// All of these.
pub(super) const ALL: &[&Metric] = &[
    &CPU_TIME,
    &MEMORY_USAGE,
    &FILE_DESCRIPTORS,
    &THREADS,
    &UPTIME,
    &BUILD_INFO,
    &RELOADS,
    &SPANS,
];
