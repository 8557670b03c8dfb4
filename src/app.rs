//! Builds a gateway of its configuration and runs it. Wiring is done only here.

mod follow;
mod identity;
mod run;

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{net::TcpListener, sync::watch};
use tonic::service::Routes;

pub use follow::ReloadHandle;
pub use run::RunError;

use crate::{
    admin::Health,
    cache::{self, Cache, CachedScores, KeyDeriver},
    caller::{self, Rules},
    config::Config,
    dispatch::{self, Dispatch},
    file,
    grpc::{self, Authenticator, Deadlines, Edge, RequestModels},
    model::Catalogue,
    pipeline::{self, Pipeline},
    reload::{Live, Reload},
    telemetry::{Metrics, PortName, Telemetry, trace::Tracer},
    tokens::Counter,
    transport::{Drain, Port, PortState, Protocol, Timing, listen, process, tls::Acceptor},
    upstream::{self, ApiKeys, Client, KeySources, Upstream},
};

/// Maximum of connections on the admin port.
const ADMIN_CONNECTIONS: u32 = 64;

/// File descriptors of neither port: listeners, standard output, the runtime, watched files, name look-ups.
const OTHER_FILES: u32 = 64;

/// Maximum of configured callers whose series start at 0. Those of others start with their first call.
const MAX_EXPECTED_CALLERS: usize = 100;

/// Minimum size of `cache.key_file` in bytes.
const MIN_KEY_BYTES: usize = 32;

/// A gateway with bound ports that does not serve yet.
#[derive(Debug)]
pub struct Bound {
    grpc: BoundPort,
    admin: BoundPort,
    edge: Edge,
    cache: Arc<Cache>,
    dispatch: Arc<Dispatch>,
    metrics: Metrics,
    health: Health,
    admin_health: Routes,
    drain: Drain,
    files: Vec<Arc<dyn Reload>>,
    reload_interval: Duration,
    reload: ReloadHandle,
}

/// A bound port that does not serve yet.
#[derive(Debug)]
struct BoundPort {
    listener: TcpListener,
    port: Port,
    states: watch::Sender<PortState>,
}

/// Why a gateway cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A setting, or the file that it names, cannot be used.
    #[error("{0}")]
    Config(String),
    /// The system or a library failed.
    #[error(transparent)]
    System(#[from] anyhow::Error),
}

impl BuildError {
    fn config(error: impl fmt::Display) -> Self {
        Self::Config(error.to_string())
    }
}

/// Parts of a gateway that its configuration does not describe. Each has a default.
#[derive(Default)]
#[expect(missing_debug_implementations, reason = "an upstream has none")]
pub struct Parts {
    /// Metrics and traces; default: metrics of its own, and no traces.
    pub telemetry: Option<Telemetry>,
    /// The callers' rules; default: those of the configuration, without reloads.
    pub rules: Option<Arc<Live<Rules>>>,
    /// The upstream; default: Voyage's API.
    pub upstream: Option<Arc<dyn Upstream>>,
}

/// Builds a gateway that calls its upstream with `keys`, and binds its ports.
pub async fn build(
    config: &Config,
    keys: impl Into<KeySources>,
    parts: Parts,
) -> Result<Bound, BuildError> {
    let telemetry = match parts.telemetry {
        Some(telemetry) => telemetry,
        None => Metrics::new().context("metrics")?.into(),
    };
    let metrics = &telemetry.metrics;
    let fixed = || Live::fixed("config", Rules::new(&config.callers), metrics.clone());
    let rules = parts.rules.unwrap_or_else(fixed);
    let keys = keys.into().load(metrics).map_err(BuildError::config)?;
    let upstream = match parts.upstream {
        Some(upstream) => upstream,
        None => Arc::new(client(config, &keys, metrics)?),
    };
    assemble(config, keys, upstream, rules, telemetry).await
}

