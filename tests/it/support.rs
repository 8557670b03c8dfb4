//! One whole gateway a test: the real app in process, a simulated Voyage above it, a real client below.
//!
//! Every port is 0, so that the system picks a free one: tests run side by side and beside whatever else
//! the machine serves. All tests are one binary: one link instead of a dozen, and these helpers compile
//! once. A test's gateway, simulator and clients share the test's own runtime; its end is theirs.
//!
//! Time is real here, so nothing may depend on how long a thing takes. A test that needs a call to be in
//! flight holds Voyage's replies back ([`Gateway::holding`]) and reads the records of the simulator and the metrics
//! show ([`eventually`]) before it goes on. A test of a deadline moves the clock ([`pass`]).

mod clock;
mod log;
mod telling;

use std::{future::pending, net::SocketAddr, path::Path, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{oneshot, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tonic::{Response, Status, transport::Channel};
use tonic_types::{ErrorDetails, StatusExt as _};
use voyage_gateway::{
    app::{self, Bound, RunError},
    config::{self, Config, Sources},
    error::Error,
    grpc::v1::{
        CacheMode, CacheStatus, EmbedRequest, EmbedResponse, RequestOptions,
        embedding_service_client::EmbeddingServiceClient, model_service_client::ModelServiceClient,
    },
    grpc::wire::Embedding,
    item::{Input, Parameters},
    model::Dtype,
    secret::Secret,
    simulator::{AcceptedKeys, Options, Shape, Simulator, vector},
    telemetry::{Metrics, trace},
    units::TimeSpan,
    upstream::{self, ApiKey, ApiKeys, KeySources, Reply, Upstream},
};

pub(crate) use clock::{StoppedClock, pass};
pub(crate) use log::Log;

/// The gateway's key for Voyage; no reply to a caller may show it.
pub(crate) const KEY: &str = "pa-a-key-that-no-caller-may-see";

/// Far longer than anything takes: a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The vectors of a request without options.
pub(crate) const USUAL: Shape<'static> =
    Shape { model: "voyage-4", input_type: None, dimension: 1024, dtype: Dtype::Float };

pub(crate) type Client = EmbeddingServiceClient<Channel>;

/// The result of a call.
pub(crate) type Answer = Result<Response<EmbedResponse>, Status>;

/// A running gateway and the simulator it calls. Dropping it shuts both down.
pub(crate) struct Gateway {
    grpc: SocketAddr,
    admin: SocketAddr,
    simulator: Simulator,
    released: watch::Sender<bool>,
    stop: Option<oneshot::Sender<()>>,
    hurry: Option<oneshot::Sender<()>>,
    ended: JoinHandle<Result<(), RunError>>,
}

impl Gateway {
    /// Starts one as it comes.
    pub(crate) async fn start() -> Self {
        Self::with(|_, _| ()).await
    }

    /// Starts one with changes to its configuration and to the simulator.
    pub(crate) async fn with(adjust: impl FnOnce(&mut Config, &mut Options)) -> Self {
        Self::with_keys(KeySources::from(Secret::new(KEY)), adjust).await
    }

    /// Starts one with other keys for Voyage.
    pub(crate) async fn with_keys(
        keys: KeySources,
        adjust: impl FnOnce(&mut Config, &mut Options),
    ) -> Self {
        let (config, simulator) = prepare(adjust).await;
        let bound = app::build(&config, keys, app::Parts::default()).await.expect("a gateway");
        Self::run(bound, simulator, watch::channel(true).0)
    }

    /// Starts one whose configuration is this file, as `serve` does: it notices within a moment that its callers' rules
    /// have changed.
    pub(crate) async fn from_file(path: &Path) -> Self {
        let (_, simulator) = prepare(|_, _| ()).await;
        let set = [
            "server.listen=127.0.0.1:0",
            "admin.listen=127.0.0.1:0",
            "drain.delay=0s",
            "reload.interval=100ms",
            &format!("upstream.base_url={}", simulator.base_url()),
        ];
        let set = set.map(str::to_owned).to_vec();
        let sources = Sources { file: Some(path.to_owned()), set, ..Sources::default() };
        let config = config::load(&sources).expect("a configuration");
        let metrics = Metrics::new().expect("metrics");
        let rules = config::live_rules(&sources, &config, None, &metrics);
        let parts =
            app::Parts { telemetry: Some(metrics.into()), rules: Some(rules), upstream: None };
        let bound = app::build(&config, Secret::new(KEY), parts).await;
        Self::run(bound.expect("a gateway"), simulator, watch::channel(true).0)
    }

    /// Starts one that counts with these metrics.
    pub(crate) async fn measured(
        metrics: Metrics,
        adjust: impl FnOnce(&mut Config, &mut Options),
    ) -> Self {
        let (config, simulator) = prepare(adjust).await;
        let parts = app::Parts { telemetry: Some(metrics.into()), ..app::Parts::default() };
        let bound = app::build(&config, Secret::new(KEY), parts).await;
        Self::run(bound.expect("a gateway"), simulator, watch::channel(true).0)
    }

    /// Starts one that gets every reply of Voyage only after [`Gateway::release`].
    pub(crate) async fn holding(adjust: impl FnOnce(&mut Config, &mut Options)) -> Self {
        Self::telling_and_holding(Metrics::new().expect("metrics").into(), adjust).await
    }

    /// Starts one that calls `upstream`, and its simulator never.
    pub(crate) async fn around(upstream: impl Upstream) -> Self {
        Self::telling_around(Metrics::new().expect("metrics").into(), upstream).await
    }

    fn run(bound: Bound, simulator: Simulator, released: watch::Sender<bool>) -> Self {
        let grpc = bound.grpc_address().expect("an address");
        let admin = bound.admin_address().expect("an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let (hurry, hurried) = oneshot::channel::<()>();
        // Asked to stop, or dropped: both end it. Only being asked hurries it.
        let stopped = stopped.map(|_| ());
        let hurried = async {
            if hurried.await.is_err() {
                pending::<()>().await;
            }
        };
        let ended = tokio::spawn(bound.run_until(stopped, hurried));
        Self { grpc, admin, simulator, released, stop: Some(stop), hurry: Some(hurry), ended }
    }

    /// Connects a client of its own connection, which takes replies of any size.
    pub(crate) async fn client(&self) -> Client {
        EmbeddingServiceClient::new(self.channel().await).max_decoding_message_size(usize::MAX)
    }

    pub(crate) async fn models(&self) -> ModelServiceClient<Channel> {
        ModelServiceClient::new(self.channel().await)
    }

    pub(crate) async fn channel(&self) -> Channel {
        connect(self.grpc).await
    }

    pub(crate) fn simulator(&self) -> &Simulator {
        &self.simulator
    }

    pub(crate) fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Embeds over a new connection.
    pub(crate) async fn embed(&self, request: EmbedRequest) -> Answer {
        self.client().await.embed(request).await
    }

    /// Embeds in the background; aborting the task cancels the call.
    pub(crate) async fn spawn(&self, request: EmbedRequest) -> JoinHandle<Answer> {
        let mut client = self.client().await;
        tokio::spawn(async move { client.embed(request).await })
    }

    /// Lets Voyage's replies through, those to come included.
    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }

    /// Waits until the simulator has seen this many calls.
    pub(crate) async fn until_calls(&self, count: usize) {
        eventually(async || self.simulator.calls().len() == count).await;
    }

    /// Waits until this many requests are in flight. Such a request has read the cache and joined its flights: admission
    /// and both happen in one step.
    pub(crate) async fn until_in_flight(&self, count: u64) {
        eventually(async || {
            let metrics = self.metrics().await;
            sample(&metrics, "voyage_gateway_in_flight_requests", &[]) == count
        })
        .await;
    }

    /// Returns the texts of each call the simulator has seen.
    pub(crate) fn sent(&self) -> Vec<Vec<String>> {
        self.simulator.calls().into_iter().map(|call| call.inputs).collect()
    }

    /// Returns the page of `/metrics`, fetched as a scraper does.
    pub(crate) async fn metrics(&self) -> String {
        let (status, page) = self.page("GET", "/metrics").await;
        assert_eq!(status, 200);
        page
    }

    /// Asks the admin port over HTTP/1.1; returns status and body.
    pub(crate) async fn page(&self, method: &str, path: &str) -> (u16, String) {
        page(self.admin, method, path).await
    }

    /// Stops it, as SIGTERM does.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Stops it at once, as a second SIGTERM does.
    pub(crate) fn hurry(&mut self) {
        let hurry = self.hurry.take().expect("only one hurry");
        hurry.send(()).expect("a gateway that runs");
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(self) {
        let Self { stop, ended, hurry: _hurry, .. } = self;
        drop(stop);
        let ended = timeout(PATIENCE, ended).await.expect("an end").expect("no panic");
        ended.expect("an end that was wanted");
    }
}

/// The pool of the one key.
fn api_keys(metrics: &Metrics) -> ApiKeys {
    KeySources::from(Secret::new(KEY)).load(metrics).expect("a key")
}

/// Starts the simulator and points a configuration at it, unless the test has pointed it elsewhere.
async fn prepare(adjust: impl FnOnce(&mut Config, &mut Options)) -> (Config, Simulator) {
    let mut config = Config::default();
    config.server.listen.set_port(0);
    config.admin.listen.set_port(0);
    config.drain.delay = TimeSpan::from_secs(0);
    let mut options = Options { keys: AcceptedKeys::only([KEY]), ..Options::default() };
    adjust(&mut config, &mut options);
    let simulator = Simulator::start(options).await.expect("a simulator");
    config.upstream.base_url.get_or_insert_with(|| simulator.base_url());
    (config, simulator)
}

/// Connects to a port that speaks gRPC.
pub(crate) async fn connect(address: SocketAddr) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address");
    endpoint.connect().await.expect("a connection")
}

/// Asks a port over HTTP/1.1; returns status and body.
pub(crate) async fn page(address: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.expect("the admin port");
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.expect("a reply");
    let (head, body) = reply.split_once("\r\n\r\n").expect("an HTTP reply");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.expect("a status"), body.to_owned())
}

/// Voyage behind a gate: calls reach it at once, its replies wait.
struct Holding {
    client: upstream::Client,
    released: watch::Receiver<bool>,
}

impl Upstream for Holding {
    fn call<'a>(
        &'a self,
        key: &'a ApiKey,
        parameters: &'a Parameters,
        inputs: &'a [&'a Input],
        span: &'a mut trace::Span,
    ) -> BoxFuture<'a, Result<Reply, Error>> {
        Box::pin(async move {
            let reply = self.client.call(key, parameters, inputs, span).await;
            let mut released = self.released.clone();
            // The gate's other end goes with its gateway, and this call with it.
            let _ = released.wait_for(|released| *released).await;
            reply
        })
    }
}

