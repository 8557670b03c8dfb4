//! gRPC health, on both ports, and readiness.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use tokio::sync::watch;
use tonic::{Request, Response, Status, service::Routes};
use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, HealthCheckResponse, health_server},
    server::{HealthReporter, HealthService},
};

use crate::{
    grpc,
    transport::{PortState, reached},
};

/// The process's health; cheap to clone.
#[derive(Clone, Debug)]
pub struct Health {
    reporter: HealthReporter,
    draining: Arc<AtomicBool>,
}

/// The health service of one port.
#[derive(Debug)]
pub struct PortHealth {
    service: HealthService,
    states: watch::Receiver<PortState>,
}

impl Health {
    /// Starts as serving.
    pub async fn new() -> Self {
        let health = Self { reporter: HealthReporter::new(), draining: Arc::default() };
        health.set_all(ServingStatus::Serving).await;
        health.reporter.set_service_status("liveness", ServingStatus::Serving).await;
        health
    }

    /// Sets the status of every service but liveness: a draining process is alive.
    async fn set_all(&self, status: ServingStatus) {
        for service in ["", "readiness"].into_iter().chain(grpc::SERVICES) {
            self.reporter.set_service_status(service, status).await;
        }
    }

    /// Reports that the process takes no new work, for the rest of its life.
    pub async fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.set_all(ServingStatus::NotServing).await;
    }

    /// Returns whether the process takes new work.
    pub fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }

    /// Returns the service for a port that goes through `states`.
    pub fn service(
        &self,
        states: watch::Receiver<PortState>,
    ) -> health_server::HealthServer<PortHealth> {
        let service = HealthService::from_health_reporter(self.reporter.clone());
        health_server::HealthServer::new(PortHealth { service, states })
    }

    /// Returns the admin port's services: health, and reflection so that grpcurl needs no proto file.
    ///
    /// # Errors
    ///
    /// The compiled proto does not decode.
    pub fn routes(
        &self,
        states: watch::Receiver<PortState>,
    ) -> Result<Routes, tonic_reflection::server::Error> {
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        // These services need no credential, and tonic's default limit is 4 MiB a stream.
        let limit = grpc::MAX_QUESTION_BYTES;
        let mut routes = Routes::builder();
        routes
            .add_service(self.service(states).max_decoding_message_size(limit))
            .add_service(reflection().build_v1()?.max_decoding_message_size(limit))
            .add_service(reflection().build_v1alpha()?.max_decoding_message_size(limit));
        Ok(routes.routes().prepare())
    }
}

#[tonic::async_trait]
impl health_server::Health for PortHealth {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.service.check(request).await
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    /// Sends the status and every change, and ends with `DRAINING` when the port drains: a stream without an end would
    /// delay the drain by all of its grace. Standard clients watch again at another replica.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let end = grpc::draining(&request);
        let statuses = self.service.watch(request).await?.into_inner();
        let watching = Some((statuses, self.states.clone(), end));
        let updates = stream::unfold(watching, |watching| async {
            let (mut statuses, mut states, end) = watching?;
            tokio::select! {
                // The last change comes before the end.
                biased;
                Some(next) = statuses.next() => Some((next, Some((statuses, states, end)))),
                () = reached(&mut states, PortState::Draining) => Some((Err(end), None)),
            }
        });
        Ok(Response::new(updates.boxed()))
    }
}
