//! A collector, and how one export gets to it: repeats, a deadline, and an end.

mod grpc;
mod http_protobuf;
mod tls;

use std::time::Duration;

use opentelemetry_proto::tonic::collector::{
    metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest,
};
use tokio::{
    runtime::Handle,
    sync::watch,
    time::{Instant, sleep, timeout},
};

pub(super) use tls::Tls;

use super::{plan::Target, stage::Stage};
use crate::telemetry::OtlpProtocol;

/// How often one export is tried.
const ATTEMPTS: u32 = 5;

/// What lies between the first try and the second; it doubles from there.
const BACKOFF: Duration = Duration::from_millis(250);

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Who is sending, as a collector's access log has it.
const USER_AGENT: &str =
    concat!("voyage-gateway/", env!("CARGO_PKG_VERSION"), " OTel-OTLP-Exporter-Rust");

/// What is sent.
#[derive(Clone, Debug)]
pub(super) enum Request {
    Spans(ExportTraceServiceRequest),
    Points(ExportMetricsServiceRequest),
}

/// Why an export failed, without credentials.
#[derive(Debug)]
pub(super) struct Failed {
    why: String,
    /// Whether it may go through when it is tried again, and when at the earliest.
    again: Option<Duration>,
}

/// A collector; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Collector {
    wire: Wire,
    timeout: Duration,
    runtime: Handle,
    stage: watch::Receiver<Stage>,
}

#[derive(Clone, Debug)]
enum Wire {
    Grpc(grpc::Client),
    Http(http_protobuf::Client),
}

impl Collector {
    /// Gets ready to speak with a collector on a runtime of the exporters' own; connects to nothing yet. Says what cannot be used.
    pub(super) fn new(
        target: &Target,
        runtime: Handle,
        stage: watch::Receiver<Stage>,
    ) -> Result<Self, String> {
        let _inside = runtime.enter();
        let wire = match target.protocol {
            OtlpProtocol::Grpc => Wire::Grpc(grpc::Client::new(target)?),
            OtlpProtocol::HttpProtobuf => Wire::Http(http_protobuf::Client::new(target)?),
        };
        Ok(Self { wire, timeout: target.timeout, runtime, stage })
    }

    /// Tells whether the process has let go of what was not sent.
    pub(super) fn is_cut(&self) -> bool {
        *self.stage.borrow() == Stage::Cut
    }

    /// Sends, at most as long as the target's timeout, and returns how many of the spans or points were rejected, or
    /// why all failed. It may be awaited on any thread: the work is done on the exporters' runtime.
    pub(super) async fn send(&self, request: Request) -> Result<u64, String> {
        let this = self.clone();
        let sent = self.runtime.spawn(async move {
            let mut stage = this.stage.clone();
            tokio::select! {
                biased;
                sent = timeout(this.timeout, this.repeat(request)) => {
                    sent.unwrap_or_else(|_| Err("no answer within the timeout".to_owned()))
                }
                // The sender is lost with whoever would have waited.
                _ = stage.wait_for(|stage| *stage == Stage::Cut) => {
                    Err("the process ends".to_owned())
                }
            }
        });
        sent.await.unwrap_or_else(|_| Err("the exporter has ended".to_owned()))
    }

    async fn repeat(&self, request: Request) -> Result<u64, String> {
        let mut backoff = BACKOFF;
        let deadline = Instant::now() + self.timeout;
        for _ in 1..ATTEMPTS {
            match self.attempt(request.clone()).await {
                Ok(rejected) => return Ok(rejected),
                Err(Failed { why, again: None }) => return Err(why),
                Err(Failed { why, again: Some(earliest) }) => {
                    // Half of it by chance, so that a fleet does not come back as one.
                    let pause = earliest.max(backoff.mul_f64(rand::random_range(0.5..1.0)));
                    // A repeat that cannot be in time would only hide why it was needed.
                    let in_time = pause < deadline.saturating_duration_since(Instant::now());
                    if !in_time || !self.pause(pause).await {
                        return Err(why);
                    }
                }
            }
            backoff *= 2;
        }
        self.attempt(request).await.map_err(|failed| failed.why)
    }

    async fn attempt(&self, request: Request) -> Result<u64, Failed> {
        match &self.wire {
            Wire::Grpc(client) => client.send(request).await,
            Wire::Http(client) => client.send(request).await,
        }
    }

    /// Waits, or returns false at once when the process is about to end: then nothing is repeated.
    async fn pause(&self, pause: Duration) -> bool {
        let mut stage = self.stage.clone();
        tokio::select! {
            biased;
            _ = stage.wait_for(|stage| *stage != Stage::Running) => false,
            () = sleep(pause) => true,
        }
    }
}

/// Counts what a collector says it did not take.
fn rejected(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}
