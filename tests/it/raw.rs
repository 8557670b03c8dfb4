//! gRPC by hand over HTTP/2, for requests that no gRPC client sends, and for deadlines.
//!
//! tonic's client gives up by its own clock, at the moment the gateway answers; here the gateway alone decides.

use std::net::SocketAddr;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, HeaderName, Method, Request, StatusCode};
use prost::Message as _;
use tokio::net::TcpStream;
use tonic::{Code, Status};
use voyage_gateway::grpc::v1::{EmbedRequest, EmbedResponse};

pub(crate) const EMBED: &str = "/voyage.gateway.v1.EmbeddingService/Embed";

/// One connection, which ends with its gateway. Clones share it.
#[derive(Clone)]
pub(crate) struct Connection(SendRequest<Bytes>);

/// A whole reply.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Bytes,
    /// The trailers, or the headers of a reply that has nothing else.
    trailers: HeaderMap,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        let (sender, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        tokio::spawn(connection);
        Self(sender)
    }

    /// Sends one request with exactly these headers and this body.
    pub(crate) async fn send(self, path: &str, headers: &[(&str, &str)], body: Bytes) -> Reply {
        self.request(Method::POST, path, headers, body).await
    }

    /// Sends a request of any method.
    pub(crate) async fn request(
        self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Reply {
        let uri = format!("http://localhost{path}");
        let mut request = Request::builder().method(method).uri(uri).body(()).expect("a request");
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a name");
            request.headers_mut().insert(name, value.parse().expect("a value"));
        }
        let mut sender = self.0.ready().await.expect("a free stream");
        let (reply, mut stream) = sender.send_request(request, false).expect("a stream");
        // Some are refused before their message has come, and then it need not.
        let _ = stream.send_data(body, true);
        let (head, mut body) = reply.await.expect("a reply").into_parts();
        let mut whole = BytesMut::new();
        while let Some(data) = body.data().await {
            let data = data.expect("data");
            body.flow_control().release_capacity(data.len()).expect("a window");
            whole.put(data);
        }
        let trailers = body.trailers().await.expect("an end").unwrap_or(head.headers.clone());
        Reply { status: head.status, headers: head.headers, body: whole.freeze(), trailers }
    }

    /// Embeds, with these headers beside the necessary ones.
    pub(crate) async fn embed(
        self,
        headers: &[(&str, &str)],
        request: &EmbedRequest,
    ) -> Result<EmbedResponse, Status> {
        self.call(headers, framed(&request.encode_to_vec())).await
    }

    /// Sends `body` as a request to embed.
    pub(crate) async fn call(
        self,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<EmbedResponse, Status> {
        let mut all = vec![("content-type", "application/grpc"), ("te", "trailers")];
        all.extend(headers);
        let mut reply = self.send(EMBED, &all, body).await;
        assert_eq!(reply.status, StatusCode::OK);
        assert!(reply.headers.contains_key("x-request-id"));
        let status = reply.grpc_status();
        if status.code() != Code::Ok {
            return Err(status);
        }
        reply.body.advance(5);
        Ok(EmbedResponse::decode(reply.body).expect("a response"))
    }
}

impl Reply {
    pub(crate) fn body(&self) -> &Bytes {
        &self.body
    }

    pub(crate) fn grpc_status(&self) -> Status {
        Status::from_header_map(&self.trailers).expect("a gRPC status")
    }
}

/// Puts gRPC's five bytes before a message.
pub(crate) fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).expect("a message"));
    frame.put_slice(message);
    frame.freeze()
}
