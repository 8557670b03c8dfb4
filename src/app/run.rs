//! Serves until shutdown, and drains.

use std::{future::Future, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use http::{Request, Response};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{interval, sleep},
};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

use super::{Bound, BoundPort};
use crate::{
    admin::{Admin, StatusPage},
    cache::Cache,
    grpc::wall_clock,
    transport::{self, PortState},
};

/// The interval of the cache's maintenance, which keeps its gauges exact.
const MAINTENANCE: Duration = Duration::from_secs(1);

/// The grace of calls on the admin port after the gRPC port is closed.
const ADMIN_GRACE: Duration = Duration::from_secs(1);

/// A task of the gateway ended before shutdown.
#[derive(Debug, thiserror::Error)]
#[error("the {0} ended unexpectedly")]
pub struct RunError(&'static str);

impl Bound {
    /// Serves until `shutdown`, then drains: it reports not ready and serves on for `drain.delay`; then calls in flight
    /// have `drain.grace`. `hurry` ends both. The admin port serves until the end. Upstream calls without callers are
    /// not awaited.
    ///
    /// # Errors
    ///
    /// A server ended unexpectedly, which is a defect. The rest was drained.
    pub async fn run_until(
        self,
        shutdown: impl Future<Output = ()>,
        hurry: impl Future<Output = ()>,
    ) -> Result<(), RunError> {
        let Self { edge, dispatch, health, drain, .. } = self;
        let status = StatusPage::new(self.metrics, health.clone(), wall_clock);
        let pages = Admin { status: status.clone(), health: self.admin_health };
        let admin =
            Server::start("admin port", self.admin, move |request| pages.clone().answer(request));
        let grpc =
            Server::start("gRPC port", self.grpc, move |request| edge.clone().serve(request));
        let maintenance = Task::start("cache maintenance", maintain(self.cache));
        let reloads = Task::start("reload", self.reload.follow(self.files, self.reload_interval));
        let sampling = Task::start("status sampling", status.keep_samples());

        let lost = tokio::select! {
            biased;
            () = shutdown => None,
            name = grpc.task.ended() => Some(name),
            name = admin.task.ended() => Some(name),
            name = maintenance.ended() => Some(name),
            name = reloads.ended() => Some(name),
            name = sampling.ended() => Some(name),
            () = dispatch.ended() => Some("dispatch"),
        };
        match lost {
            None => tracing::info!("draining"),
            Some(name) => tracing::error!(task = name, "task ended unexpectedly: draining"),
        }
        let hurry = hurry.shared();
        health.drain().await;
        for_at_most(drain.delay.get(), hurry.clone()).await;
        grpc.stop(for_at_most(drain.grace.get(), hurry.clone())).await;
        admin.stop(for_at_most(ADMIN_GRACE, hurry)).await;
        tracing::info!("stopped");
        lost.map_or(Ok(()), |name| Err(RunError(name)))
    }
}

async fn for_at_most(span: Duration, hurry: impl Future<Output = ()>) {
    tokio::select! {
        () = sleep(span) => {}
        () = hurry => {}
    }
}

/// The server of a port.
struct Server {
    task: Task,
    states: watch::Sender<PortState>,
}

impl Server {
    fn start<F>(
        name: &'static str,
        port: BoundPort,
        answer: impl Fn(Request<Body>) -> F + Clone + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let BoundPort { listener, port, states } = port;
        let serving = transport::serve(listener, port, answer, states.subscribe());
        Self { task: Task::start(name, serving), states }
    }

    /// Refuses new calls, and cuts those in flight when `grace` ends.
    async fn stop(self, grace: impl Future<Output = ()>) {
        self.states.send_replace(PortState::Draining);
        tokio::select! {
            _ = self.task.ended() => {}
            () = grace => {}
        }
        self.states.send_replace(PortState::Cut);
        self.task.ended().await;
    }
}

/// A task that should run until shutdown. Dropping this aborts it.
struct Task {
    name: &'static str,
    ended: CancellationToken,
    handle: JoinHandle<()>,
}

impl Task {
    fn start(name: &'static str, work: impl Future<Output = ()> + Send + 'static) -> Self {
        let ended = CancellationToken::new();
        // Dropped by a panic as well.
        let guard = ended.clone().drop_guard();
        let handle = tokio::spawn(async move {
            let _guard = guard;
            work.await;
        });
        Self { name, ended, handle }
    }

    /// Waits for the end of the task, or its panic, and returns its name.
    async fn ended(&self) -> &'static str {
        self.ended.cancelled().await;
        self.name
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

async fn maintain(cache: Arc<Cache>) {
    let mut ticks = interval(MAINTENANCE);
    loop {
        ticks.tick().await;
        cache.maintain();
    }
}

#[cfg(test)]
mod tests;
