//! The provider's error replies: statuses and texts as recorded from the live API.

use http::StatusCode;
use serde_json::{Value, json};

use crate::model::{CATALOGUE, Kind, Model};

/// The text of the free tier's 429, and of the warning header of its successful replies.
pub(super) const PAYMENT: &str = "You have not yet added your payment method in the billing page and will have \
    reduced rate limits of 3 RPM and 10K TPM. To unlock our standard rate limits, please add a payment method in \
    the billing page for the appropriate organization in the user dashboard.";

/// An error reply.
#[derive(Debug)]
pub(super) struct ErrorReply {
    pub(super) status: StatusCode,
    pub(super) body: Value,
}

impl ErrorReply {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, body: json!({ "detail": detail.into() }) }
    }

    fn bad_request(detail: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// Refuses a malformed body, with one clause for each problem.
    pub(super) fn malformed(clauses: &[String]) -> Self {
        Self::bad_request(format!(
            "The request body is not valid JSON, or some arguments were not specified properly. In particular, {}",
            clauses.join("; ")
        ))
    }

    pub(super) fn unknown_argument(name: &str) -> Self {
        Self::malformed(&[format!("Argument '{name}' is not supported by our API")])
    }

    pub(super) fn unknown_model(name: &str, kind: Kind) -> Self {
        let names: Vec<_> = CATALOGUE
            .iter()
            .filter(|model| model.kind == kind)
            .map(|model| format!("'{}'", model.name))
            .collect();
        Self::bad_request(format!(
            "Model {name} is not supported. Supported models are [{}].",
            names.join(", ")
        ))
    }

    pub(super) fn example_too_long(model: &Model, index: usize) -> Self {
        Self::bad_request(format!(
            "Request to model '{}' failed. The example at index {index} in your batch has too many tokens and does \
             not fit into the model's context window of {} tokens. Please lower the number of tokens in the listed \
             example(s) or use truncation.",
            model.name, model.context_tokens
        ))
    }

    /// The wording of context models, which never cut.
    pub(super) fn document_too_long(model: &Model, index: usize) -> Self {
        Self::bad_request(format!(
            "Request to model '{}' failed. The example at index {index} in your batch has too many tokens and does \
             not fit into the model's context window of {} tokens. Contextualized chunk embeddings do not support \
             truncation. Either lower the number of tokens in the listed example(s), or pass \
             enable_auto_chunking=true with input_type=\"document\" and one string per input.",
            model.name, model.context_tokens
        ))
    }

    pub(super) fn query_too_long(model: &Model, limit: u64) -> Self {
        Self::bad_request(format!(
            "Request to model '{}' failed. The query has too many tokens and does not fit into the limit of {limit} \
             tokens. Please lower the number of tokens in the query or use truncation.",
            model.name
        ))
    }

    pub(super) fn batch_too_large(model: &Model, tokens: u64) -> Self {
        let mut refusal = Self::bad_request(format!(
            "Request to model '{}' failed. The max allowed tokens per submitted batch is {}. Your batch has {tokens} \
             tokens after truncation. Please lower the number of tokens in the batch.",
            model.name, model.max_request_tokens
        ));
        refusal.body["error_code"] = json!("TOO_MANY_TOKENS_IN_BATCH");
        refusal
    }

    pub(super) fn rate_limited(free_tier: bool) -> Self {
        // The wording for paying accounts is not recorded anywhere.
        let detail =
            if free_tier { PAYMENT } else { "Rate limit reached. Please try again later." };
        Self::new(StatusCode::TOO_MANY_REQUESTS, detail)
    }
}
