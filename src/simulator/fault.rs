//! The faults of the simulated provider.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

/// One fault of a call.
///
/// [`Status`](Self::Status), [`TooLong`](Self::TooLong), [`Hang`](Self::Hang) and [`Reset`](Self::Reset) replace
/// any answer. The others change a successful one: a request that the provider would refuse is refused all the
/// same. "One vector" is the last.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// This reply; see [`Fault::status`].
    Status {
        /// The HTTP status.
        status: u16,
        /// Headers on top of the usual ones, or instead of them.
        headers: Vec<(String, String)>,
        /// The body, JSON unless a `content-type` header says otherwise.
        body: String,
    },
    /// A 400 that names one example as too long for the model: the one whose text chose the fault, else the first.
    TooLong,
    /// No answer after the request was read.
    Hang,
    /// A TCP reset before any answer.
    Reset,
    /// The regular answer after this time.
    Delay(Duration),
    /// The regular answer in pieces of `chunk` bytes with a pause before each.
    SlowDrip {
        /// Bytes of a piece, at least one.
        chunk: usize,
        /// The time before each piece.
        pause: Duration,
    },
    /// A `content-length` of the whole body, half of it, and a closed connection.
    CutBody,
    /// A 200 whose body is JSON that stops midway.
    BadJson,
    /// A 200 whose body is a page of HTML.
    HtmlBody,
    /// A 200 whose `data` is a number.
    WrongType,
    /// A 200 whose body is JSON except for one byte that is not UTF-8.
    InvalidUtf8,
    /// So many more vectors than texts (fewer, if negative), and at most 10,000 in all.
    WrongCount(i64),
    /// A valid reply in reverse order, with the right `index` of each vector.
    ShuffledIndex,
    /// The last vector's `index` is that of the first; does nothing to a single vector.
    DuplicateIndex,
    /// The last vector has no `index`.
    MissingIndex,
    /// The last vector's `index` is the number of texts.
    IndexOutOfRange,
    /// One vector is one element short.
    WrongLength,
    /// One float is not a number (null in a list); does nothing to other number types.
    NotANumber,
    /// One float is infinite (null in a list); does nothing to other number types.
    Infinite,
    /// One vector is not base64 (a text instead of a list).
    BadBase64,
    /// One vector has no elements.
    EmptyEmbedding,
    /// The reply has no `usage`.
    NoUsage,
    /// Lists of numbers instead of base64.
    FloatLists,
    /// A valid reply followed by spaces up to this many bytes, without `content-length`.
    HugeBody(usize),
}

impl Fault {
    /// Returns a reply of this status whose `detail` is the status's name.
    pub fn status(status: u16) -> Self {
        let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        let body = json!({ "detail": reason.unwrap_or("Error") }).to_string();
        Self::Status { status, headers: Vec::new(), body }
    }

    /// Adds a header to a status; leaves other faults alone.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        if let Self::Status { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Gives a status the body `{"detail": "…"}`; leaves other faults alone.
    #[must_use]
    pub fn with_detail(mut self, detail: &str) -> Self {
        if let Self::Status { body, .. } = &mut self {
            *body = json!({ "detail": detail }).to_string();
        }
        self
    }
}