/// Polls until the condition holds.
pub(crate) async fn eventually(mut condition: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !condition().await {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, looking).await.expect("the condition never held");
}

/// Returns a request for these texts, without options.
pub(crate) fn texts<T: AsRef<str>>(texts: &[T]) -> EmbedRequest {
    EmbedRequest {
        inputs: texts.iter().map(|text| text.as_ref().to_owned()).collect(),
        ..EmbedRequest::default()
    }
}

/// Returns texts that differ in their number.
pub(crate) fn numbered(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("text number {number}")).collect()
}

pub(crate) fn with_options(request: EmbedRequest, options: RequestOptions) -> EmbedRequest {
    EmbedRequest { options: Some(options), ..request }
}

pub(crate) fn in_mode(request: EmbedRequest, mode: CacheMode) -> EmbedRequest {
    with_options(request, RequestOptions { cache_mode: mode as i32, ..RequestOptions::default() })
}

pub(crate) fn partial(request: EmbedRequest) -> EmbedRequest {
    with_options(request, RequestOptions { allow_partial: true, ..RequestOptions::default() })
}

/// Checks that every text has its own vector, in place.
#[track_caller]
pub(crate) fn assert_vectors<T: AsRef<str>>(reply: &EmbedResponse, texts: &[T]) {
    assert_eq!(reply.embeddings.len(), texts.len());
    for (place, (embedding, text)) in reply.embeddings.iter().zip(texts).enumerate() {
        assert_eq!(usize::try_from(embedding.index), Ok(place));
        let expected = vector(text.as_ref(), &USUAL);
        assert!(embedding.values == expected, "vector {place} belongs to another text");
    }
}

