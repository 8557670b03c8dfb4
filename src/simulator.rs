//! A Voyage that runs on loopback and can misbehave.
//!
//! The provider cannot be reached from tests, so this is its only stand-in: a real HTTP/1.1 server that
//! refuses what the provider refuses, in the provider's words, keeps its rate limits, and answers with
//! vectors that are similar for similar texts. A [`Script`] says which calls go wrong, and how.
//!
//! It shares the model catalogue with the gateway and nothing else: its JSON is its own, so that a
//! mistake in the gateway's is not mirrored here.

mod body;
mod fault;
mod keys;
mod provider;
mod random;
mod record;
mod refusal;
mod reply;
mod request;
mod rule;
mod script;
mod server;
mod tokens;
mod vectors;
mod window;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;

pub use fault::Fault;
pub use keys::Keys;
pub use record::Call;
pub use rule::{FaultRule, FaultRuleError};
pub use script::Script;
pub use tokens::count_tokens;
pub use vectors::{Shape, vector};

/// How a simulator behaves.
pub struct Options {
    /// Where it listens; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Requests a minute, key and model; `None`: no limit. Together with `tpm` 10,000, 3 is the free tier.
    pub rpm: Option<u32>,
    /// Tokens a minute, key and model; `None`: no limit.
    pub tpm: Option<u64>,
    /// How long successful replies take.
    pub latency: Latency,
    /// The keys that are accepted, and limits of their own that they may have.
    pub keys: Keys,
    /// Whether each call is logged, by numbers only.
    pub log_requests: bool,
    /// How many of the newest calls [`Simulator::calls`] keeps, texts and all; a long run wants few.
    pub remember: usize,
    /// Which calls go wrong.
    pub script: Script,
}

/// A loopback address and a port of the system's choice, no limits, no latency, every call remembered.
impl Default for Options {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            rpm: None,
            tpm: None,
            latency: Latency::default(),
            keys: Keys::any(),
            log_requests: false,
            remember: usize::MAX,
            script: Script::new(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("listen", &self.listen)
            .field("rpm", &self.rpm)
            .field("tpm", &self.tpm)
            .field("latency", &self.latency)
            .field("keys", &self.keys)
            .field("script", &self.script)
            .finish_non_exhaustive()
    }
}

/// How long a successful reply takes: `base + per_1k_tokens · tokens / 1000`, and up to `jitter` more.
///
/// The jitter of a call depends on its number only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// What every reply takes.
    pub base: Duration,
    /// What a thousand tokens take.
    pub per_1k_tokens: Duration,
    /// The most that chance adds.
    pub jitter: Duration,
}

/// A running simulator. Dropping the last clone stops it and closes its connections.
#[derive(Clone)]
pub struct Simulator(Arc<Running>);

struct Running {
    address: SocketAddr,
    shared: Arc<server::Shared>,
    server: AbortHandle,
    /// Closes when the server is gone.
    ended: watch::Receiver<()>,
}

impl Simulator {
    /// Listens, and serves on the current runtime.
    ///
    /// # Errors
    ///
    /// When the address cannot be listened on.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(server::Shared {
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

    /// Returns what a client takes for the provider's address, such as `http://127.0.0.1:8080/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.0.address)
    }

    /// Returns the calls seen so far, in order of arrival.
    pub fn calls(&self) -> Vec<Call> {
        self.0.shared.record.calls()
    }

    /// Forgets the calls seen so far. Their numbers are not given again.
    pub fn forget_calls(&self) {
        self.0.shared.record.forget();
    }

    /// Returns the script, which may be changed at any time.
    pub fn script(&self) -> &Script {
        &self.0.shared.script
    }

    /// Returns the keys it accepts, which may be changed at any time.
    pub fn keys(&self) -> &Keys {
        self.0.shared.provider.keys()
    }

    /// Waits until the server has ended, which it does with its runtime only.
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
