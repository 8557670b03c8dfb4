//! What every RPC passes first and last, where the message is still opaque.
//!
//! In order: content type and HTTP method, request id, method, deadline, credential, the whole message; then the
//! services, with panics and tonic's own refusals turned into our statuses; then the outcome is counted when the last
//! byte leaves. An RPC has a permit throughout, which counts its bytes.

mod content;
mod message;
mod mistakes;
mod observe;
mod refusals;
mod reply;
mod rpc;
mod trace;

use std::{
    collections::{BTreeSet, HashSet},
    panic::AssertUnwindSafe,
    sync::{Arc, LazyLock},
};

use futures_util::FutureExt as _;
use http::{Extensions, Request, Response};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tonic::{Status, body::Body, service::Routes};
use tower::ServiceExt as _;

use super::{
    Settings,
    auth::Authenticator,
    deadline::{self, Deadline, Deadlines},
    request_id, status, v1,
};
use crate::{
    caller::{Caller, PeerIdentity, Rules},
    error::{Error, Phase},
    pipeline::{Admission, Permit},
    reload::Live,
    telemetry::{Metrics, semconv, trace::Tracer},
};
use observe::Outcome;
use rpc::Rpc;

/// Name of every method that is not one of ours, so that callers cannot make series.
const OTHER_METHOD: &str = semconv::OTHER;

/// Streams of health, reflection and unknown methods at the same time: they need no credential and may last as long as their
/// connection. One `Watch` is usual for a client, and each takes some 10 KB.
const MAX_GUESTS: usize = 16_384;

/// How the names of our own methods begin, all of them unary; others are health's and reflection's, which are answered
/// however full the gateway is.
const OURS: &str = "voyage.";

/// Everything that answers on the gRPC port; cheap to clone.
#[derive(Clone)]
pub struct Edge {
    routes: Routes,
    authenticator: Authenticator,
    rules: Arc<Live<Rules>>,
    deadlines: Deadlines,
    max_request_bytes: usize,
    admission: Admission,
    /// Places of streams that nobody answers for: health, reflection, and what does not exist.
    guests: Arc<Semaphore>,
    metrics: Metrics,
    tracer: Tracer,
}

/// What the edge knows of an RPC; services find it in the request's extensions.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) rpc: Arc<Rpc>,
    pub(super) deadline: Deadline,
    /// Who calls; whoever needs no credential for the method is anonymous.
    pub(super) caller: Caller,
    /// Its place among those in flight.
    pub(super) permit: Permit,
}

impl Call {
    /// Finds the call of a request that came through the edge.
    #[expect(
        clippy::expect_used,
        reason = "the edge is the only way to the services and puts it there"
    )]
    pub(super) fn of(extensions: &Extensions) -> Self {
        extensions.get::<Self>().cloned().expect("a request that came through the edge")
    }

    /// Refuses a caller that may not call this RPC.
    pub(super) fn check_rpc(&self) -> Result<(), Error> {
        self.caller.check_rpc(short(self.rpc.method))
    }

    /// Turns an error into the RPC's status and logs it, once.
    pub(super) fn refuse(&self, error: &Error) -> Status {
        self.rpc.refuse(error)
    }
}

/// Builds what a request's stream ends with when it would hold up the drain. The admin port's requests did not come
/// through the edge, so they are asked for their ids here.
pub fn draining<T>(request: &tonic::Request<T>) -> Status {
    let request_id = match request.extensions().get::<Call>() {
        Some(call) => call.rpc.request_id.clone(),
        None => request_id::of(request.metadata().as_ref()),
    };
    status::status(&Error::Draining, request_id.to_str().unwrap_or_default())
}

impl Edge {
    pub(super) fn new(
        routes: Routes,
        settings: &Settings,
        admission: Admission,
        metrics: Metrics,
    ) -> Self {
        Self {
            routes,
            authenticator: settings.authenticator.clone(),
            rules: Arc::clone(&settings.rules),
            deadlines: settings.deadlines,
            max_request_bytes: settings.max_request_bytes,
            admission,
            guests: Arc::new(Semaphore::new(MAX_GUESTS)),
            metrics,
            tracer: settings.tracer.clone(),
        }
    }

