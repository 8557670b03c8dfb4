//! The only place that wires: config in, running gateway out.
//!
//! [`build`] goes bottom-up, so read backwards it is the corridor; `run` is the life of what was built.

mod follow;
mod identity;
mod run;

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};

use tokio::{net::TcpListener, sync::watch};
use tonic::service::Routes;

pub use follow::ReloadHandle;
pub use run::RunError;

use crate::{
    admin::Health,
    cache::{Cache, KeyDeriver},
    caller::{self, Rules},
    config::Config,
    dispatch::{self, Dispatch},
    file,
    grpc::{self, Authenticator, Deadlines, Edge},
    pipeline::{self, Pipeline},
    reload::{self, Live, Reload},
    telemetry::{Metrics, PortName, Telemetry, trace::Tracer},
    tokens::{Counter, LoadError},
    transport::{Drain, Port, PortState, Protocol, Timing, listen, process, tls::Acceptor},
    upstream::{self, ApiKeys, Client, KeyError, KeySources, Upstream},
};
use follow::Followed;

/// Connections the admin port may have.
const ADMIN_CONNECTIONS: u32 = 64;

/// Files that are for neither port: listeners, standard output, the runtime's own, files that are read, name look-ups.
const OTHER_FILES: u32 = 64;

/// Configured callers whose series start at 0; those of further ones start with their first call.
const MAX_EXPECTED_CALLERS: usize = 100;

/// Bytes a cache key's secret must have.
const MIN_KEY_BYTES: usize = 32;

/// A gateway that has its ports and serves nothing yet.
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
    followed: Followed,
}

/// A port that is had and not served yet.
#[derive(Debug)]
struct BoundPort {
    listener: TcpListener,
    port: Port,
    /// Says how far the port is on its way out.
    states: watch::Sender<PortState>,
}

