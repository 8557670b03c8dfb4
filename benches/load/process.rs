//! Child processes: start, find the address, pin to a core, read the CPU time.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::Context as _;

/// The core of the measured server, and that of the client and the simulator.
const SERVER_CORE: &str = "0";
const CLIENT_CORE: &str = "1";

/// Far longer than a start takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server in a process of its own; dropping it ends it.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Server {
    /// Starts the floor on the servers' core.
    pub(super) fn floor() -> anyhow::Result<Self> {
        let program = env::current_exe()?.display().to_string();
        Self::start(pinned(&program).arg("floor"))
    }

    /// Starts the gateway on the servers' core.
    pub(super) fn gateway(base_url: &str, settings: &[&str]) -> anyhow::Result<Self> {
        Self::start(configured(
            &mut pinned(env!("CARGO_BIN_EXE_voyage-gateway")),
            base_url,
            settings,
        ))
    }

    /// Starts the gateway wherever the system likes.
    pub(super) fn free_gateway(base_url: &str, settings: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_voyage-gateway"));
        Self::start(configured(&mut command, base_url, settings))
    }

    fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let lines = BufReader::new(child.stderr.take().context("a standard error")?).lines();
        let (found, address) = mpsc::channel();
        // Reads to the end, so that the child never waits for its log.
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(address) = grpc_address(&line) {
                    let _ = found.send(address);
                }
            }
        });
        let address = address.recv_timeout(PATIENCE).context("the server said no address")?;
        Ok(Self { child, address })
    }

    /// Returns the time all its threads have been on a core, in nanoseconds.
    pub(super) fn cpu_nanos(&self) -> anyhow::Result<u64> {
        let mut sum = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let stat = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            let nanos = stat.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok());
            sum += nanos.unwrap_or(0);
        }
        Ok(sum)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Moves this process, which has one thread yet, to the clients' core.
pub(super) fn pin_self() {
    if can_pin() {
        let id = std::process::id().to_string();
        let _ =
            Command::new("taskset").args(["-cp", CLIENT_CORE, &id]).stdout(Stdio::null()).status();
    }
}

/// Returns whether servers and clients have a core each.
pub(super) fn can_pin() -> bool {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    // Also true once this process is pinned itself.
    let found = Command::new("taskset").arg("-V").stdout(Stdio::null()).status();
    found.is_ok_and(|status| status.success()) && (cores > 1 || is_on_client_core())
}

fn is_on_client_core() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        status.lines().any(|line| {
            line.strip_prefix("Cpus_allowed_list:").is_some_and(|list| list.trim() == CLIENT_CORE)
        })
    })
}

fn pinned(program: &str) -> Command {
    if !can_pin() {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", SERVER_CORE, program]);
    command
}

fn configured<'a>(command: &'a mut Command, base_url: &str, settings: &[&str]) -> &'a mut Command {
    let base_url = format!("upstream.base_url={base_url}");
    let always = ["server.listen=127.0.0.1:0", "admin.listen=127.0.0.1:0", &base_url];
    command.arg("serve").env("VOYAGE_API_KEY", "a-key-for-the-simulator");
    for setting in always.iter().chain(settings) {
        command.args(["--set", setting]);
    }
    command
}

fn grpc_address(line: &str) -> Option<SocketAddr> {
    let event: serde_json::Value = serde_json::from_str(line).ok()?;
    if event["port"] != "grpc" {
        return None;
    }
    event["address"].as_str()?.parse().ok()
}