fn client(config: &Config, keys: &ApiKeys, metrics: &Metrics) -> anyhow::Result<Client> {
    let client = Client::new(&config.upstream, keys.clone(), metrics.clone())?
        .with_traceparent(config.telemetry.propagate_to_voyage);
    for member in keys.members() {
        let base_url = client.base_url(&member.key()).to_owned();
        tracing::info!(key = %member.alias(), base_url, "calls go upstream");
    }
    Ok(client)
}

async fn assemble(
    config: &Config,
    api_keys: ApiKeys,
    upstream: Arc<dyn Upstream>,
    rules: Arc<Live<Rules>>,
    Telemetry { metrics, tracer }: Telemetry,
) -> Result<Bound, BuildError> {
    let catalogue = config.models.catalogue();
    expect_series(config, &catalogue, &rules.get(), &metrics);
    let keys = key_deriver(config).map_err(BuildError::Config)?;
    let tls = Acceptor::load(&config.tls, &metrics).map_err(BuildError::config)?;
    let (authenticator, mut files) =
        identity::build(&config.auth, &metrics).await.map_err(BuildError::config)?;
    files.extend(tls.iter().map(Acceptor::files).chain(api_keys.files()));
    files.push(Arc::clone(&rules) as Arc<dyn Reload>);
    let (grpc_port, admin_port) = ports(config, tls, &metrics)?;
    let dispatch = Dispatch::start(dispatch::Parts {
        catalogue: &catalogue,
        batch: &config.batch,
        limits: &config.limits,
        retry: &config.retry,
        breaker: &config.breaker,
        counter: Counter::new(&config.tokens).map_err(BuildError::config)?,
        keys: &api_keys,
        upstream,
        metrics: metrics.clone(),
    });
    let cache = watched_cache(&config.cache, &metrics);
    let pipeline = Pipeline::new(pipeline::Parts {
        admission: &config.admission,
        limits: &config.limits,
        scope: config.cache.scope,
        keys,
        cache: Arc::clone(&cache),
        dispatch: Arc::clone(&dispatch),
        metrics: metrics.clone(),
    });
    let reload = ReloadHandle::new(authenticator.fetched_keys());
    let models = request_models(&config.upstream, catalogue);
    let settings = settings(config, models, authenticator, rules, tracer);
    let health = Health::new().await;
    let grpc = bind(config.server.listen, "server.listen", grpc_port)?;
    let admin = bind(config.admin.listen, "admin.listen", admin_port)?;
    let grpc_health = health.service(grpc.states.subscribe());
    let edge = grpc::edge(settings, Arc::new(pipeline), grpc_health, metrics.clone());
    Ok(Bound {
        edge: edge.context("reflection")?,
        admin_health: health.routes(admin.states.subscribe()).context("reflection")?,
        grpc,
        admin,
        cache,
        dispatch,
        metrics,
        health,
        drain: config.drain.clone(),
        files,
        reload_interval: config.reload.interval.get(),
        reload,
    })
}

fn watched_cache(config: &cache::Config, metrics: &Metrics) -> Arc<Cache> {
    let cache = Arc::new(Cache::new(config, metrics));
    // Weak: the cache holds the metrics.
    let watched = Arc::downgrade(&cache);
    metrics.watch_cache(move || Some(watched.upgrade()?.cached()));
    cache
}

/// Starts the series of configured models and callers at 0.
fn expect_series(config: &Config, catalogue: &Catalogue, rules: &Rules, metrics: &Metrics) {
    let models = config.limits.models.keys().map(String::as_str);
    let models = models.chain(config.upstream.default_models());
    metrics.expect_models(models.map(|name| catalogue.resolve(name)));
    let names = config.callers.0.keys().filter(|name| *name != caller::DEFAULT);
    for name in names.take(MAX_EXPECTED_CALLERS) {
        metrics.expect_caller(&rules.caller(&Arc::from(name.as_str())));
    }
}

