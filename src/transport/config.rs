//! `[server]` and `[drain]`: the gRPC port, and the end of the gateway.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{
    check::Validation,
    units::{Size, TimeSpan},
};

/// `[server]`: the gRPC port, and limits of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Config {
    /// The IP address and port of the gRPC services. Port 0 selects a free port, which is logged.
    /// `0.0.0.0:50051` listens on every interface and requires `auth.mode`.
    pub listen: SocketAddr,

    /// The largest request message, decompressed; 1KiB to 1GiB. Larger ones are refused with
    /// `RESOURCE_EXHAUSTED` before they are read. Raise it for bulk callers, with `admission.max_bytes`.
    pub max_request_bytes: Size,

    /// The timeout of calls without a deadline. Half of it is ample time: when a deadline of at least that passes in
    /// the queue or upstream, the caller is not to blame.
    pub default_deadline: TimeSpan,

    /// The longest timeout of a call: later deadlines are cut to it.
    pub max_deadline: TimeSpan,

    /// Maximum of open connections, 1 to 1000000; further ones wait to be accepted. At the start it is lowered,
    /// with a warning, if the limit of open files requires it (`ulimit -n`, raised to its hard limit).
    pub max_connections: u32,

    /// The age, within a tenth, at which a connection gets GOAWAY. Its client then opens another, which spreads
    /// clients over new replicas. `36500d` means never.
    pub connection_age: TimeSpan,

    /// The time for calls in flight after that, before the connection is cut.
    pub connection_age_grace: TimeSpan,

    /// Whether gRPC reflection is served, so that grpcurl works without the proto files.
    pub reflection: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 50051)),
            max_request_bytes: Size::from_mib(32),
            default_deadline: TimeSpan::from_secs(60),
            max_deadline: TimeSpan::from_secs(5 * 60),
            max_connections: 10_000,
            connection_age: TimeSpan::from_secs(10 * 60),
            connection_age_grace: TimeSpan::from_secs(30),
            reflection: true,
        }
    }
}

impl Config {
    /// Validates the section's values.
    pub fn validate(&self) -> Validation {
        Validation::new()
            // gRPC counts message lengths in 32 bits; 1GiB keeps clear of them.
            .within(
                "max_request_bytes",
                self.max_request_bytes,
                Size::from_kib(1)..=Size::from_mib(1024),
            )
            .require("default_deadline", !self.default_deadline.is_zero(), "must be longer than 0s")
            .require_together(
                &["default_deadline", "max_deadline"],
                self.default_deadline <= self.max_deadline,
                "must not be longer than server.max_deadline",
            )
            .within("max_connections", self.max_connections, 1..=1_000_000)
            .require("connection_age", !self.connection_age.is_zero(), "must be longer than 0s")
    }
}

/// `[drain]`: shutdown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Drain {
    /// The time after SIGTERM in which the gateway reports not ready and still accepts calls: as long as Kubernetes
    /// takes to update all clients. `0s` without a load balancer.
    pub delay: TimeSpan,

    /// The time for calls in flight after that, before they are cut off. Together with `delay` it must
    /// stay 5s below the pod's `terminationGracePeriodSeconds`, or 8s where telemetry is exported. A second
    /// SIGTERM ends both at once.
    pub grace: TimeSpan,
}

impl Default for Drain {
    fn default() -> Self {
        Self { delay: TimeSpan::from_secs(5), grace: TimeSpan::from_secs(25) }
    }
}
