//! A simulated Voyage API on loopback, with faults on demand.
//!
//! The provider cannot be reached from tests, so this is its only substitute: a real HTTP/1.1 server that
//! refuses invalid requests with the provider's messages, applies its rate limits, and answers with
//! vectors that are similar for similar texts. A [`Script`] holds the faults.
//!
//! It shares the model catalogue with the gateway and nothing else: its JSON is its own, so that it
//! does not repeat an error of the gateway's.

mod body;
mod chunks;
mod contents;
mod entries;
mod error_reply;
mod fault;
mod keys;
mod provider;
mod random;
mod record;
mod reply;
mod request;
mod rerank;
mod route;
mod rule;
mod script;
mod server;
mod texts;
mod tokens;
mod vectors;

#[cfg(test)]
mod tests;

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{net::TcpListener, sync::watch, task::AbortHandle};

pub use fault::Fault;
pub use keys::AcceptedKeys;
pub use record::Call;
pub use rule::FaultRule;
pub use script::Script;
pub use tokens::count_tokens;
pub use vectors::{Shape, vector};

/// How a simulator behaves.
#[derive(Debug)]
pub struct Options {
    /// The address to listen on; port 0 picks a free port.
    pub listen: SocketAddr,
    /// Requests a minute, key and model; `None`: no limit. Together with `tpm` 10,000, 3 is the free tier.
    pub rpm: Option<u32>,
    /// Tokens a minute, key and model; `None`: no limit.
    pub tpm: Option<u64>,
    /// How long successful replies take.
    pub latency: Latency,
    /// The keys that are accepted, with their own limits if they have any.
    pub keys: AcceptedKeys,
    /// Log each call: numbers only, no texts.
    pub log_requests: bool,
    /// How many of the newest calls [`Simulator::calls`] keeps, with their texts.
    pub remember: usize,
    /// The faults of calls.
    pub script: Script,
    /// An argument that the provider does not know, although its documentation has it.
    pub unknown_argument: Option<&'static str>,
}

/// A free port on loopback, no limits, no latency, every call kept.
impl Default for Options {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            rpm: None,
            tpm: None,
            latency: Latency::default(),
            keys: AcceptedKeys::default(),
            log_requests: false,
            remember: usize::MAX,
            script: Script::default(),
            unknown_argument: None,
        }
    }
}

/// How long a successful reply takes: `base + per_1k_tokens · tokens / 1000`, and up to `jitter` more.
///
/// The jitter of a call depends on its number only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// The latency of every reply.
    pub base: Duration,
    /// The latency added by a thousand tokens.
    pub per_1k_tokens: Duration,
    /// The largest random latency added.
    pub jitter: Duration,
}

/// A running simulator. Dropping the last clone stops it and closes its connections.
#[derive(Clone)]
pub struct Simulator(Arc<Running>);

struct Running {
    address: SocketAddr,
    shared: Arc<server::Simulation>,
    server: AbortHandle,
    /// Closes when the server is gone.
    ended: watch::Receiver<()>,
}

impl Simulator {
    /// Listens on the address and serves on the current runtime.
    ///
    /// # Errors
    ///
    /// When it cannot listen on the address.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(server::Simulation {
            provider: provider::Provider::new(&options),
            record: record::Record::new(options.remember, options.log_requests),
            script: options.script,
        });
        let (running, ended) = watch::channel(());
        let server =
            tokio::spawn(server::accept(listener, Arc::clone(&shared), running)).abort_handle();
        Ok(Self(Arc::new(Running { address, shared, server, ended })))
    }

    /// Returns the address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Returns the base URL of its API, such as `http://127.0.0.1:8080/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.0.address)
    }

    /// Returns the calls received so far, in order of arrival.
    pub fn calls(&self) -> Vec<Call> {
        self.0.shared.record.calls()
    }

    /// Removes the calls received so far. Their numbers are not used again.
    pub fn forget_calls(&self) {
        self.0.shared.record.forget();
    }

    /// Returns the script, which may be changed at any time.
    pub fn script(&self) -> &Script {
        &self.0.shared.script
    }

    /// Returns the keys it accepts, which may be changed at any time.
    pub fn keys(&self) -> &AcceptedKeys {
        &self.0.shared.provider.keys
    }

    /// Waits until the server has ended: when its runtime shuts down.
    pub async fn stopped(&self) {
        let mut ended = self.0.ended.clone();
        // Nothing is ever sent: the only change is that the server's end is gone.
        let _ = ended.changed().await;
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Simulator({})", self.0.address)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.abort();
    }
}
