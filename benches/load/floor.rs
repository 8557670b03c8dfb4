//! The floor: tonic with the stock prost codec, which does nothing but decode the request and encode a canned
//! reply of `repeated float`, on the same HTTP/2 stack as the gateway and with no layer around it.

use std::{convert::Infallible, sync::Arc, task};

use futures_util::future::BoxFuture;
use http::Request;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tonic::{
    body::Body,
    server::{Grpc, NamedService, UnaryService},
    service::Routes,
};
use tonic_prost::ProstCodec;
use tower::{Service, ServiceExt as _};
use voyage_gateway::grpc::v1::EmbedRequest;

/// `voyage.gateway.v1.Embedding` as prost generates it.
#[derive(Clone, PartialEq, ::prost::Message)]
struct Embedding {
    #[prost(int32, tag = "1")]
    index: i32,
    #[prost(float, repeated, tag = "2")]
    values: Vec<f32>,
}

/// The part of `voyage.gateway.v1.EmbedResponse` that weighs.
#[derive(Clone, PartialEq, ::prost::Message)]
struct Reply {
    #[prost(message, repeated, tag = "1")]
    embeddings: Vec<Embedding>,
    #[prost(string, tag = "2")]
    model: String,
    #[prost(int32, tag = "3")]
    dimension: i32,
}

#[derive(Clone)]
struct Floor(Arc<Embedding>);

impl NamedService for Floor {
    const NAME: &'static str = "voyage.gateway.v1.EmbeddingService";
}

impl UnaryService<EmbedRequest> for Floor {
    type Response = Reply;
    type Future = std::future::Ready<Result<tonic::Response<Reply>, tonic::Status>>;

    fn call(&mut self, request: tonic::Request<EmbedRequest>) -> Self::Future {
        let embeddings = vec![(*self.0).clone(); request.into_inner().inputs.len()];
        let reply = Reply { embeddings, model: "voyage-4".to_owned(), dimension: 1024 };
        std::future::ready(Ok(tonic::Response::new(reply)))
    }
}

impl Service<Request<Body>> for Floor {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), Infallible>> {
        task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::default());
            // As the gateway's: 1,000 texts fit.
            grpc = grpc.max_decoding_message_size(32 * 1024 * 1024);
            Ok(grpc.unary(service, request).await)
        })
    }
}

/// Serves until it is killed; says its address on standard error, as the gateway does.
#[expect(clippy::print_stderr, reason = "the parent reads it")]
pub(super) async fn run() -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?.to_string();
    eprintln!("{}", serde_json::json!({ "port": "grpc", "address": address }));

    let values = vec![0.031_25; 1024];
    let routes = Routes::new(Floor(Arc::new(Embedding { index: 7, values }))).prepare();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let routes = routes.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            routes.clone().oneshot(request.map(Body::new))
        });
        tokio::spawn(async move {
            let builder = http2::Builder::new(TokioExecutor::new());
            // The usual end: the client disconnects.
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