fn settings(
    config: &Config,
    models: RequestModels,
    authenticator: Authenticator,
    rules: Arc<Live<Rules>>,
    tracer: Tracer,
) -> grpc::Settings {
    let server = &config.server;
    grpc::Settings {
        models,
        caches_scores: config.cache.rerank == CachedScores::Pairs,
        max_request_bytes: usize::try_from(server.max_request_bytes.get()).unwrap_or(usize::MAX),
        deadlines: Deadlines {
            default: server.default_deadline.get(),
            max: server.max_deadline.get(),
        },
        reflection: server.reflection,
        authenticator,
        rules,
        tracer,
    }
}

fn request_models(upstream: &upstream::Config, catalogue: Catalogue) -> RequestModels {
    RequestModels {
        texts: catalogue.resolve(&upstream.default_model),
        chunks: catalogue.resolve(&upstream.default_chunks_model),
        multimodal: catalogue.resolve(&upstream.default_multimodal_model),
        rerank: catalogue.resolve(&upstream.default_rerank_model),
        catalogue,
    }
}

/// Returns the settings of the gRPC port and of the admin port. File descriptors are reserved for the admin port and
/// upstream calls. The admin port is plaintext: probes and scrapers have no certificate.
fn ports(
    config: &Config,
    tls: Option<Acceptor>,
    metrics: &Metrics,
) -> anyhow::Result<(Port, Port)> {
    let server = &config.server;
    // The connection of one call may still be closing when that of the next one is open.
    let upstream = 2 * config.batch.max_in_flight;
    let reserved = ADMIN_CONNECTIONS + upstream + OTHER_FILES;
    let max_connections = process::affordable_connections(server.max_connections, reserved)
        .context("server.max_connections")?;
    if max_connections < server.max_connections {
        tracing::warn!(
            max_connections,
            reserved,
            "server.max_connections is lowered to fit the limit of open files"
        );
    }
    let timing = Timing::with_age(server.connection_age.get(), server.connection_age_grace.get());
    let port = |name, protocol, max_connections| Port {
        name,
        protocol,
        tls: None,
        max_connections,
        timing: timing.clone(),
        metrics: metrics.clone(),
    };
    let grpc = Port { tls, ..port(PortName::Grpc, Protocol::Http2, max_connections) };
    Ok((grpc, port(PortName::Admin, Protocol::Any, ADMIN_CONNECTIONS)))
}

fn key_deriver(config: &Config) -> Result<KeyDeriver, String> {
    let Some(path) = &config.cache.key_file else { return Ok(KeyDeriver::random()) };
    match file::read(path) {
        Ok(secret) if secret.len() >= MIN_KEY_BYTES => Ok(KeyDeriver::new(&secret)),
        Ok(_) => Err(format!("expected at least {MIN_KEY_BYTES} bytes")),
        Err(problem) => Err(problem),
    }
    .map_err(|problem| format!("cache.key_file {}: {problem}", path.display()))
}

fn bind(address: SocketAddr, setting: &str, port: Port) -> anyhow::Result<BoundPort> {
    let listener =
        listen(address).with_context(|| format!("cannot listen on {address} ({setting})"))?;
    Ok(BoundPort { listener, port, states: watch::Sender::new(PortState::Serving) })
}

impl Bound {
    /// Returns the address of the gRPC port.
    pub fn grpc_address(&self) -> io::Result<SocketAddr> {
        self.grpc.listener.local_addr()
    }

    /// Returns the address of the admin port.
    pub fn admin_address(&self) -> io::Result<SocketAddr> {
        self.admin.listener.local_addr()
    }

    /// Returns the service of the gRPC port, for use without a port.
    pub fn edge(&self) -> Edge {
        self.edge.clone()
    }

    /// Returns the handle that requests reloads.
    pub fn reload_handle(&self) -> ReloadHandle {
        self.reload.clone()
    }
}
