//! Connections: how many are open, and why some ended badly.

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Meter, UpDownCounter},
};

use super::{
    Metrics, build,
    catalogue::{self, label},
};

/// A port, as metrics and logs name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortName {
    /// The callers' port.
    Grpc,
    /// The port of operators and probes.
    Admin,
}

impl PortName {
    /// Returns the name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Admin => "admin",
        }
    }
}

/// Why a connection was not to be had, or ended otherwise than by its peer's wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionFailure {
    /// The system gave none: too many open files, or no memory.
    Accept,
    /// Its first bytes did not come in time.
    HandshakeTimeout,
    /// Its first bytes are not those of the port's protocol.
    Handshake,
    /// The peer answered no PING, took no byte or finished no header in time.
    Unresponsive,
    /// The peer broke the protocol, or flooded the connection with resets or frames.
    Protocol,
    /// Calls were still running `server.connection_age_grace` after its age was over.
    CutAtAge,
    /// Calls were still running when the drain was over.
    CutAtDrain,
    /// A defect of the gateway's.
    Panic,
}

impl ConnectionFailure {
    /// Returns the reason's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept_error",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::Handshake => "handshake_error",
            Self::Unresponsive => "unresponsive",
            Self::Protocol => "protocol_error",
            Self::CutAtAge => "cut_at_age",
            Self::CutAtDrain => "cut_at_drain",
            Self::Panic => "panic",
        }
    }
}

/// What connections are counted with.
pub(super) struct Instruments {
    open: UpDownCounter<i64>,
    failures: Counter<u64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            open: build::up_down(meter, &catalogue::CONNECTIONS),
            failures: build::counter(meter, &catalogue::CONNECTION_FAILURES),
        }
    }
}

/// An open connection; it counts as one until it is dropped.
#[derive(Debug)]
pub struct OpenConnection {
    metrics: Metrics,
    port: PortName,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        if let Some(shared) = &self.metrics.shared {
            shared.connections.open.add(-1, &[port(self.port)]);
        }
    }
}

impl Metrics {
    /// [`catalogue::CONNECTIONS`]: a connection is open.
    pub fn connection(&self, name: PortName) -> OpenConnection {
        if let Some(shared) = &self.shared {
            shared.connections.open.add(1, &[port(name)]);
        }
        OpenConnection { metrics: self.clone(), port: name }
    }

    /// [`catalogue::CONNECTION_FAILURES`]: a connection that the system did not give (`accept_error`) or that ended
    /// badly, by [`ConnectionFailure`].
    pub fn connection_failed(&self, name: PortName, failure: ConnectionFailure) {
        let Some(shared) = &self.shared else { return };
        let labels = [port(name), KeyValue::new(label::REASON, failure.as_str())];
        shared.connections.failures.add(1, &labels);
    }
}

pub(super) fn port(name: PortName) -> KeyValue {
    KeyValue::new(label::PORT, name.as_str())
}
