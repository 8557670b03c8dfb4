//! Timeouts at the edge on a paused clock: streams in memory, served by the real loop.

mod accepting;
mod age;
mod handshake;

use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tokio::{
    io::{DuplexStream, duplex},
    sync::{Mutex, mpsc, watch},
    task::{JoinHandle, yield_now},
    time::{Instant, sleep, timeout},
};
use tonic::body::Body;
use voyage_gateway::{
    telemetry::{ConnectionFailure, Metrics, PortName},
    transport::{self, Listener, Port, PortState, Protocol, Timing},
};

use super::frames::Peer;
use crate::support::sample;

/// A path that is answered only when the test says so.
const SLOW: &str = "/slow";
/// A path with an answer larger than the buffer of a stream in memory.
const LARGE: &str = "/large";

const HANDSHAKE: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(30 + 10);
const AGE: Duration = Duration::from_mins(10);
const AGE_GRACE: Duration = Duration::from_secs(30);

/// Where the test puts connections, and failures to have one.
struct Queue {
    accepted: Mutex<mpsc::UnboundedReceiver<io::Result<DuplexStream>>>,
    asked: Arc<AtomicU32>,
    closed: Arc<AtomicBool>,
}

impl Listener for Queue {
    type Stream = DuplexStream;

    async fn accept(&self) -> io::Result<(DuplexStream, SocketAddr)> {
        let mut accepted = self.accepted.lock().await;
        let accepted = accepted.recv().await.expect("a test that goes on");
        self.asked.fetch_add(1, Ordering::Relaxed);
        accepted.map(|stream| (stream, SocketAddr::from(([127, 0, 0, 1], 1))))
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

/// A port that is served.
struct Edge {
    connect: mpsc::UnboundedSender<io::Result<DuplexStream>>,
    /// How often the loop was given a connection, or none.
    asked: Arc<AtomicU32>,
    /// Whether the listener is gone.
    closed: Arc<AtomicBool>,
    states: watch::Sender<PortState>,
    released: watch::Sender<bool>,
    metrics: Metrics,
    ended: JoinHandle<()>,
}

impl Edge {
    fn serve(protocol: Protocol) -> Self {
        Self::with(protocol, |_| ())
    }

    fn with(protocol: Protocol, adjust: impl FnOnce(&mut Port)) -> Self {
        let metrics = Metrics::new().unwrap();
        let mut port = Port {
            name: PortName::Grpc,
            protocol,
            tls: None,
            max_connections: 100,
            timing: Timing::with_age(AGE, AGE_GRACE),
            metrics: metrics.clone(),
        };
        adjust(&mut port);
        let (connect, accepted) = mpsc::unbounded_channel();
        let (asked, closed) = (Arc::default(), Arc::default());
        let queue = Queue {
            accepted: Mutex::new(accepted),
            asked: Arc::clone(&asked),
            closed: Arc::clone(&closed),
        };
        let states = watch::Sender::new(PortState::Serving);
        let (released, release) = watch::channel(false);
        let answer = move |request| answer(request, release.clone());
        let ended = tokio::spawn(transport::serve(queue, port, answer, states.subscribe()));
        Self { connect, asked, closed, states, released, metrics, ended }
    }

    /// Connects over a stream that holds `capacity` bytes each way.
    fn connect(&self, capacity: usize) -> DuplexStream {
        let (peer, accepted) = duplex(capacity);
        self.connect.send(Ok(accepted)).unwrap();
        peer
    }

    async fn polite(&self) -> Peer<DuplexStream> {
        Peer::polite(self.connect(1 << 16)).await.patient(AGE * 2)
    }

    async fn mute(&self) -> Peer<DuplexStream> {
        Peer::mute(self.connect(1 << 16)).await.patient(AGE * 2)
    }

    fn failures(&self, failure: ConnectionFailure) -> u64 {
        let labels = [("port", "grpc"), ("reason", failure.as_str())];
        let metrics = self.metrics.render().unwrap();
        sample(&metrics, "voyage_gateway_connection_failures_total", &labels)
    }

    /// Failures of every kind.
    fn all_failures(&self) -> u64 {
        let metrics = self.metrics.render().unwrap();
        sample(&metrics, "voyage_gateway_connection_failures_total", &[])
    }

    fn open(&self) -> u64 {
        let metrics = self.metrics.render().unwrap();
        sample(&metrics, "voyage_gateway_connections", &[("port", "grpc")])
    }

    /// Waits until a connection is accepted.
    async fn until_open(&self) {
        while self.open() == 0 {
            yield_now().await;
        }
    }

    /// Waits until no connection is open; returns how long that took.
    async fn until_empty(&self) -> Duration {
        let started = Instant::now();
        while self.open() > 0 {
            sleep(Duration::from_millis(100)).await;
        }
        started.elapsed()
    }
}

async fn answer(request: Request<Body>, mut release: watch::Receiver<bool>) -> Response<Body> {
    let size = match request.uri().path() {
        SLOW => {
            let _ = release.wait_for(|released| *released).await;
            1
        }
        LARGE => 1 << 20,
        _ => 1,
    };
    let _ = request.into_body().collect().await;
    Response::new(Body::new(Full::new(Bytes::from(vec![0; size]))))
}

/// Runs something that should take exactly this long.
async fn takes<T>(expected: Duration, work: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let done = timeout(Duration::from_hours(48), pin!(work)).await.expect("an end");
    let took = started.elapsed();
    // The clock goes in whole milliseconds, and a step may end a little after its time.
    let slack = Duration::from_millis(10);
    assert!(took.abs_diff(expected) <= slack, "{took:?}, not {expected:?}");
    done
}
