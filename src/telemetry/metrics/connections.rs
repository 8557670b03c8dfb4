//! Connections: how many are open, and why some ended badly.

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Meter, MeterProvider as _, UpDownCounter},
};

use super::Metrics;

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
            open: meter
                .i64_up_down_counter("voyage_gateway.connections")
                .with_description("Connections that are open.")
                .build(),
            failures: meter
                .u64_counter("voyage_gateway.connection_failures")
                .with_description("Connections that could not be accepted, or ended badly.")
                .build(),
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
        self.metrics.instruments.connections.open.add(-1, &[port(self.port)]);
    }
}

impl Metrics {
    /// `voyage_gateway_connections{port}`: connections that are open.
    pub fn connection(&self, name: PortName) -> OpenConnection {
        self.instruments.connections.open.add(1, &[port(name)]);
        OpenConnection { metrics: self.clone(), port: name }
    }

    /// `voyage_gateway_connection_failures_total{port, reason}`: connections that the system did not give
    /// (`accept_error`) or that ended badly, by [`ConnectionFailure`].
    pub fn connection_failed(&self, name: PortName, failure: ConnectionFailure) {
        let labels = [port(name), KeyValue::new("reason", failure.as_str())];
        self.instruments.connections.failures.add(1, &labels);
    }

    /// `voyage_gateway_max_connections{port}`: how many may be open; further ones wait to be accepted.
    pub fn max_connections(&self, name: PortName, max: u32) {
        self.instruments
            .provider
            .meter("voyage-gateway")
            .u64_observable_gauge("voyage_gateway.max_connections")
            .with_description("Connections that may be open.")
            .with_callback(move |gauge| gauge.observe(max.into(), &[port(name)]))
            .build();
    }
}

fn port(name: PortName) -> KeyValue {
    KeyValue::new("port", name.as_str())
}
