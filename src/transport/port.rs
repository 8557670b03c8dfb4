//! The settings and the state of a port.

use std::time::Duration;

use tokio::sync::watch;

use super::tls::Acceptor;
use crate::telemetry::{ConnectionFailure, Metrics, PortName};

/// Random part of a connection's age, so that connections opened together do not close together.
const AGE_JITTER: f64 = 0.1;

/// The protocols a port accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2 with prior knowledge: gRPC.
    Http2,
    /// HTTP/1.1 or HTTP/2, detected by the first bytes: probes, scrapers and gRPC health on one port.
    Any,
}

/// The timeouts of a connection.
#[derive(Clone, Debug)]
pub struct Timing {
    /// For the TLS handshake and the first bytes together; also for the header of an HTTP/1.1 request.
    pub handshake: Duration,
    /// Idle time after which the server sends a PING.
    pub keepalive_interval: Duration,
    /// Time for the answer to the PING.
    pub keepalive_timeout: Duration,
    /// Age, within 10 %, at which the server sends GOAWAY.
    pub age: Duration,
    /// Time for calls in flight after that.
    pub age_grace: Duration,
}

impl Timing {
    /// Returns the default timeouts with the given connection age and grace.
    pub fn with_age(age: Duration, age_grace: Duration) -> Self {
        Self {
            handshake: Duration::from_secs(5),
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            age,
            age_grace,
        }
    }

    /// Returns a random age within 10 % of the configured one.
    pub(super) fn jittered_age(&self) -> Duration {
        self.age.mul_f64(1.0 - AGE_JITTER + 2.0 * AGE_JITTER * rand::random::<f64>())
    }

    /// Returns how long a peer may accept no bytes: as long as it may leave a PING unanswered.
    pub(super) fn stall(&self) -> Duration {
        self.keepalive_interval + self.keepalive_timeout
    }
}

/// The settings of a port.
#[derive(Clone, Debug)]
pub struct Port {
    /// Its name in logs and metrics.
    pub name: PortName,
    /// The protocols it accepts.
    pub protocol: Protocol,
    /// TLS; `None`: plaintext.
    pub tls: Option<Acceptor>,
    /// Maximum of open connections; at least 1.
    pub max_connections: u32,
    /// The timeouts of its connections.
    pub timing: Timing,
    /// Where connections and their failures are counted.
    pub metrics: Metrics,
}

impl Port {
    /// Counts a failed connection.
    pub(super) fn failed(&self, failure: ConnectionFailure) {
        self.metrics.connection_failed(self.name, failure);
    }
}

/// The state of a port; it only moves forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PortState {
    /// Connections and calls are accepted.
    #[default]
    Serving,
    /// New connections are refused, GOAWAY is sent, and calls in flight may finish.
    Draining,
    /// The remaining connections are closed.
    Cut,
}

/// Waits until the port is in `state` or beyond it, or its sender is gone.
pub async fn reached(states: &mut watch::Receiver<PortState>, state: PortState) {
    let _ = states.wait_for(|current| *current >= state).await;
}
