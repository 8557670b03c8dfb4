//! `CountTokens`: inputs of any RPC.

use super::{Violations, check_count, model_name, options::check_invalid_text};
use crate::{
    error::Error,
    grpc::{RequestModels, v1::CountTokensRequest},
    model::{Kind, ModelName},
};

/// The texts to count.
#[derive(Debug)]
pub(in crate::grpc) struct CountInputs {
    pub(in crate::grpc) model: ModelName,
    /// Counts with each input.
    pub(in crate::grpc) query: Option<String>,
    /// The texts of each input.
    pub(in crate::grpc) inputs: Vec<Vec<String>>,
}

impl CountInputs {
    /// Returns the bytes of all texts.
    pub(in crate::grpc) fn bytes(&self) -> usize {
        self.inputs.iter().flatten().chain(&self.query).map(String::len).sum()
    }
}

/// Converts a request; an error lists all of its violations. Empty texts have no tokens, and are counted as such.
pub(in crate::grpc) fn count_request(
    request: CountTokensRequest,
    models: &RequestModels,
) -> Result<CountInputs, Error> {
    let CountTokensRequest { inputs, model, documents, query, options } = request;
    let mut violations = Violations::default();
    check_invalid_text(&options.unwrap_or_default(), &mut violations);
    let query = Some(query).filter(|query| !query.is_empty());
    let (kind, field, what) = match (&query, documents.is_empty()) {
        (Some(_), _) => (Kind::Rerank, "inputs", "document"),
        (None, false) => (Kind::Contextualized, "documents", "document"),
        (None, true) => (Kind::Text, "inputs", "text"),
    };
    let model = model_name(&model, kind, models, &mut violations);
    if !documents.is_empty() && (!inputs.is_empty() || query.is_some()) {
        let description = "must not be set together with inputs or query";
        violations.add("documents", "AMBIGUOUS", description);
    }
    let inputs: Vec<Vec<String>> = if documents.is_empty() {
        inputs.into_iter().map(|text| vec![text]).collect()
    } else {
        documents.into_iter().map(|document| document.chunks).collect()
    };
    check_count(field, what, inputs.len(), &mut violations);
    violations.into_result()?;
    Ok(CountInputs { model, query, inputs })
}
