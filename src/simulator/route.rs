//! The endpoints, and the bodies of their requests.

use serde_json::Value;

use super::{
    chunks::Documents,
    contents::{self, Contents},
    error_reply::ErrorReply,
    request::{Reader, list, strings},
    rerank::Pairs,
    texts::Texts,
};

/// A request with a valid body.
pub(super) enum RequestBody {
    Texts(Texts),
    Documents(Documents),
    Contents(Contents),
    Pairs(Pairs),
}

/// The endpoints, by their paths.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Texts,
    Documents,
    Contents,
    Pairs,
}

impl Route {
    pub(super) fn of(path: &str) -> Option<Self> {
        match path {
            "/v1/embeddings" => Some(Self::Texts),
            "/v1/contextualizedembeddings" => Some(Self::Documents),
            "/v1/multimodalembeddings" => Some(Self::Contents),
            "/v1/rerank" => Some(Self::Pairs),
            _ => None,
        }
    }

    /// Returns the texts of each input.
    pub(super) fn texts(self, body: &Value) -> Vec<Vec<String>> {
        let inputs = |field, texts: fn(&Value) -> Vec<String>| {
            list(&body[field]).iter().map(texts).collect()
        };
        match self {
            Self::Texts => inputs("input", strings),
            Self::Documents => inputs("inputs", strings),
            Self::Contents => inputs("inputs", contents::texts),
            Self::Pairs => inputs("documents", strings),
        }
    }
}

/// Parses a body; `None`: it is not JSON.
pub(super) fn read(route: Route, body: Option<&Value>) -> Result<RequestBody, ErrorReply> {
    let refuse = |clause: &str| ErrorReply::malformed(&[clause.to_owned()]);
    let body = body.ok_or_else(|| refuse("Error for argument '0': JSON decode error"))?;
    let fields = body.as_object().ok_or_else(|| {
        refuse("Error for argument 'body': Input should be a valid dictionary or object to extract fields from")
    })?;
    let reader = Reader { fields, clauses: Vec::new() };
    Ok(match route {
        Route::Texts => RequestBody::Texts(Texts::read(reader)?),
        Route::Documents => RequestBody::Documents(Documents::read(reader)?),
        Route::Contents => RequestBody::Contents(Contents::read(reader)?),
        Route::Pairs => RequestBody::Pairs(Pairs::read(reader)?),
    })
}