/// Why a gateway cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A port is taken, or may not be had.
    #[error("cannot listen on {address} ({key}): {error}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// The setting that asks.
        key: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// The limit of open files leaves nothing for callers.
    #[error("server.max_connections: {0}")]
    Files(#[from] process::TooFewFiles),
    /// `cache.key_file` cannot be used.
    #[error("cache.key_file {path}: {problem}", path = path.display())]
    CacheKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// An API key cannot be used.
    #[error(transparent)]
    ApiKey(#[from] KeyError),
    /// The files of `[tls]` cannot be used.
    #[error(transparent)]
    Tls(reload::LoadError),
    /// A file that says who may call cannot be used.
    #[error(transparent)]
    Auth(reload::LoadError),
    /// The upstream client cannot be set up.
    #[error(transparent)]
    Upstream(#[from] upstream::BuildError),
    /// A configured tokenizer cannot be loaded.
    #[error(transparent)]
    Tokenizer(#[from] LoadError),
    /// The metrics cannot be set up.
    #[error(transparent)]
    Metrics(#[from] crate::telemetry::MetricsError),
    /// The compiled proto does not decode.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Parts of a gateway that its configuration does not describe. Each has a default.
#[derive(Default)]
#[expect(missing_debug_implementations, reason = "an upstream has none")]
pub struct Parts {
    /// Metrics and traces; default: metrics of its own, and no traces.
    pub telemetry: Option<Telemetry>,
    /// The callers' rules, which may change; default: those of the configuration.
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
        None => Metrics::new()?.into(),
    };
    let metrics = &telemetry.metrics;
    let fixed = || Live::fixed("config", Rules::new(&config.callers), metrics.clone());
    let rules = parts.rules.unwrap_or_else(fixed);
    let keys = keys.into().load(metrics)?;
    let upstream = match parts.upstream {
        Some(upstream) => upstream,
        None => Arc::new(client(config, &keys, metrics)?),
    };
    assemble(config, keys, upstream, rules, telemetry).await
}

fn client(config: &Config, keys: &ApiKeys, metrics: &Metrics) -> Result<Client, BuildError> {
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
    telemetry: Telemetry,
) -> Result<Bound, BuildError> {
    let Telemetry { metrics, tracer } = telemetry;
    expect_series(config, &rules.get(), &metrics);
    let keys = keys(config)?;
    let tls = Acceptor::load(&config.tls, &metrics).map_err(BuildError::Tls)?;
    let files = tls.iter().map(Acceptor::files).chain(api_keys.files()).collect::<Vec<_>>();
    let (grpc_port, admin_port) = ports(config, tls, &metrics)?;
    let dispatch = Dispatch::start(dispatch::Parts {
        batch: &config.batch,
        limits: &config.limits,
        retry: &config.retry,
        breaker: &config.breaker,
        counter: Counter::new(&config.tokens)?,
        keys: &api_keys,
        upstream,
        metrics: metrics.clone(),
    });
    let cache = Arc::new(Cache::new(&config.cache, &metrics));
    // Weak, because what it watches holds the metrics.
    let watched = Arc::downgrade(&cache);
    metrics.watch_cache(move || Some(watched.upgrade()?.cached()));
    let pipeline = Pipeline::new(pipeline::Parts {
        admission: &config.admission,
        budgets: budgets(config),
        scope: config.cache.scope,
        keys,
        cache: Arc::clone(&cache),
        dispatch: Arc::clone(&dispatch),
        metrics: metrics.clone(),
    });
    let (authenticator, who) =
        identity::build(&config.auth, &metrics).await.map_err(BuildError::Auth)?;
    let fetched = authenticator.fetched_keys();
    let files = who.into_iter().chain(files).chain([Arc::clone(&rules) as Arc<dyn Reload>]);
    let followed = Followed::new(files.collect(), config.reload.interval.get(), fetched);
    let settings = settings(config, authenticator, rules, tracer);
    let health = Health::new().await;
    let grpc = bind(config.server.listen, "server.listen", grpc_port)?;
    let admin = bind(config.admin.listen, "admin.listen", admin_port)?;
    let grpc_health = health.service(grpc.states.subscribe());
    Ok(Bound {
        edge: grpc::edge(settings, Arc::new(pipeline), grpc_health, metrics.clone())?,
        admin_health: health.routes(admin.states.subscribe())?,
        grpc,
        admin,
        cache,
        dispatch,
        metrics,
        health,
        drain: config.drain.clone(),
        followed,
    })
}

fn budgets(config: &Config) -> pipeline::TokenBudgets {
    pipeline::TokenBudgets {
        daily_tokens: config.limits.daily_tokens,
        monthly_tokens: config.limits.monthly_tokens,
        replicas: config.limits.replicas,
    }
}

/// Starts the series of configured models and callers at 0.
fn expect_series(config: &Config, rules: &Rules, metrics: &Metrics) {
    let models = config.limits.models.keys().map(String::as_str);
    metrics.expect_models(models.chain([config.upstream.default_model.as_str()]));
    let names = config.callers.0.keys().filter(|name| *name != caller::DEFAULT);
    for name in names.take(MAX_EXPECTED_CALLERS) {
        metrics.expect_caller(&rules.caller(&Arc::from(name.as_str())));
    }
}

/// Says what the services need to know.
fn settings(
    config: &Config,
    authenticator: Authenticator,
    rules: Arc<Live<Rules>>,
    tracer: Tracer,
) -> grpc::Settings {
    let server = &config.server;
    grpc::Settings {
        default_model: Arc::from(config.upstream.default_model.as_str()),
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

/// Says what holds on the ports. The callers' gets what the others leave of the process's files: so probes and
/// upstream calls go on while it is full. The other speaks plaintext: probes and scrapers have no certificate.
fn ports(
    config: &Config,
    tls: Option<Acceptor>,
    metrics: &Metrics,
) -> Result<(Port, Port), process::TooFewFiles> {
    let server = &config.server;
    // A call's connection may be on its way out while the next one's is there.
    let upstream = 2 * config.batch.max_in_flight;
    let reserved = ADMIN_CONNECTIONS + upstream + OTHER_FILES;
    let max_connections = process::affordable_connections(server.max_connections, reserved)?;
    if max_connections < server.max_connections {
        tracing::warn!(
            max_connections,
            reserved,
            "server.max_connections is cut to what the limit of open files leaves"
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

fn keys(config: &Config) -> Result<KeyDeriver, BuildError> {
    let Some(path) = &config.cache.key_file else { return Ok(KeyDeriver::random()) };
    let failed = |problem: String| BuildError::CacheKey { path: path.clone(), problem };
    let secret = file::read(path).map_err(failed)?;
    if secret.len() < MIN_KEY_BYTES {
        return Err(failed(format!("expected at least {MIN_KEY_BYTES} bytes")));
    }
    Ok(KeyDeriver::new(&secret))
}

fn bind(address: SocketAddr, key: &'static str, port: Port) -> Result<BoundPort, BuildError> {
    let listener = listen(address).map_err(|error| BuildError::Listen { address, key, error })?;
    Ok(BoundPort { listener, port, states: watch::Sender::new(PortState::Serving) })
}

impl Bound {
    /// Returns the address the gRPC port really has.
    pub fn grpc_address(&self) -> io::Result<SocketAddr> {
        self.grpc.listener.local_addr()
    }

    /// Returns the address the admin port really has.
    pub fn admin_address(&self) -> io::Result<SocketAddr> {
        self.admin.listener.local_addr()
    }

    /// Returns what has everything that is followed looked at now, once this serves.
    pub fn reload_handle(&self) -> ReloadHandle {
        self.followed.reload_handle()
    }

    /// Returns what answers on the gRPC port, for who needs no port.
    pub fn edge(&self) -> Edge {
        self.edge.clone()
    }

    /// Returns the gateway's metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}
