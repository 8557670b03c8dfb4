//! The error table, row by row.

mod page;
mod rows;
mod size;

use std::sync::Arc;

use super::*;
use crate::{
    error::{BadResponse, FieldViolation, Phase, Upstream},
    item::Endpoint,
};

/// A failure of a call that got an answer with this status, or none.
fn upstream(fault: Fault, status: Option<u16>) -> Error {
    Error::Upstream(Arc::new(Upstream {
        fault,
        endpoint: Endpoint::Embeddings,
        model: "voyage-4".into(),
        status,
        attempts: 3,
        request_id: status.map(|_| "upstream-id".into()),
        key: "spare".into(),
        tokens: 0,
    }))
}
