//! SIGHUP reloads all files and ends nothing; log levels follow the file.

use std::{fs, net::TcpListener, path::Path, process::Command};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use voyage_gateway::simulator::{Options, Simulator};

use super::process::{BINARY, Process};
use crate::{
    auth::Folder,
    raw::Connection,
    support::{eventually, page, sample, texts},
};

/// No poll reloads files during a test.
const SELDOM: &str = "reload.interval=30s";

const CHANGED: &str = "log levels changed";
const LOOKED: &str = "all watched files reloaded";

fn filter(file: &Path, filter: &str) {
    fs::write(file, format!("[telemetry]\nlog_filter = \"{filter}\"\n")).unwrap();
}

/// Starts one that follows `file`.
fn following(file: &Path, settings: &[&str]) -> Process {
    let mut command = Command::new(BINARY);
    // The environment is cleared: only an argument gets through.
    command.args(["serve", "--config"]).arg(file);
    Process::serve_with(command, settings)
}

async fn reloads(process: &Process, outcome: &str) -> u64 {
    let (_, metrics) = page(process.admin, "GET", "/metrics").await;
    let labels = [("what", "config"), ("outcome", outcome)];
    sample(&metrics, "voyage_gateway_reloads_total", &labels)
}

/// Makes one call that fails, and returns the log up to the failure's line.
async fn logged(process: &mut Process) -> Vec<Value> {
    let connection = Connection::open(process.grpc).await;
    connection.embed(&[("x-request-id", "the-mark")], &texts(&[""])).await.unwrap_err();
    process.until(|event| event["request_id"] == "the-mark")
}

fn below_info<'a>(events: &'a [Value], target: &str) -> Vec<&'a Value> {
    let mine = |event: &&Value| {
        let found = event["target"].as_str().unwrap_or_default();
        found.starts_with(target) && ["DEBUG", "TRACE"].contains(&event["level"].as_str().unwrap())
    };
    events.iter().filter(mine).collect()
}

#[tokio::test]
async fn a_level_changes_at_once_for_one_target_and_back() {
    let folder = Folder::new();
    let file = folder.path("gateway.toml");
    filter(&file, "info");
    let mut process = following(&file, &[SELDOM]);
    assert!(below_info(&logged(&mut process).await, "").is_empty());

    filter(&file, "info,h2=trace");
    process.signal(Signal::HUP);
    process.until_logged(CHANGED);
    process.until_logged(LOOKED);
    let events = logged(&mut process).await;
    assert!(!below_info(&events, "h2").is_empty());
    assert_eq!(below_info(&events, "").len(), below_info(&events, "h2").len(), "and no others");

    filter(&file, "info");
    process.signal(Signal::HUP);
    process.until_logged(LOOKED);
    assert!(below_info(&logged(&mut process).await, "").is_empty());
    assert_eq!(reloads(&process, "changed").await, 2);
}

#[tokio::test]
async fn a_bad_level_changes_nothing_and_is_logged() {
    let folder = Folder::new();
    let file = folder.path("gateway.toml");
    filter(&file, "info,h2=trace");
    let mut process = following(&file, &[SELDOM]);
    filter(&file, "info,h2=canary");
    process.signal(Signal::HUP);
    let events = process.until(|event| event["message"] == LOOKED);
    let refused = |event: &&Value| event["level"] == "ERROR" && event["what"] == "config";
    let line = events.iter().find(refused).expect("a line").to_string();
    assert!(line.contains("telemetry.log_filter: must be a level") && !line.contains("canary"));
    assert_eq!(reloads(&process, "refused").await, 1);
    assert!(!below_info(&logged(&mut process).await, "h2").is_empty());
}

#[tokio::test]
async fn a_setting_overrides_the_file_and_rules_are_reloaded_too() {
    let folder = Folder::new();
    let file = folder.path("gateway.toml");
    filter(&file, "info");
    let mut process = following(&file, &[SELDOM, "telemetry.log_filter=warn,voyage_gateway=info"]);
    filter(&file, "trace");
    process.signal(Signal::HUP);
    let events = process.until(|event| event["message"] == LOOKED);
    assert!(below_info(&events, "").is_empty());
    assert!(events.iter().any(|event| event["what"] == "config"), "{events:?}");
    assert!(below_info(&logged(&mut process).await, "").is_empty());
}

#[tokio::test]
async fn a_level_changes_without_a_signal_within_the_interval() {
    let folder = Folder::new();
    let file = folder.path("gateway.toml");
    filter(&file, "info");
    let mut process = following(&file, &["reload.interval=100ms"]);
    filter(&file, "info,voyage_gateway::dispatch=debug");
    process.until_logged(CHANGED);
}

#[tokio::test]
async fn without_a_file_it_is_not_ended_either_and_calls_go_on() {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    let base_url = format!("upstream.base_url={}", simulator.base_url());
    let mut process = Process::serve(Command::new(BINARY), &[&base_url]);
    let connection = Connection::open(process.grpc).await;
    for number in 0..5 {
        process.signal(Signal::HUP);
        process.until_logged(LOOKED);
        let text = format!("text {number}");
        connection.clone().embed(&[], &texts(&[&text])).await.unwrap();
    }
    eventually(async || simulator.calls().len() == 5).await;
    process.signal(Signal::TERM);
    assert_eq!(process.ended().code(), Some(0));
}

#[test]
fn during_the_start_it_ends_nothing() {
    // Takes connections and says nothing.
    let issuer = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("auth.jwt.jwks_url=http://{}/jwks", issuer.local_addr().unwrap());
    let settings = ["auth.mode=jwt", "auth.jwt.issuer=i", "auth.jwt.audience=a", url.as_str()];
    let child = Process::spawn(Command::new(BINARY), &settings);
    let asked = issuer.accept().unwrap();
    kill_process(Pid::from_child(&child), Signal::HUP).unwrap();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let ended = child.wait_with_output().unwrap();
    drop(asked);
    let log = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(0), "{log}");
}
