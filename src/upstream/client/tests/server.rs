//! A scripted server for one connection and one request.

use std::{future::pending, io, net};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};

/// The state of the connection after the reply.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Close,
    Reset,
    /// Nothing ever again.
    Hang,
}

pub(super) struct Server {
    listener: net::TcpListener,
    request: JoinHandle<Vec<u8>>,
}

impl Server {
    pub(super) fn start(reply: impl Into<Vec<u8>>, end: End) -> Self {
        let reply = reply.into();
        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let accepting = TcpListener::from_std(listener.try_clone().unwrap()).unwrap();
        let request = tokio::spawn(async move {
            let (mut stream, _) = accepting.accept().await.unwrap();
            let request = read_request(&mut stream).await;
            // The client may close the connection early.
            let _ = stream.write_all(&reply).await;
            match end {
                End::Close => drop(stream.shutdown().await),
                End::Reset => stream.set_zero_linger().unwrap(),
                End::Hang => pending().await,
            }
            request
        });
        Self { listener, request }
    }

    pub(super) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}/v1", self.listener.local_addr().unwrap())
    }

    /// Returns the request, as it came.
    pub(super) async fn request(self) -> String {
        String::from_utf8(self.request.await.unwrap()).unwrap()
    }

    /// Returns whether the one connection was opened and closed.
    pub(super) fn is_done(&self) -> bool {
        self.request.is_finished()
    }

    /// Returns whether there was a connection that was not served.
    pub(super) fn was_called_again(&self) -> bool {
        match self.listener.accept() {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Reads until the whole body is there.
pub(super) async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut request = Vec::new();
    while !is_whole(&request) {
        if stream.read_buf(&mut request).await.unwrap() == 0 {
            break;
        }
    }
    request
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}
