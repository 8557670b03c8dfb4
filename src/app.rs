//! The only place that wires: config in, running gateway out.
//!
//! [`build`] goes bottom-up, so read backwards it is the corridor.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use http::{Request, Response};
use tokio::{net::TcpListener, sync::watch, time::interval};
use tonic::{body::Body, service::Routes};
use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};
use tower::ServiceExt as _;

use crate::{
    cache::{Cache, Keys},
    caller::Rules,
    config::Config,
    dispatch::{self, Dispatch},
    grpc::{self, Authenticator, Deadlines, Edge},
    pipeline::Pipeline,
    reload::{self, Live, Reload},
    secret::Secret,
    telemetry::{
        Metrics,
        admin::{self, Readiness},
    },
    tokens::{Counter, LoadError},
    transport::{self, Drain, Protocol},
    upstream::{self, Client, Upstream},
};

/// How often the cache does its housekeeping, so that gauges are honest.
const MAINTENANCE: Duration = Duration::from_secs(1);

/// Bytes a cache key's secret must have.
const MIN_KEY_BYTES: usize = 32;

/// A gateway that has its ports and serves nothing yet.
#[derive(Debug)]
pub struct Bound {
    grpc: TcpListener,
    admin: TcpListener,
    edge: Edge,
    cache: Arc<Cache>,
    metrics: Metrics,
    health: Health,
    admin_health: Routes,
    drain: Drain,
    /// Files that are looked at again …
    files: Vec<Arc<dyn Reload>>,
    /// … every so often.
    reload_interval: Duration,
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
    /// `cache.key_file` cannot be used.
    #[error("cache.key_file {path}: {problem}", path = path.display())]
    CacheKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
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

/// Builds a gateway that calls Voyage with `key`, and binds its ports.
pub async fn build(config: &Config, key: Secret) -> Result<Bound, BuildError> {
    let metrics = Metrics::new()?;
    let client = Client::new(&config.upstream, key, metrics.clone())?;
    tracing::info!(base_url = client.base_url(), "calls go upstream");
    build_with(config, Arc::new(client), metrics).await
}

/// Builds a gateway around any upstream, and binds its ports.
pub async fn build_with(
    config: &Config,
    upstream: Arc<dyn Upstream>,
    metrics: Metrics,
) -> Result<Bound, BuildError> {
    let keys = keys(config)?;
    let dispatch = Dispatch::start(dispatch::Parts {
        batch: &config.batch,
        limits: &config.limits,
        retry: &config.retry,
        breaker: &config.breaker,
        counter: Counter::new(&config.tokens)?,
        upstream,
        metrics: metrics.clone(),
    });
    let cache = Arc::new(Cache::new(&config.cache));
    let watched = Arc::clone(&cache);
    metrics.watch_cache(move || watched.size());
    let pipeline =
        Pipeline::new(&config.admission, keys, Arc::clone(&cache), dispatch, metrics.clone());
    let settings = grpc::Settings {
        default_model: Arc::from(config.upstream.default_model.as_str()),
        max_request_bytes: usize::try_from(config.server.max_request_bytes.get())
            .unwrap_or(usize::MAX),
        deadlines: Deadlines {
            default: config.server.default_deadline.get(),
            max: config.server.max_deadline.get(),
        },
        reflection: config.server.reflection,
        authenticator: Authenticator::none(),
        rules: Live::fixed("callers", Rules::new(&config.callers), metrics.clone()),
    };
    let health = Health::new().await;
    let edge = grpc::edge(&settings, Arc::new(pipeline), health.service(), metrics.clone())?;
    Ok(Bound {
        grpc: listen(config.server.listen, "server.listen").await?,
        admin: listen(config.admin.listen, "admin.listen").await?,
        edge,
        cache,
        metrics,
        admin_health: health.routes()?,
        health,
        drain: config.drain.clone(),
        files: Vec::new(),
        reload_interval: config.reload.interval.get(),
    })
}

fn keys(config: &Config) -> Result<Keys, BuildError> {
    let Some(path) = &config.cache.key_file else { return Ok(Keys::random()) };
    let failed = |problem: String| BuildError::CacheKey { path: path.clone(), problem };
    let secret = reload::content(path).map_err(failed)?;
    if secret.len() < MIN_KEY_BYTES {
        return Err(failed(format!("expected at least {MIN_KEY_BYTES} bytes")));
    }
    Ok(Keys::new(&secret))
}

async fn listen(address: SocketAddr, key: &'static str) -> Result<TcpListener, BuildError> {
    TcpListener::bind(address).await.map_err(|error| BuildError::Listen { address, key, error })
}

impl Bound {
    /// Returns the address the gRPC port really has.
    pub fn grpc_address(&self) -> io::Result<SocketAddr> {
        self.grpc.local_addr()
    }

