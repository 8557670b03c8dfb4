//! HTTP/2 frame by frame, for peers that no client library can imitate.

use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};

use crate::support::PATIENCE;

/// The first bytes of every HTTP/2 connection.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

/// Of SETTINGS and PING.
const ACK: u8 = 1;
/// Of DATA and HEADERS.
pub(super) const END_STREAM: u8 = 1;
/// Of HEADERS and CONTINUATION.
pub(super) const END_HEADERS: u8 = 4;

pub(super) const NO_ERROR: u32 = 0;
pub(super) const REFUSED_STREAM: u32 = 7;
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

/// The last stream of a GOAWAY that only announces the end.
pub(super) const ANY_STREAM: u32 = (1 << 31) - 1;

#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Bytes,
}

impl Frame {
    /// Returns the last stream and the error code of a GOAWAY.
    pub(super) fn goaway(&self) -> Option<(u32, u32)> {
        let mut payload = self.payload.clone();
        (self.kind == GOAWAY).then(|| (payload.get_u32(), payload.get_u32()))
    }

    /// Returns whether it is the last of its stream.
    pub(super) fn ends(&self, stream: u32) -> bool {
        self.stream == stream && matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }
}

/// Writes one frame.
pub(super) fn put(to: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("a frame");
    to.put_slice(&length.to_be_bytes()[1..]);
    to.put_slice(&[kind, flags]);
    to.put_u32(stream);
    to.put_slice(payload);
}

/// Returns a header block of a gRPC request; no entry of it is to be remembered.
pub(super) fn request_headers(path: &str) -> Vec<u8> {
    // `:method: POST` and `:scheme: http` of the static table, then `:path`, `:authority`, `content-type`.
    let mut block = vec![0x83, 0x86, 0x04];
    put_text(&mut block, path);
    block.push(0x01);
    put_text(&mut block, "localhost");
    block.extend([0x0f, 0x10]);
    put_text(&mut block, "application/grpc");
    put_header(&mut block, "te", "trailers");
    block
}

/// Adds a header by its whole name.
pub(super) fn put_header(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0x00);
    put_text(block, name);
    put_text(block, value);
}

fn put_text(block: &mut Vec<u8>, text: &str) {
    assert!(text.len() < 127);
    block.push(u8::try_from(text.len()).expect("a short text"));
    block.extend(text.as_bytes());
}

/// Writes a whole request.
pub(super) fn put_request(to: &mut Vec<u8>, stream: u32, path: &str, body: &[u8]) {
    put(to, HEADERS, END_HEADERS, stream, &request_headers(path));
    put(to, DATA, END_STREAM, stream, body);
}

/// Returns the first bytes of a well-behaved client, which takes replies of any size.
pub(super) fn greeting() -> Vec<u8> {
    let mut greeting = PREFACE.to_vec();
    // SETTINGS_INITIAL_WINDOW_SIZE.
    put(&mut greeting, SETTINGS, 0, 0, &[0, 4, 0x40, 0, 0, 0]);
    put(&mut greeting, WINDOW_UPDATE, 0, 0, &[0x40, 0, 0, 0]);
    greeting
}

/// The peer's end of a connection.
pub(super) struct Peer<S> {
    stream: S,
    read: BytesMut,
    /// Whether it answers SETTINGS and PING.
    polite: bool,
    /// How long it waits for a frame.
    patience: Duration,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// A peer after its preface that answers pings and settings.
    pub(super) async fn polite(stream: S) -> Self {
        let mut peer = Self { stream, read: BytesMut::new(), polite: true, patience: PATIENCE };
        peer.write(&greeting()).await;
        peer
    }

    /// A peer that has said hello and will answer nothing.
    pub(super) async fn mute(stream: S) -> Self {
        Self { polite: false, ..Self::polite(stream).await }
    }

    /// The same, waiting longer for a frame.
    pub(super) fn patient(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("a connection");
    }

    pub(super) async fn request(&mut self, stream: u32, path: &str, body: &[u8]) {
        let mut frames = Vec::new();
        put_request(&mut frames, stream, path, body);
        self.write(&frames).await;
    }

    /// Waits for the next frame; `None` when the connection has ended. Dropping it loses nothing.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        while self.whole_frame().is_none() {
            // A reset is an end as well.
            if self.stream.read_buf(&mut self.read).await.unwrap_or(0) == 0 {
                return None;
            }
        }
        let length = self.whole_frame()?;
        let mut frame = self.read.split_to(length);
        let (kind, flags) = (frame[3], frame[4]);
        frame.advance(5);
        let stream = frame.get_u32();
        let frame = Frame { kind, flags, stream, payload: frame.freeze() };
        if self.polite && matches!(kind, SETTINGS | PING) && flags & ACK == 0 {
            let payload = if kind == PING { frame.payload.as_ref() } else { &[] };
            let mut answer = Vec::new();
            put(&mut answer, kind, ACK, 0, payload);
            // The end may have come meanwhile.
            let _ = self.stream.write_all(&answer).await;
        }
        Some(frame)
    }

    fn whole_frame(&self) -> Option<usize> {
        let length = self.read.get(..3)?;
        let length =
            usize::from(length[0]) << 16 | usize::from(length[1]) << 8 | usize::from(length[2]);
        (self.read.len() >= 9 + length).then_some(9 + length)
    }

    /// Waits for a frame of which this holds; fails when the connection ends before it.
    pub(super) async fn until(&mut self, wanted: impl Fn(&Frame) -> bool) -> Frame {
        let patience = self.patience;
        let looking = async {
            loop {
                let frame = self.next().await.expect("a frame before the end");
                if wanted(&frame) {
                    return frame;
                }
            }
        };
        timeout(patience, looking).await.expect("the frame never came")
    }

    /// Reads on to the end; returns the GOAWAYs that came, as last stream and error code.
    pub(super) async fn until_end(mut self) -> Vec<(u32, u32)> {
        let mut goaways = Vec::new();
        while let Some(frame) = self.next().await {
            goaways.extend(frame.goaway());
        }
        goaways
    }

    /// Writes on and on while reading, until the connection ends; returns the GOAWAYs that came.
    pub(super) async fn flood(self, frames: &[u8]) -> Vec<(u32, u32)> {
        let (reader, mut writer) = tokio::io::split(self.stream);
        let stream = tokio::io::join(reader, tokio::io::sink());
        let reading = Peer { stream, read: self.read, polite: false, patience: self.patience };
        let written = async {
            // It is cut off in the middle.
            let _ = writer.write_all(frames).await;
        };
        let both = async { tokio::join!(reading.until_end(), written).0 };
        timeout(PATIENCE, both).await.expect("an end")
    }
}
