//! The process itself: its files, its memory and its signals.

use std::{
    fs,
    io::{BufRead as _, BufReader, ErrorKind, Lines, Write as _},
    net::{SocketAddr, TcpListener},
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::JoinSet};
use voyage_gateway::simulator::{Options, Simulator};

use super::frames::{PREFACE, Peer, SETTINGS};
use crate::{
    raw::{Connection, framed},
    support::{KEY, assert_vectors, eventually, page, reason, sample, texts},
};

/// `serve`, killed at the end.
pub(super) struct Process {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    pub(super) grpc: SocketAddr,
    pub(super) admin: SocketAddr,
    /// The log before it listened.
    events: Vec<Value>,
}

impl Process {
    /// Starts `command`, which ends in the binary, to serve with these settings.
    pub(super) fn spawn(mut command: Command, settings: &[&str]) -> Child {
        command.arg("serve");
        Self::spawn_with(command, settings)
    }

    /// The same, where the command holds `serve` already.
    fn spawn_with(mut command: Command, settings: &[&str]) -> Child {
        let usual = ["server.listen=127.0.0.1:0", "admin.listen=127.0.0.1:0"];
        for setting in usual.iter().chain(settings).chain(&["telemetry.log_format=json"]) {
            command.args(["--set", setting]);
        }
        command.env_clear().env("VOYAGE_API_KEY", KEY).stderr(Stdio::piped());
        loop {
            match command.spawn() {
                Ok(child) => return child,
                // Another test that forks has a fresh copy of the binary open for a moment.
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Starts it, and waits until it listens.
    pub(super) fn serve(mut command: Command, settings: &[&str]) -> Self {
        command.arg("serve");
        Self::serve_with(command, settings)
    }

    /// The same, where the command holds `serve` already.
    pub(super) fn serve_with(command: Command, settings: &[&str]) -> Self {
        let mut child = Self::spawn_with(command, settings);
        let mut log = BufReader::new(child.stderr.take().expect("a log")).lines();
        let (mut events, mut listening) = (Vec::new(), Vec::new());
        while listening.len() < 2 {
            let line = log.next().expect("a line for each port").expect("a line");
            let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
            if event["message"] == "listening" {
                listening.push(event["address"].as_str().unwrap().parse().unwrap());
            }
            events.push(event);
        }
        Self { child, log, grpc: listening[0], admin: listening[1], events }
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for a line of the log.
    pub(super) fn until_logged(&mut self, message: &str) {
        self.until(|event| event["message"] == message);
    }

    /// Waits for a line of the log, and returns the log up to it, that line included.
    pub(super) fn until(&mut self, is_it: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut events = Vec::new();
        for line in self.log.by_ref() {
            let event: Value = serde_json::from_str(&line.unwrap()).unwrap_or_default();
            events.push(event);
            if events.last().is_some_and(&is_it) {
                return events;
            }
        }
        panic!("it never said so: {events:?}");
    }

    /// Waits for the end of the log, and returns the lines until then.
    pub(super) fn rest(&mut self) -> Vec<Value> {
        self.log.by_ref().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
    }

    pub(super) fn ended(mut self) -> ExitStatus {
        // It may still have something to say.
        for _ in self.log.by_ref() {}
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) const BINARY: &str = env!("CARGO_BIN_EXE_voyage-gateway");

/// Files are kept for 64 connections of the admin port, twice 8 upstream calls and 64 other uses.
const RESERVED: usize = 64 + 2 * 8 + 64;

/// The binary, in a shell that lets it have only so many files.
fn with_files(soft: usize, hard: usize) -> Command {
    let mut command = Command::new("sh");
    let limits = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\"");
    command.args(["-c", &limits, BINARY]);
    command
}

#[tokio::test]
async fn probes_and_upstream_calls_go_on_when_files_run_short() {
    const ROOM: usize = 50;
    let simulator = Simulator::start(Options::default()).await.unwrap();
    let base_url = format!("upstream.base_url={}", simulator.base_url());
    // The soft limit alone would leave no room at all.
    let command = with_files(RESERVED - 10, RESERVED + ROOM);
    let process = Process::serve(command, &[&base_url]);
    let warning = process.events.iter().find(|event| event["level"] == "WARN").unwrap();
    assert_eq!(warning["max_connections"], ROOM, "{warning}");
    assert_eq!(warning["reserved"], RESERVED, "{warning}");

    let caller = Connection::open(process.grpc).await;
    let mut peers = Vec::new();
    for _ in 0..2 * ROOM {
        let mut peer = TcpStream::connect(process.grpc).await.unwrap();
        peer.write_all(PREFACE).await.unwrap();
        peers.push(peer);
    }
    eventually(async || {
        let (_, metrics) = page(process.admin, "GET", "/metrics").await;
        sample(&metrics, "voyage_gateway_connections", &[("port", "grpc")]) == 50
    })
    .await;
    for number in 0..100 {
        assert_eq!(page(process.admin, "GET", "/livez").await.0, 200);
        let text = format!("text {number}");
        let reply = caller.clone().embed(&[], &texts(&[&text])).await.unwrap();
        assert_vectors(&reply, &[&text]);
    }
    let (_, metrics) = page(process.admin, "GET", "/metrics").await;
    let labels = [("reason", "accept_error")];
    assert_eq!(sample(&metrics, "voyage_gateway_connection_failures_total", &labels), 0);

    drop(peers);
    let mut late = Peer::polite(TcpStream::connect(process.grpc).await.unwrap()).await;
    late.until(|frame| frame.kind == SETTINGS).await;
}

#[test]
fn too_few_files_for_anybody_are_an_error() {
    let mut command = with_files(RESERVED, RESERVED);
    command.args(["serve", "--set", "server.listen=127.0.0.1:0"]);
    let done = command.env_clear().env("VOYAGE_API_KEY", KEY).output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    let log = String::from_utf8(done.stderr).unwrap();
    let last = log.lines().last().unwrap();
    assert!(last.contains("server.max_connections") && last.contains("ulimit -n"), "{last}");
}

#[test]
fn a_second_signal_ends_it_at_once_and_well() {
    for (first, second) in [(Signal::TERM, Signal::TERM), (Signal::INT, Signal::TERM)] {
        let command = Command::new(BINARY);
        let mut process = Process::serve(command, &["drain.delay=1h", "drain.grace=1h"]);
        process.signal(first);
        process.until_logged("draining");
        process.signal(second);
        process.until_logged("stopped");
        assert_eq!(process.ended().code(), Some(0));
    }
}

#[test]
fn a_signal_during_the_start_ends_it_well() {
    // Takes connections and says nothing.
    let issuer = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("auth.jwt.jwks_url=http://{}/jwks", issuer.local_addr().unwrap());
    let settings = ["auth.mode=jwt", "auth.jwt.issuer=i", "auth.jwt.audience=a", url.as_str()];
    let child = Process::spawn(Command::new(BINARY), &settings);
    let asked = issuer.accept().unwrap();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let ended = child.wait_with_output().unwrap();
    drop(asked);
    let log = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(0), "{log}");
    assert!(!log.contains("listening"), "{log}");
}

/// A gzipped message that grows to 256 MiB.
fn bomb() -> Bytes {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..256 {
        gzip.write_all(&zeros).unwrap();
    }
    let mut message = framed(&gzip.finish().unwrap()).to_vec();
    // It is compressed.
    message[0] = 1;
    message.into()
}

#[tokio::test]
async fn bombs_take_no_more_memory_than_messages_may() {
    let server = Process::serve(
        Command::new(BINARY),
        &["server.max_request_bytes=1MiB", "admission.max_bytes=16MiB"],
    );
    // The most memory it has ever had.
    let peak_kib = || {
        let status = fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = peak_kib();
    let bomb = bomb();
    let mut calls = JoinSet::new();
    for _ in 0..8 {
        let connection = Connection::open(server.grpc).await;
        for _ in 0..8 {
            let (connection, bomb) = (connection.clone(), bomb.clone());
            calls.spawn(async move { connection.call(&[("grpc-encoding", "gzip")], bomb).await });
        }
    }
    let mut defused = 0;
    while let Some(status) = calls.join_next().await {
        let reason = reason(&status.unwrap().unwrap_err());
        // So many at once do not all find room.
        assert!(["REQUEST_TOO_LARGE", "OVERLOADED"].contains(&reason.as_str()), "{reason}");
        defused += u32::from(reason == "REQUEST_TOO_LARGE");
    }
    assert!(defused > 0);
    // All of them would take 16 GiB, and one of them 256 MiB.
    let grown = peak_kib() - before;
    assert!(grown < 64 * 1024, "{grown} KiB more");
}

/// Returns the binary for a user other than root, and its copy, which is removed on drop.
fn unprivileged() -> (Command, Option<tempfile::TempPath>) {
    const NOBODY: u32 = 65_534;
    if !rustix::process::getuid().is_root() {
        return (Command::new(BINARY), None);
    }
    // The project may lie where only root can look.
    let copy = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    fs::copy(BINARY, &copy).unwrap();
    let mut command = Command::new(&copy);
    command.uid(NOBODY).gid(NOBODY).current_dir("/");
    (command, Some(copy))
}

#[cfg(target_os = "linux")]
#[test]
fn its_memory_is_closed_to_others() {
    let (command, _copy) = unprivileged();
    let process = Process::serve(command, &[]);
    // The files in /proc of a process that cannot be dumped belong to root.
    let folder = format!("/proc/{}", process.child.id());
    let owner = fs::metadata(format!("{folder}/environ")).unwrap().uid();
    assert_eq!(owner, 0);
}
