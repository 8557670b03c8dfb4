//! The process, reloaded files and exported spans.
#![expect(missing_docs, reason = "each entry's description documents it")]

use super::{Label, Metric, counter, gauge, label, up_down_counter};

pub const CPU_TIME: Metric = counter(
    "process.cpu.time",
    "CPU time of the process, user and system. Linux only, as all below except the uptime.",
)
.unit("s")
.well_known("process_cpu_seconds_total")
.purpose("Its rate is the number of cores in use.");

pub const MEMORY_USAGE: Metric =
    up_down_counter("process.memory.usage", "Resident memory of the process.")
        .unit("By")
        .well_known("process_resident_memory_bytes")
        .purpose("Compare it with the container's limit.");

pub const MEMORY_VIRTUAL: Metric =
    up_down_counter("process.memory.virtual", "Virtual memory of the process.")
        .unit("By")
        .well_known("process_virtual_memory_bytes")
        .purpose("Rarely of use: most of it is reserved and not used.");

pub const OPEN_FILES: Metric = up_down_counter(
    "process.unix.file_descriptor.count",
    "Open file descriptors of the process, sockets included.",
)
.unit("{file_descriptor}")
.well_known("process_open_fds")
.purpose("Compare it with the maximum.");

pub const MAX_OPEN_FILES: Metric = up_down_counter(
    "voyage_gateway.process.max_file_descriptors",
    "Maximum of open file descriptors of the process.",
)
.unit("{file_descriptor}")
.well_known("process_max_fds")
.purpose(
    "Connections need file descriptors: `server.max_connections` is lowered if they are too few.",
);

pub const THREADS: Metric = up_down_counter("process.thread.count", "Threads of the process.")
    .unit("{thread}")
    .well_known("process_threads")
    .purpose("Grows if blocking work is queued.");

pub const START_TIME: Metric =
    gauge("voyage_gateway.process.start_time", "Start time of the process, in seconds since 1970.")
        .unit("s")
        .well_known("process_start_time_seconds")
        .purpose("Changes at a restart.");

pub const UPTIME: Metric = gauge("process.uptime", "Time since the start of the process.")
    .unit("s")
    .purpose("Falls at a restart.");

pub const BUILD_INFO: Metric = gauge("voyage_gateway.build_info", "1, labelled with the build.")
    .labels(&[
        Label::bounded(label::VERSION, "the version", 1),
        Label::bounded(label::REVISION, "the source revision, or `unknown`", 1),
    ])
    .purpose("Shows which versions run.");

pub const RELOADS: Metric = counter(
    "voyage_gateway.reloads",
    "Changes of watched files and fetched keys by outcome. If a change is refused, the old content stays in use.",
)
.labels(&[
    Label::bounded(label::WHAT, "the setting that names the file", 16),
    Label::closed(label::OUTCOME, &["changed", "refused"]),
])
.purpose("Alert on `refused`: repair the file before the next start.");

pub const SPANS: Metric = counter("voyage_gateway.telemetry.spans", "Spans of traces by result.")
    .labels(&[Label::closed(label::RESULT, &["recorded", "exported", "failed", "dropped"])])
    .purpose(
        "`failed` or `dropped` mean that the collector is down or slow. Callers do not notice.",
    );

pub(super) const ALL: &[&Metric] = &[
    &CPU_TIME,
    &MEMORY_USAGE,
    &MEMORY_VIRTUAL,
    &OPEN_FILES,
    &MAX_OPEN_FILES,
    &THREADS,
    &START_TIME,
    &UPTIME,
    &BUILD_INFO,
    &RELOADS,
    &SPANS,
];