    /// Returns the address the admin port really has.
    pub fn admin_address(&self) -> io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// Returns the gateway's metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Serves until `shutdown`, then drains: not ready, still serving for `drain.delay`, then what is in flight
    /// gets `drain.grace`. The admin port answers to the end.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) {
        let Self {
            grpc,
            admin,
            edge,
            cache,
            metrics,
            health,
            admin_health,
            drain,
            files,
            reload_interval,
        } = self;
        let (stop_grpc, grpc_stopped) = watch::channel(false);
        let (stop_admin, admin_stopped) = watch::channel(false);
        let readiness = Readiness::default();

        let pages = AdminPages { metrics, readiness: readiness.clone(), health: admin_health };
        let admin = tokio::spawn(transport::serve(
            admin,
            Protocol::Any,
            move |request| pages.clone().answer(request),
            raised(admin_stopped),
            Duration::ZERO,
        ));
        let maintenance = tokio::spawn(maintain(cache));
        let polling = tokio::spawn(reload::poll(files, reload_interval));
        let grpc = tokio::spawn(transport::serve(
            grpc,
            Protocol::Http2,
            move |request| edge.clone().serve(request),
            raised(grpc_stopped),
            drain.grace.get(),
        ));

        shutdown.await;
        tracing::info!("draining");
        readiness.drain();
        health.drain().await;
        tokio::time::sleep(drain.delay.get()).await;
        stop_grpc.send_replace(true);
        log_panic(&grpc.await);
        stop_admin.send_replace(true);
        log_panic(&admin.await);
        maintenance.abort();
        polling.abort();
        tracing::info!("stopped");
    }
}

async fn raised(mut flag: watch::Receiver<bool>) {
    // A sender that is gone means that the gateway itself is: stop as well.
    let _ = flag.wait_for(|raised| *raised).await;
}

fn log_panic(ended: &Result<(), tokio::task::JoinError>) {
    if ended.is_err() {
        tracing::error!("a server task panicked");
    }
}

async fn maintain(cache: Arc<Cache>) {
    let mut ticks = interval(MAINTENANCE);
    loop {
        ticks.tick().await;
        cache.maintain();
    }
}

/// gRPC health, on both ports.
#[derive(Clone, Debug)]
struct Health {
    reporter: HealthReporter,
}

impl Health {
    async fn new() -> Self {
        let health = Self { reporter: HealthReporter::new() };
        health.set_all(ServingStatus::Serving).await;
        health.reporter.set_service_status("liveness", ServingStatus::Serving).await;
        health
    }

    /// Everything but liveness: a draining process is alive.
    async fn set_all(&self, status: ServingStatus) {
        for service in ["", "readiness"].into_iter().chain(grpc::SERVICES) {
            self.reporter.set_service_status(service, status).await;
        }
    }

    async fn drain(&self) {
        self.set_all(ServingStatus::NotServing).await;
    }

    fn service(&self) -> HealthServer<HealthService> {
        let service = HealthService::from_health_reporter(self.reporter.clone());
        HealthServer::new(service)
    }

    /// Health for the admin port, with its own reflection so that grpcurl needs no proto file there either.
    fn routes(&self) -> Result<Routes, tonic_reflection::server::Error> {
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let mut routes = Routes::builder();
        routes
            .add_service(self.service())
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?);
        Ok(routes.routes().prepare())
    }
}

/// The admin port: pages over HTTP, health over gRPC.
#[derive(Clone)]
struct AdminPages {
    metrics: Metrics,
    readiness: Readiness,
    health: Routes,
}

impl AdminPages {
    async fn answer(self, request: Request<Body>) -> Response<Body> {
        let grpc = request
            .headers()
            .get(http::header::CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
        if !grpc {
            let path = request.uri().path();
            return admin::page(request.method(), path, &self.metrics, &self.readiness)
                .map(Body::new);
        }
        match self.health.oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}
