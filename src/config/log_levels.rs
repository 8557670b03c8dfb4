//! `telemetry.log_filter` follows the file while the gateway runs.

use std::sync::Arc;

use super::{Config, Sources, load};
use crate::{
    reload::{Live, Reload, ReloadOutcome},
    telemetry::{LogLevels, Metrics},
};

/// The setting, for the log and the metric.
const WHAT: &str = "telemetry.log_filter";

/// The filter as the file says it now, and the log it is for.
#[derive(Debug)]
struct Followed {
    filter: Arc<Live<String>>,
    levels: LogLevels,
    metrics: Metrics,
}

/// Returns what has the log follow the file that `sources` name; `None` if there is none.
///
/// `in_force` is the filter that the log was set up with. As for rules, the whole configuration must make sense; environment and `--set` win over the file.
pub fn live_log_levels(
    sources: &Sources,
    in_force: &str,
    levels: LogLevels,
    metrics: &Metrics,
) -> Option<Arc<dyn Reload>> {
    let file = sources.file()?;
    let sources = sources.clone();
    let parse = move |_: &[Vec<u8>]| match load(&sources) {
        Ok(Config { telemetry, .. }) => Ok(telemetry.log_filter),
        Err(problems) => Err(problems.to_string()),
    };
    match Live::load(WHAT, vec![file], metrics.clone(), parse) {
        Ok(filter) => {
            // The file may have changed since the log was set up.
            if *filter.get() != in_force
                && let Err(error) = levels.change(&filter.get())
            {
                tracing::error!(%error, "the log's levels cannot be changed");
            }
            Some(Arc::new(Followed { filter, levels, metrics: metrics.clone() }))
        }
        Err(error) => {
            tracing::warn!(%error, "a changed telemetry.log_filter will not be noticed");
            None
        }
    }
}

impl Reload for Followed {
    fn reload(&self) -> ReloadOutcome {
        let before = self.filter.get();
        let look = self.filter.reload();
        let filter = self.filter.get();
        // The file holds other settings, too.
        if look != ReloadOutcome::Changed || filter == before {
            return look;
        }
        match self.levels.change(&filter) {
            Ok(()) => ReloadOutcome::Changed,
            Err(error) => {
                tracing::error!(%error, "the log's levels cannot be changed");
                self.metrics.reload(WHAT, "refused");
                ReloadOutcome::Refused
            }
        }
    }
}
