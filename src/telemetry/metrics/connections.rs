//! Connections and TLS handshakes.

use opentelemetry::KeyValue;

use super::{Metrics, catalogue::label};

/// A port, as named in metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortName {
    /// The callers' port.
    Grpc,
    /// The operators' port.
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

/// Why a connection was not accepted or was closed by the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionFailure {
    /// The operating system had no file descriptor or no memory for it.
    Accept,
    /// The first bytes did not arrive in time.
    HandshakeTimeout,
    /// The first bytes are not of the port's protocol.
    Handshake,
    /// The peer did not answer a PING, read, or finish its headers in time.
    Unresponsive,
    /// The peer violated the protocol, or flooded the connection with resets or frames.
    Protocol,
    /// Calls were still running `server.connection_age_grace` after `server.connection_age`.
    CutAtAge,
    /// Calls were still running at the end of the drain.
    CutAtDrain,
    /// A defect of the gateway.
    Panic,
}

impl ConnectionFailure {
    /// Returns the value of the label `reason`.
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

/// How a TLS handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// It succeeded.
    Ok,
    /// The peer speaks no TLS or no supported version, its certificate is not accepted, or it was a TCP probe.
    Failed,
    /// It took too long, or the drain ended it.
    Timeout,
}

impl Handshake {
    /// Returns the value of the label `outcome`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
        }
    }
}

/// Counts as an open connection until it is dropped.
#[derive(Debug)]
pub struct OpenConnection {
    metrics: Metrics,
    port: PortName,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        if let Some(shared) = &self.metrics.shared {
            shared.instruments.connections.add(-1, &[port(self.port)]);
        }
    }
}

/// A running handshake; counted when it is dropped, as a timeout unless [`OpenHandshake::ended`] was called.
#[derive(Debug)]
pub struct OpenHandshake {
    metrics: Metrics,
    outcome: Handshake,
}

impl OpenHandshake {
    /// Sets the outcome.
    pub fn ended(&mut self, outcome: Handshake) {
        self.outcome = outcome;
    }
}

impl Drop for OpenHandshake {
    fn drop(&mut self) {
        let outcome = KeyValue::new(label::OUTCOME, self.outcome.as_str());
        self.metrics.add(|instruments| &instruments.tls_handshakes, 1, &[outcome]);
    }
}

impl Metrics {
    /// `catalogue::CONNECTIONS`: a connection is open.
    pub fn connection(&self, name: PortName) -> OpenConnection {
        if let Some(shared) = &self.shared {
            shared.instruments.connections.add(1, &[port(name)]);
        }
        OpenConnection { metrics: self.clone(), port: name }
    }

    /// `catalogue::CONNECTION_FAILURES`: a connection was not accepted or ended with a failure.
    pub fn connection_failed(&self, name: PortName, failure: ConnectionFailure) {
        let labels = [port(name), KeyValue::new(label::REASON, failure.as_str())];
        self.add(|instruments| &instruments.connection_failures, 1, &labels);
    }

    /// `catalogue::TLS_HANDSHAKES`: a TLS handshake begins.
    pub fn tls_handshake(&self) -> OpenHandshake {
        OpenHandshake { metrics: self.clone(), outcome: Handshake::Timeout }
    }
}

pub(super) fn port(name: PortName) -> KeyValue {
    KeyValue::new(label::PORT, name.as_str())
}
