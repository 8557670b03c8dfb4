//! The format of lines, and changes of levels at run time.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tracing::subscriber::with_default;

use super::*;

/// Keeps the written bytes.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    /// Returns the lines so far, each of which must be one object.
    fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn messages(&self) -> Vec<String> {
        self.lines().iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect()
    }
}

/// Logs the events of `work` through a filter of its own.
fn logged(filter: &str, work: impl FnOnce(&LogLevels)) -> Written {
    let written = Written::default();
    let writer = written.clone();
    let (filter, levels) = LogLevels::new(filter).unwrap();
    let layer = for_machines(move || writer.clone());
    with_default(Registry::default().with(filter).with(layer), || work(&levels));
    written
}

#[test]
fn a_line_is_one_object_with_a_time_in_utc_whatever_it_says() {
    let hostile =
        "a \"quote\", \\, \n\r\t, \u{0}\u{1b}[31m\u{7f}\u{85}\u{2028}, {\"level\":\"INFO\"}";
    let lossy = String::from_utf8_lossy(b"\xff\xfe{").into_owned();
    let written = logged("info", |_| {
        tracing::info!(hostile, "one");
        tracing::warn!(lossy, "two");
        tracing::error!(number = 3, absent = None::<&str>, "three");
    });
    let lines = written.lines();
    assert_eq!(written.messages(), ["one", "two", "three"]);
    assert_eq!((&lines[0]["hostile"], &lines[1]["lossy"]), (&hostile.into(), &lossy.into()));
    assert_eq!(lines[2]["number"], 3);
    for (line, level) in lines.iter().zip(["INFO", "WARN", "ERROR"]) {
        assert_eq!(line["level"], level);
        assert_eq!(line["target"], "voyage_gateway::telemetry::logging::tests");
        let time = line["timestamp"].as_str().unwrap();
        // RFC 3339, which `httpdate` does not read.
        let shape: String =
            time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00T00:00:00.000000Z");
    }
    assert!(lines[2].get("absent").is_none());
}

#[test]
fn levels_change_for_one_target_and_back_and_a_bad_filter_changes_nothing() {
    let written = logged("info", |levels| {
        let say = |message: &str| {
            tracing::debug!(target: "voyage_gateway::dispatch", "{message} dispatch");
            tracing::debug!(target: "voyage_gateway::grpc", "{message} grpc");
        };
        say("before");
        levels.change("error,voyage_gateway::dispatch=debug").unwrap();
        say("changed");
        // The same filter changes nothing, and is not logged.
        levels.change("error,voyage_gateway::dispatch=debug").unwrap();
        assert!(levels.change("info,voyage_gateway::dispatch=lots").is_err());
        say("refused");
        levels.change("info").unwrap();
        say("after");
    });
    let levels = "log levels changed";
    assert_eq!(written.messages(), [levels, "changed dispatch", "refused dispatch", levels]);
}

#[test]
fn a_filter_of_a_misspelt_name_alone_silences_no_error() {
    let written = logged("info", |levels| {
        levels.change("voyage-gateway=debug").unwrap();
        tracing::info!(target: "voyage_gateway::app", "all is well");
        tracing::error!(target: "voyage_gateway::app", "it is not");
    });
    assert_eq!(written.messages(), ["log levels changed", "it is not"]);
}

#[test]
fn http2_has_its_errors_unless_it_is_named() {
    let say = || {
        tracing::error!(target: "h2::proto", "error");
        tracing::warn!(target: "h2::proto", "warn");
        tracing::debug!(target: "h2::proto", "debug");
    };
    for filter in ["info", "trace", "debug,voyage_gateway=info"] {
        assert_eq!(logged(filter, |_| say()).messages(), ["error"], "{filter}");
    }
    assert_eq!(logged("info,h2=warn", |_| say()).messages(), ["error", "warn"]);
    assert_eq!(logged("h2=debug,info", |_| say()).messages(), ["error", "warn", "debug"]);
}
