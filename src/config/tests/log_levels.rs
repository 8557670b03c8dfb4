//! The log follows the file from the start.

use std::fs;

use tracing::{Level, enabled, subscriber::with_default};
use tracing_subscriber::{Registry, layer::SubscriberExt as _};

use super::*;
use crate::reload::{Reload as _, ReloadOutcome};

#[test]
fn a_filter_that_changed_before_the_log_was_set_up_is_taken_over() {
    let file = File::new("[telemetry]\nlog_filter = \"info\"\n");
    let sources = Sources { file: Some(file.path().to_owned()), ..Sources::default() };
    let first = load(&sources).unwrap();
    let (layer, levels) = LogLevels::new(&first.telemetry.log_filter).unwrap();
    let follow = || live_rules(&sources, &first, Some(levels.clone()), &Metrics::off());
    with_default(Registry::default().with(layer), || {
        // Nothing has changed.
        drop(follow());
        assert!(enabled!(Level::INFO) && !enabled!(Level::DEBUG));

        fs::write(file.path(), "[telemetry]\nlog_filter = \"warn\"\n").unwrap();
        let followed = follow();
        assert!(enabled!(Level::WARN) && !enabled!(Level::INFO));
        // It is applied: the next reload finds no change.
        assert_eq!(followed.reload(), ReloadOutcome::Unchanged);
        fs::write(file.path(), "[telemetry]\nlog_filter = \"debug\"\n").unwrap();
        assert_eq!(followed.reload(), ReloadOutcome::Changed);
        assert!(enabled!(Level::DEBUG));
    });
}
