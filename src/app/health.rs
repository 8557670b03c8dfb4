//! gRPC health, on both ports.

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
    transport::{Stage, reached},
};

/// What is told about the process's health.
#[derive(Clone, Debug)]
pub(super) struct Health {
    reporter: HealthReporter,
}

/// Health on one port.
#[derive(Debug)]
pub(super) struct PortHealth {
    service: HealthService,
    stages: watch::Receiver<Stage>,
}

impl Health {
    pub(super) async fn new() -> Self {
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

    /// Says that the process takes no new work, from now on for good.
    pub(super) async fn drain(&self) {
        self.set_all(ServingStatus::NotServing).await;
    }

    /// Returns the service for a port that goes through `stages`.
    pub(super) fn service(
        &self,
        stages: watch::Receiver<Stage>,
    ) -> health_server::HealthServer<PortHealth> {
        let service = HealthService::from_health_reporter(self.reporter.clone());
        health_server::HealthServer::new(PortHealth { service, stages })
    }

    /// Health for the admin port, with its own reflection so that grpcurl needs no proto file there either.
    pub(super) fn routes(
        &self,
        stages: watch::Receiver<Stage>,
    ) -> Result<Routes, tonic_reflection::server::Error> {
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        // Nobody is asked who they are here either: tonic would gather 4 MiB a stream.
        let limit = grpc::MAX_QUESTION_BYTES;
        let mut routes = Routes::builder();
        routes
            .add_service(self.service(stages).max_decoding_message_size(limit))
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

    /// Tells the status and every change, and ends with `DRAINING` when the port drains: a stream without an end
    /// would hold up the drain for all of its grace. Stock clients watch on at another replica.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let end = grpc::draining(&request);
        let statuses = self.service.watch(request).await?.into_inner();
        let watching = Some((statuses, self.stages.clone(), end));
        let told = stream::unfold(watching, |watching| async {
            let (mut statuses, mut stages, end) = watching?;
            tokio::select! {
                // The last change is told before the end.
                biased;
                Some(status) = statuses.next() => Some((status, Some((statuses, stages, end)))),
                () = reached(&mut stages, Stage::Draining) => Some((Err(end), None)),
            }
        });
        Ok(Response::new(told.boxed()))
    }
}
