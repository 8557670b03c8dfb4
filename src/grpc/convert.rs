//! Proto ↔ domain: all validation, and the shape of replies; a file for each RPC with items.
//!
//! An error lists every violation of a request, other fields before its items. Then come the caller's permissions and the
//! predicted size of the reply, before any money is spent.

mod chunks;
mod contents;
mod count;
mod explain;
mod options;
mod reply;
mod rerank;
mod texts;
mod vectors;
mod violations;

use crate::{error::Error, item::Input};

pub(super) use chunks::{embed_chunks_request, embed_chunks_response};
pub(super) use contents::{embed_multimodal_request, embed_multimodal_response, file_bytes};
pub(super) use count::{CountInputs, count_request};
pub(super) use explain::{explain_request, explain_response, too_large_response};
pub(super) use options::CallTerms;
use options::{Options, model_name};
pub(super) use reply::{output_dtype, to_i32, to_i64};
pub(super) use rerank::{rerank_request, rerank_response};
pub(super) use texts::{embed_request, embed_response};
pub(super) use vectors::ReplyShape;
pub(super) use violations::Violations;

/// Limit of inputs in a request.
pub const MAX_INPUTS: usize = 16_384;

/// Checks the number of a request's items; false: there are too many to check each.
fn check_count(field: &str, what: &str, count: usize, violations: &mut Violations) -> bool {
    if count == 0 {
        violations.add(field, "EMPTY_LIST", format!("must have at least one {what}"));
    }
    if count > MAX_INPUTS {
        let description = format!("must have at most {MAX_INPUTS} {what}s; use several calls");
        violations.add(field, "TOO_MANY_INPUTS", description);
    }
    count <= MAX_INPUTS
}

/// Returns an item's violation as the item's error, or adds it to those of the request.
fn refuse_or_add(
    error: Error,
    allow_partial: bool,
    violations: &mut Violations,
) -> Result<Input, Error> {
    if !allow_partial {
        violations.add_error(&error);
    }
    Err(error)
}

#[cfg(test)]
mod tests;
