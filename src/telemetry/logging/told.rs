//! Lines about the log's own levels: whatever the filter says, they are there.

/// Where these lines come from.
pub(super) const TARGET: &str = module_path!();

/// Says that another filter is in force.
pub(super) fn changed(filter: &str) {
    tracing::info!(filter, "the log's levels have changed");
}

/// Says which parts of a filter do nothing: a slip in a name looks like silence.
pub(super) fn strangers(filter: &str) {
    let targets = super::targets::strangers(filter);
    if !targets.is_empty() {
        let targets = targets.join(",");
        tracing::warn!(targets, "telemetry.log_filter names targets that no line has");
    }
}
