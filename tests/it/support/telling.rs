//! Gateways with telemetry that the test reads.

use std::sync::Arc;

use tokio::sync::watch;
use voyage_gateway::{
    app::{self, Bound, Parts},
    config::Config,
    secret::Secret,
    simulator::Options,
    telemetry::Telemetry,
    upstream::{self, Upstream},
};

use super::{Gateway, Holding, KEY, api_keys, prepare};

impl Gateway {
    /// Starts one with this telemetry, and with changes to its configuration and to the simulator.
    pub(crate) async fn telling(
        telemetry: Telemetry,
        adjust: impl FnOnce(&mut Config, &mut Options),
    ) -> Self {
        let (config, simulator) = prepare(adjust).await;
        let parts = Parts { telemetry: Some(telemetry), ..Parts::default() };
        let bound = app::build(&config, Secret::new(KEY), parts).await;
        Self::run(bound.expect("a gateway"), simulator, watch::channel(true).0)
    }

    /// Starts one with this telemetry that gets every reply of Voyage only after [`Gateway::release`].
    pub(crate) async fn telling_and_holding(
        telemetry: Telemetry,
        adjust: impl FnOnce(&mut Config, &mut Options),
    ) -> Self {
        let (config, simulator) = prepare(adjust).await;
        let metrics = &telemetry.metrics;
        let keys = api_keys(metrics);
        let client = upstream::Client::new(&config.upstream, keys, metrics.clone());
        let (released, watched) = watch::channel(false);
        let holding = Holding { client: client.expect("a client"), released: watched };
        let bound = built_around(&config, telemetry, holding).await;
        Self::run(bound, simulator, released)
    }

    /// Starts one with this telemetry that calls `upstream`, and its simulator never.
    pub(crate) async fn telling_around(telemetry: Telemetry, upstream: impl Upstream) -> Self {
        let (config, simulator) = prepare(|_, _| ()).await;
        let bound = built_around(&config, telemetry, upstream).await;
        Self::run(bound, simulator, watch::channel(true).0)
    }
}

async fn built_around(config: &Config, telemetry: Telemetry, upstream: impl Upstream) -> Bound {
    let parts = Parts {
        telemetry: Some(telemetry),
        upstream: Some(Arc::new(upstream)),
        ..Parts::default()
    };
    app::build(config, Secret::new(KEY), parts).await.expect("a gateway")
}
