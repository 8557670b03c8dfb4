//! A gRPC client that does no more than it must: raw HTTP/2, and replies are counted, not decoded.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use http::Request;
use prost::Message as _;
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};
use voyage_gateway::grpc::v1::{EmbedRequest, EmbedResponse, RequestOptions};

/// Larger than any reply: the client never holds the server up.
const WINDOW: u32 = 64 * 1024 * 1024;

/// Connections to one server.
#[derive(Clone)]
pub(super) struct Client {
    connections: Vec<SendRequest<Bytes>>,
    template: Request<()>,
    next: Arc<AtomicUsize>,
}

/// A response.
#[derive(Debug)]
pub(super) struct Reply {
    /// `grpc-status`.
    pub(super) status: u16,
    /// The bytes of all messages, framing included.
    pub(super) size: usize,
    chunks: Vec<Bytes>,
}

impl Reply {
    /// Decodes the message.
    pub(super) fn message(&self) -> anyhow::Result<EmbedResponse> {
        anyhow::ensure!(self.status == 0, "grpc-status {}", self.status);
        let whole = self.chunks.concat();
        Ok(EmbedResponse::decode(whole.get(5..).context("a message")?)?)
    }
}

impl Client {
    /// Connects to call `Embed`.
    pub(super) async fn connect(address: SocketAddr, connections: usize) -> anyhow::Result<Self> {
        Self::connect_to(address, connections, "voyage.gateway.v1.EmbeddingService/Embed").await
    }

    /// Connects to call any method.
    pub(super) async fn connect_to(
        address: SocketAddr,
        connections: usize,
        method: &str,
    ) -> anyhow::Result<Self> {
        let mut client = Self {
            connections: Vec::new(),
            template: Request::post(format!("http://{address}/{method}"))
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .body(())?,
            next: Arc::default(),
        };
        for _ in 0..connections {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (requests, connection) = h2::client::Builder::new()
                .initial_window_size(WINDOW)
                .initial_connection_window_size(WINDOW)
                .handshake(stream)
                .await?;
            tokio::spawn(connection);
            client.connections.push(requests);
        }
        Ok(client)
    }

    /// Sends one call over the next connection.
    pub(super) async fn call(&self, body: Bytes) -> anyhow::Result<Reply> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.connections.len();
        let mut connection = self.connections[turn].clone().ready().await?;
        let (response, mut request) = connection.send_request(self.template.clone(), false)?;
        request.send_data(body, true)?;
        let (head, mut body) = response.await?.into_parts();
        let (mut size, mut chunks) = (0, Vec::new());
        while let Some(chunk) = body.data().await {
            let chunk = chunk?;
            size += chunk.len();
            body.flow_control().release_capacity(chunk.len())?;
            chunks.push(chunk);
        }
        let trailers = body.trailers().await?.unwrap_or(head.headers);
        let status = trailers.get("grpc-status").context("a grpc-status")?.to_str()?.parse()?;
        Ok(Reply { status, size, chunks })
    }
}

/// Returns a framed request.
pub(super) fn frame(request: &EmbedRequest) -> Bytes {
    let mut bytes = BytesMut::with_capacity(request.encoded_len() + 5);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(request.encoded_len()).unwrap_or(u32::MAX));
    bytes.extend_from_slice(&request.encode_to_vec());
    bytes.freeze()
}

/// Returns a request for these texts, however large its answer.
pub(super) fn request(inputs: Vec<String>) -> EmbedRequest {
    let options = RequestOptions { max_response_bytes: 64 * 1024 * 1024, ..Default::default() };
    EmbedRequest { inputs, options: Some(options), ..Default::default() }
}

/// Returns a text of `size` bytes that no other number has.
pub(super) fn text(number: u64, size: usize) -> String {
    const WORDS: &str = " the gateway keeps what it paid for and shares what it sends";
    let mut text = format!("{number:016}");
    while text.len() < size {
        text.push_str(WORDS);
    }
    text.truncate(size);
    text
}

/// The result of a load.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// Of every call, in no order.
    pub(super) latencies: Vec<Duration>,
    pub(super) elapsed: Duration,
}

/// Keeps `in_flight` calls going for `time`; every reply must be good and have at least `size` bytes.
pub(super) async fn saturate(
    client: &Client,
    in_flight: usize,
    time: Duration,
    size: usize,
    body: impl Fn() -> Bytes + Clone + Send + 'static,
) -> anyhow::Result<Load> {
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..in_flight {
        let (client, body) = (client.clone(), body.clone());
        callers.spawn(async move {
            let mut latencies = Vec::new();
            while start.elapsed() < time {
                latencies.push(timed(&client, body(), size).await?);
            }
            anyhow::Ok(latencies)
        });
    }
    let latencies = collect(callers).await?.into_iter().flatten().collect();
    Ok(Load { latencies, elapsed: start.elapsed() })
}

/// Starts `rate` calls a second for `time`, however long they take.
pub(super) async fn pace(
    client: &Client,
    rate: f64,
    time: Duration,
    size: usize,
    body: impl Fn() -> Bytes,
) -> anyhow::Result<Load> {
    let start = Instant::now();
    let mut ticks = interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut calls = JoinSet::new();
    let mut sent = 0.0;
    while start.elapsed() < time {
        ticks.tick().await;
        while sent < rate * start.elapsed().as_secs_f64() {
            sent += 1.0;
            let (client, body) = (client.clone(), body());
            calls.spawn(async move { timed(&client, body, size).await });
        }
    }
    let latencies = collect(calls).await?;
    Ok(Load { latencies, elapsed: start.elapsed() })
}

/// Makes one call and returns how long it took.
pub(super) async fn timed(client: &Client, body: Bytes, size: usize) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let reply = client.call(body).await?;
    anyhow::ensure!(reply.status == 0, "grpc-status {}", reply.status);
    anyhow::ensure!(reply.size >= size, "a reply of {} bytes", reply.size);
    Ok(start.elapsed())
}

async fn collect<T: 'static>(mut tasks: JoinSet<anyhow::Result<T>>) -> anyhow::Result<Vec<T>> {
    let mut results = Vec::with_capacity(tasks.len());
    while let Some(result) = tasks.join_next().await {
        results.push(result??);
    }
    Ok(results)
}