    /// Answers one RPC.
    pub async fn serve(self, mut request: Request<Body>) -> Response<Body> {
        if let Some(refusal) = content::refusal(&request) {
            mistakes::not_grpc(&request, refusal.status());
            return refusal;
        }
        let method = method_name(request.uri().path());
        let span = trace::begin(&self.tracer, &request, method);
        let rpc = Rpc::new(request.headers(), method, span.context().clone(), &self.metrics);
        let mut outcome = Outcome::new(self.metrics.clone(), Arc::clone(&rpc), span);
        if !method.starts_with(OURS) && !outcome.has_place(&self.guests) {
            let full = Error::Overloaded { what: "streams of health and reflection" };
            let mut response = rpc.refuse(&full).into_http();
            response.headers_mut().insert(request_id::HEADER, rpc.request_id.clone());
            return observe::observed(response, outcome, None, None);
        }

        if method == OTHER_METHOD {
            mistakes::no_such_method(&request, &rpc);
        }
        let (mut expires, mut permit) = (None, None);
        let mut response = match deadline::of(request.headers(), self.deadlines) {
            // An unknown method is answered as such, whatever else is wrong with the request.
            Err(error) if method != OTHER_METHOD => rpc.refuse(&error).into_http(),
            Err(_) => self.answer(request).await,
            Ok(deadline) => match self.identify(&request, method) {
                Err(error) => rpc.refuse(&error).into_http(),
                Ok(caller) => {
                    rpc.has_until(&deadline);
                    rpc.called_by(&caller);
                    if !deadline.explicit && method.starts_with(OURS) {
                        mistakes::no_deadline(&request, &rpc, self.deadlines.unasked());
                    }
                    let admitted = self.admission.permit();
                    // A stream may go on for ever, a single answer may not.
                    let ends = deadline.explicit || method.starts_with(OURS);
                    (expires, permit) = (ends.then_some(deadline.at), Some(admitted.clone()));
                    let call = Call { rpc: Arc::clone(&rpc), deadline, caller, permit: admitted };
                    request.extensions_mut().insert(call.clone());
                    self.answer_in_time(request, &call).await
                }
            },
        };
        response.headers_mut().insert(request_id::HEADER, rpc.request_id.clone());
        observe::observed(response, outcome, expires, permit)
    }

    /// Finds out who calls. Health and reflection need no credential: probes and tools have none.
    fn identify(&self, request: &Request<Body>, method: &str) -> Result<Caller, Error> {
        if !method.starts_with(OURS) {
            return Ok(Caller::anonymous());
        }
        let peer = request.extensions().get::<PeerIdentity>();
        let name = self.authenticator.identify(request.headers(), peer)?;
        Ok(self.rules.get().caller(&name))
    }

    async fn answer_in_time(&self, request: Request<Body>, call: &Call) -> Response<Body> {
        // Services answer by themselves when their time is up; this catches a message that never ends.
        let Deadline { at, answer_by, .. } = call.deadline;
        let late = || call.refuse(&Error::DeadlineExceeded { phase: Phase::Request }).into_http();
        // Timers look every millisecond only: without this a caller without time would still cost money.
        if at <= Instant::now() {
            return late();
        }
        let cut = answer_by + (at - answer_by) / 2;
        let answer = AssertUnwindSafe(self.receive_and_answer(request, call)).catch_unwind();
        match timeout_at(cut, answer).await {
            Err(_) => late(),
            Ok(Ok(response)) => refusals::explained(response, self.max_request_bytes as u64, call),
            Ok(Err(_panic)) => {
                self.metrics.panic();
                call.rpc.panicked();
                call.refuse(&Error::Internal { cause: "a service panicked" }).into_http()
            }
        }
    }

    async fn receive_and_answer(&self, request: Request<Body>, call: &Call) -> Response<Body> {
        if !call.rpc.method.starts_with(OURS) {
            return self.answer(request).await;
        }
        let (head, body) = request.into_parts();
        match message::receive(body, self.max_request_bytes, &call.permit).await {
            Ok(message) => self.answer(Request::from_parts(head, message)).await,
            Err(error) => call.refuse(&error).into_http(),
        }
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        match self.routes.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edge").field("deadlines", &self.deadlines).finish_non_exhaustive()
    }
}

/// Returns `package.Service/Method` for the methods served here, and one name for all others.
fn method_name(path: &str) -> &'static str {
    static METHODS: LazyLock<HashSet<String>> = LazyLock::new(served_methods);
    path.strip_prefix('/')
        .and_then(|method| METHODS.get(method))
        .map_or(OTHER_METHOD, String::as_str)
}

/// Returns the short names of the gateway's own RPCs, such as `Embed`: those that a rule can name.
pub fn rpc_names() -> BTreeSet<String> {
    let ours = served_methods().into_iter().filter(|method| method.starts_with(OURS));
    ours.map(|method| short(&method).to_owned()).collect()
}

/// Returns a method's name without its service.
fn short(method: &str) -> &str {
    method.rsplit('/').next().unwrap_or(method)
}

fn served_methods() -> HashSet<String> {
    let descriptors = [
        v1::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let mut methods = HashSet::new();
    // All four are compiled in and read by reflection as well: a broken one fails the start.
    for file in descriptors
        .iter()
        .filter_map(|bytes| FileDescriptorSet::decode(*bytes).ok())
        .flat_map(|set| set.file)
    {
        for service in &file.service {
            for method in &service.method {
                let (service, method) = (service.name(), method.name());
                methods.insert(format!("{}.{service}/{method}", file.package()));
            }
        }
    }
    methods
}

#[cfg(test)]
mod tests;
