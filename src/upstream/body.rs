//! The body of a request, with files that are encoded as base64 while they are sent.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// The bytes of a file that are encoded at a time; a multiple of 3, so that the pieces join without padding.
const STEP: usize = 48 * 1024;

/// JSON in pieces, and files between them that JSON has as base64. A file is not copied.
#[derive(Debug, Default)]
pub(super) struct RequestBody {
    pieces: VecDeque<Piece>,
}

enum Piece {
    Json(Bytes),
    /// A file, or the rest of it.
    File(Bytes),
}

/// Shows the size only.
impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Piece({} bytes)", self.encoded_len())
    }
}

impl Piece {
    /// Returns the bytes that are sent.
    fn encoded_len(&self) -> usize {
        match self {
            Self::Json(json) => json.len(),
            Self::File(file) => base64_simd::STANDARD.encoded_length(file.len()),
        }
    }
}

impl RequestBody {
    /// Appends JSON.
    pub(super) fn push_json(&mut self, json: Vec<u8>) {
        self.pieces.push_back(Piece::Json(json.into()));
    }

    /// Appends the base64 of a file.
    pub(super) fn push_file(&mut self, file: Bytes) {
        self.pieces.push_back(Piece::File(file));
    }

    /// Returns the bytes that are sent.
    pub(super) fn len(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.encoded_len() as u64).sum()
    }

    /// Returns the body for the HTTP client.
    pub(super) fn into_reqwest(mut self) -> reqwest::Body {
        match self.pieces.make_contiguous() {
            // Cheaper than a stream.
            [Piece::Json(json)] => std::mem::take(json).into(),
            _ => reqwest::Body::wrap(self),
        }
    }

    fn next(&mut self) -> Option<Bytes> {
        match self.pieces.pop_front()? {
            Piece::Json(json) => Some(json),
            Piece::File(mut file) => {
                let step = file.split_to(STEP.min(file.len()));
                if !file.is_empty() {
                    self.pieces.push_front(Piece::File(file));
                }
                Some(base64_simd::STANDARD.encode_to_string(&*step).into())
            }
        }
    }
}

impl From<Vec<u8>> for RequestBody {
    fn from(json: Vec<u8>) -> Self {
        Self { pieces: [Piece::Json(json.into())].into() }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.next().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Exact, so that `Content-Length` is sent.
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_file_of_any_length_is_the_base64_of_it() {
        for length in [0, 1, 2, 3, STEP - 1, STEP, STEP + 1, 3 * STEP + 2] {
            let file: Vec<u8> = (0..=250).cycle().take(length).collect();
            let mut body = RequestBody::from(b"before".to_vec());
            body.push_file(file.clone().into());
            body.push_json(b"after".to_vec());
            let announced = body.len();
            let sent = body.collect().await.unwrap().to_bytes();
            let expected = base64_simd::STANDARD.encode_to_string(&file);
            assert_eq!(&*sent, format!("before{expected}after").as_bytes());
            assert_eq!(sent.len() as u64, announced);
        }
    }
}