pub(crate) fn statuses(reply: &EmbedResponse) -> Vec<CacheStatus> {
    reply.embeddings.iter().map(Embedding::cache_status).collect()
}

/// Returns the machine-readable details of a status.
pub(crate) fn details(status: &Status) -> ErrorDetails {
    status.get_error_details()
}

/// Returns the reason of a status; empty when it has none.
pub(crate) fn reason(status: &Status) -> String {
    details(status).error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

/// Returns a value of a status's `ErrorInfo` metadata.
pub(crate) fn metadata(status: &Status, name: &str) -> Option<String> {
    details(status).error_info()?.metadata.get(name).cloned()
}

/// Returns the fields a status finds fault with.
pub(crate) fn fields(status: &Status) -> Vec<String> {
    let details = details(status);
    let Some(bad_request) = details.bad_request() else { return Vec::new() };
    bad_request.field_violations.iter().map(|violation| violation.field.clone()).collect()
}

/// Adds up a metric's series that have all of these labels.
pub(crate) fn sample(metrics: &str, name: &str, labels: &[(&str, &str)]) -> u64 {
    let has = |line: &str| {
        labels.iter().all(|(name, value)| line.contains(&format!("{name}=\"{value}\"")))
    };
    metrics
        .lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
        .filter(|line| has(line))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}
