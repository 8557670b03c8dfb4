//! A gateway at work, until it is told to stop; and how it stops.

use std::{future::Future, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{interval, sleep},
};

use super::Bound;
use crate::{
    admin::{Admin, StatusPage},
    cache::Cache,
    grpc::wall_clock,
    transport::{self, PortState},
};

/// How often the cache does its housekeeping, so that gauges are honest.
const MAINTENANCE: Duration = Duration::from_secs(1);

/// How long the admin port's peers may read on after the gRPC port is closed.
const ADMIN_GRACE: Duration = Duration::from_secs(1);

/// Why a gateway stopped although nobody told it to.
#[derive(Debug, thiserror::Error)]
#[error("the {0} ended by itself")]
pub struct RunError(&'static str);

impl Bound {
    /// Serves until `shutdown`, then drains: not ready, still serving for `drain.delay`, then what is in flight
    /// gets `drain.grace`. `hurry` ends both spans at once. The admin port answers to the end.
    ///
    /// When the callers' connections are gone nothing is waited for: upstream calls that are still out would only
    /// fill a cache that ends as well.
    ///
    /// # Errors
    ///
    /// A server ended by itself, which only a defect does. The rest is drained all the same.
    pub async fn run_until(
        self,
        shutdown: impl Future<Output = ()>,
        hurry: impl Future<Output = ()>,
    ) -> Result<(), RunError> {
        let Self {
            grpc,
            admin,
            edge,
            cache,
            dispatch,
            metrics,
            health,
            admin_health,
            drain,
            followed,
        } = self;
        let status = StatusPage::new(metrics, health.clone(), wall_clock);
        let pages = Admin { status: status.clone(), health: admin_health };
        let mut admin_server = Server::start("admin port", admin.states.clone(), {
            let port_states = admin.states.subscribe();
            let answer = move |request| pages.clone().answer(request);
            transport::serve(admin.listener, admin.port, answer, port_states)
        });
        let mut grpc_server = Server::start("gRPC port", grpc.states.clone(), {
            let port_states = grpc.states.subscribe();
            let answer = move |request| edge.clone().serve(request);
            transport::serve(grpc.listener, grpc.port, answer, port_states)
        });
        let mut maintenance = Task::start("cache's maintenance", maintain(cache));
        let mut polling = Task::start("look at files", followed.follow());
        let mut sampling = Task::start("status page's samples", status.keep_samples());

        let lost = tokio::select! {
            biased;
            () = shutdown => None,
            name = grpc_server.task.ended() => Some(name),
            name = admin_server.task.ended() => Some(name),
            name = maintenance.ended() => Some(name),
            name = polling.ended() => Some(name),
            name = sampling.ended() => Some(name),
            () = dispatch.ended() => Some("dispatch"),
        };
        match lost {
            None => tracing::info!("draining"),
            Some(name) => tracing::error!(task = name, "ended by itself: draining"),
        }
        let hurry = hurry.shared();
        health.drain().await;
        for_at_most(drain.delay.get(), hurry.clone()).await;
        grpc_server.stop(for_at_most(drain.grace.get(), hurry.clone())).await;
        admin_server.stop(for_at_most(ADMIN_GRACE, hurry)).await;
        maintenance.handle.abort();
        polling.handle.abort();
        sampling.handle.abort();
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

/// A port's server.
struct Server {
    task: Task,
    states: watch::Sender<PortState>,
}

impl Server {
    fn start(
        name: &'static str,
        states: watch::Sender<PortState>,
        serving: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self { task: Task::start(name, serving), states }
    }

    /// Refuses what is new, lets the rest finish until `enough`, and cuts it then.
    async fn stop(mut self, enough: impl Future<Output = ()>) {
        self.states.send_replace(PortState::Draining);
        tokio::select! {
            biased;
            _ = self.task.ended() => return,
            () = enough => {}
        }
        self.states.send_replace(PortState::Cut);
        self.task.ended().await;
    }
}

/// A task that ought not to end before it is told to.
struct Task {
    name: &'static str,
    handle: JoinHandle<()>,
    ended: bool,
}

impl Task {
    fn start(name: &'static str, work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { name, handle: tokio::spawn(work), ended: false }
    }

    /// Waits for the task's end, however it comes, and returns its name. May be asked again.
    async fn ended(&mut self) -> &'static str {
        if !self.ended {
            let panicked = (&mut self.handle).await.is_err();
            self.ended = true;
            if panicked {
                tracing::error!(task = self.name, "a server task panicked");
            }
        }
        self.name
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
