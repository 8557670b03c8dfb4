//! A minimal HTTP/1.1 client that records all received bytes.

use std::io;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::simulator::{Options, Simulator};

/// The bytes received until the connection closed.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn detail(&self) -> String {
        self.json()["detail"].as_str().unwrap().to_owned()
    }

    pub(super) fn announced(&self) -> Option<usize> {
        self.header("content-length").map(|length| length.parse().unwrap())
    }

    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let end = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let (first, rest) = head.split_once("\r\n").unwrap();
        let status = first.split(' ').nth(1).unwrap().parse().unwrap();
        let headers = rest
            .split("\r\n")
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut reply = Self { status, headers, body: bytes[end + 4..].to_vec() };
        if reply.header("transfer-encoding") == Some("chunked") {
            reply.body = dechunk(&reply.body);
        }
        Ok(reply)
    }
}

fn dechunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").unwrap();
        let length =
            usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        if length == 0 {
            return body;
        }
        body.extend_from_slice(&rest[line + 2..line + 2 + length]);
        rest = &rest[line + 2 + length + 2..];
    }
}

/// Sends bytes and reads until the connection closes.
pub(super) async fn exchange(simulator: &Simulator, request: &[u8]) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(simulator.address()).await?;
    stream.write_all(request).await?;
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await?;
    Reply::parse(&received)
}

/// A request with these headers on top of the unavoidable ones.
pub(super) fn request(start: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let head = format!("{start} HTTP/1.1\r\nhost: simulator\r\ncontent-length: {}\r\n", body.len());
    let headers: Vec<_> = headers.iter().map(|header| format!("{header}\r\n")).collect();
    [head.as_bytes(), headers.concat().as_bytes(), b"\r\n", body].concat()
}

pub(super) const KEY: &str = "authorization: Bearer pa-key";
pub(super) const JSON: &str = "content-type: application/json";
pub(super) const CLOSE: &str = "connection: close";

/// Posts a body with a key.
pub(super) async fn post(simulator: &Simulator, body: &Value) -> io::Result<Reply> {
    post_bytes(simulator, body.to_string().as_bytes()).await
}

pub(super) async fn post_bytes(simulator: &Simulator, body: &[u8]) -> io::Result<Reply> {
    exchange(simulator, &request("POST /v1/embeddings", &[KEY, JSON, CLOSE], body)).await
}

pub(super) fn texts(texts: &[&str]) -> Value {
    json!({ "input": texts, "model": "voyage-4", "encoding_format": "base64" })
}

pub(super) async fn simulator() -> Simulator {
    Simulator::start(Options::default()).await.unwrap()
}
