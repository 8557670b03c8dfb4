//! Gateways whose telemetry the test has in hand.

use std::sync::Arc;

use tokio::sync::watch;
use voyage_gateway::{
    app,
    caller::Rules,
    config::Config,
    reload::Live,
    secret::Secret,
    simulator::Options,
    telemetry::Telemetry,
    upstream::{self, Upstream},
};

use super::{Gateway, Holding, KEY, api_keys, prepare};

impl Gateway {
    /// Starts one that tells of itself as `telemetry` has it, with changes to its configuration and to the simulator.
    pub(crate) async fn telling(
        telemetry: Telemetry,
        adjust: impl FnOnce(&mut Config, &mut Options),
    ) -> Self {
        let (config, simulator) = prepare(adjust).await;
        let rules = Live::fixed("callers", Rules::new(&config.callers), telemetry.metrics.clone());
        let bound = app::build_ruled(&config, Secret::new(KEY), rules, telemetry).await;
        Self::run(bound.expect("a gateway"), simulator, watch::channel(true).0)
    }

    /// Starts one that gets every reply of Voyage only after [`Gateway::release`], and tells of itself as `telemetry` has it.
    pub(crate) async fn telling_and_holding(
        telemetry: Telemetry,
        adjust: impl FnOnce(&mut Config, &mut Options),
    ) -> Self {
        let (config, simulator) = prepare(adjust).await;
        let metrics = &telemetry.metrics;
        let keys = api_keys(metrics);
        let client = upstream::Client::new(&config.upstream, keys.clone(), metrics.clone());
        let (released, watched) = watch::channel(false);
        let holding = Holding { client: client.expect("a client"), released: watched };
        let bound = app::build_with(&config, keys, Arc::new(holding), telemetry).await;
        let bound = bound.expect("a gateway");
        Self::run(bound, simulator, released)
    }

    /// Starts one that calls `upstream`, and its simulator never, and tells of itself as `telemetry` has it.
    pub(crate) async fn telling_around(telemetry: Telemetry, upstream: impl Upstream) -> Self {
        let (config, simulator) = prepare(|_, _| ()).await;
        let keys = api_keys(&telemetry.metrics);
        let bound = app::build_with(&config, keys, Arc::new(upstream), telemetry).await;
        let bound = bound.expect("a gateway");
        Self::run(bound, simulator, watch::channel(true).0)
    }
}
