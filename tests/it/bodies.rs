//! Bounds of a peer's memory: messages that do not end, replies that are not read.

mod overload;
mod replies;
mod uploads;

use std::net::SocketAddr;

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::{
    RecvStream, SendStream,
    client::{Builder, ResponseFuture, SendRequest},
};
use http::{HeaderMap, Request};
use prost::Message as _;
use tokio::{net::TcpStream, time::timeout};
use tonic::Status;
use voyage_gateway::grpc::v1::{EmbedRequest, EmbedResponse};

use crate::{
    raw::EMBED,
    support::{Gateway, PATIENCE, reason, sample},
};

const IN_FLIGHT: &str = "voyage_gateway_in_flight_requests";
const IN_FLIGHT_BYTES: &str = "voyage_gateway_in_flight_size_bytes";
const SHED: &str = "voyage_gateway_shed_total";

impl Gateway {
    async fn counts(&self, name: &str) -> u64 {
        sample(&self.metrics().await, name, &[])
    }
}

/// A connection with a peer that controls the bytes it reads and sends.
struct Peer(SendRequest<Bytes>);

impl Peer {
    /// Opens a connection on which each stream takes `window` bytes unless it is read.
    async fn open(address: SocketAddr, window: u32) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut builder = Builder::new();
        builder.initial_window_size(window).initial_connection_window_size(1 << 30);
        let (sender, connection) = builder.handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    /// Begins a call of `Embed`, with nothing of its message.
    async fn begin(&self, headers: &[(&'static str, &str)]) -> Call {
        let mut request = Request::post(format!("http://localhost{EMBED}"))
            .header("content-type", "application/grpc")
            .body(())
            .unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let mut sender = self.0.clone().ready().await.unwrap();
        let (head, message) = sender.send_request(request, false).unwrap();
        Call { head, message }
    }

    /// Calls `Embed` and returns when the reply begins.
    async fn embed(&self, headers: &[(&'static str, &str)], request: &EmbedRequest) -> Begun {
        let mut call = self.begin(headers).await;
        call.say(crate::raw::framed(&request.encode_to_vec()), true);
        call.begun().await
    }
}

/// A call whose message is being sent.
struct Call {
    head: ResponseFuture,
    message: SendStream<Bytes>,
}

impl Call {
    fn say(&mut self, bytes: Bytes, end: bool) {
        self.message.send_data(bytes, end).unwrap();
    }

    /// Waits for the beginning of the reply.
    async fn begun(self) -> Begun {
        let (head, body) = self.head.await.unwrap().into_parts();
        assert_eq!(head.status, 200);
        Begun { head: head.headers, body, _message: self.message }
    }
}

/// A reply that has begun.
struct Begun {
    head: HeaderMap,
    body: RecvStream,
    /// Dropped, it would reset the stream.
    _message: SendStream<Bytes>,
}

impl Begun {
    /// Returns the status of a reply that is nothing else.
    fn refusal(&self) -> Option<Status> {
        Status::from_header_map(&self.head)
    }

    #[track_caller]
    fn reason(&self) -> String {
        reason(&self.refusal().expect("a refusal"))
    }

    /// Reads the reply to its end.
    async fn read(mut self) -> Result<EmbedResponse, h2::Error> {
        let mut whole = BytesMut::new();
        while let Some(data) = self.body.data().await {
            let data = data?;
            self.body.flow_control().release_capacity(data.len())?;
            whole.put(data);
        }
        let trailers = self.body.trailers().await?.expect("trailers");
        assert_eq!(trailers["grpc-status"], "0");
        Ok(EmbedResponse::decode(&whole[5..]).unwrap())
    }

    /// Reads `bytes` bytes and no more, without room for others.
    async fn read_some(&mut self, bytes: usize) {
        let mut got = 0;
        while got < bytes {
            let data = self.body.data().await.expect("data").expect("a stream");
            got += data.len();
            self.body.flow_control().release_capacity(data.len()).unwrap();
        }
    }

    /// Waits for the end of a stream that the gateway gives up, taking nothing more.
    async fn reset(mut self) -> h2::Reason {
        let ended = async {
            loop {
                match self.body.data().await {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return error.reason().expect("a reset"),
                    None => panic!("the stream ended as it should"),
                }
            }
        };
        timeout(PATIENCE, ended).await.expect("a reset")
    }
}
