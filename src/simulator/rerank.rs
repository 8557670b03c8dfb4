//! `POST /v1/rerank`.

use serde_json::Value;

use super::{
    entries::{Accepted, Entries, Scored},
    error_reply::ErrorReply,
    request::{self, Reader},
    tokens::cut,
    vectors::similarity,
};
use crate::model::{Dtype, Kind, Model};

const FIELDS: &[&str] = &["query", "documents", "model", "top_k", "return_documents", "truncation"];

/// A request for the relevance of documents to a query.
pub(super) struct Pairs {
    pub(super) model: &'static Model,
    query: String,
    documents: Vec<String>,
    top_k: Option<u64>,
    returns_documents: bool,
    truncation: bool,
}

impl Pairs {
    pub(super) fn read(mut reader: Reader<'_>) -> Result<Self, ErrorReply> {
        let query = read_query(&mut reader);
        check_documents(&mut reader);
        let documents = request::strings(reader.fields.get("documents").unwrap_or(&Value::Null));
        let name = reader.model_name();
        let number = "Input should be a valid integer greater than 0";
        let positive = |value: &Value| value.as_u64().filter(|number| *number > 0);
        let top_k = reader.optional_as("top_k", positive, number);
        let flag = "Input should be a valid boolean";
        let returns_documents =
            reader.optional_as("return_documents", Value::as_bool, flag).unwrap_or(false);
        let truncation = reader.truncation();
        reader.finish(FIELDS)?;
        let model = request::model(name, Kind::Rerank)?;
        Ok(Self { model, query, documents, top_k, returns_documents, truncation })
    }

    /// Cuts the query and the documents at the model's limits, or refuses what is longer. Each score depends on its own
    /// pair only.
    pub(super) fn accept(&self) -> Result<Accepted, ErrorReply> {
        let Self { model, query, documents, truncation, .. } = self;
        let query_limit = u64::from(model.query_tokens);
        let (query_cut, query_tokens) = cut(query, query_limit);
        if !truncation && query_cut.len() < query.len() {
            return Err(ErrorReply::query_too_long(model, query_limit));
        }
        let room = u64::from(model.context_tokens).saturating_sub(query_tokens);
        let mut total = query_tokens * documents.len() as u64;
        let mut scored = Vec::with_capacity(documents.len());
        for (index, document) in documents.iter().enumerate() {
            let (document_cut, tokens) = cut(document, room);
            if !truncation && document_cut.len() < document.len() {
                return Err(ErrorReply::example_too_long(model, index));
            }
            total += tokens;
            scored.push(Scored {
                index,
                score: similarity(query_cut, document_cut, model.name),
                document: self.returns_documents.then(|| document.clone()),
            });
        }
        if total > u64::from(model.max_request_tokens) {
            return Err(ErrorReply::batch_too_large(model, total));
        }
        scored.sort_by(|one, other| other.score.total_cmp(&one.score));
        scored
            .truncate(self.top_k.map_or(usize::MAX, |k| usize::try_from(k).unwrap_or(usize::MAX)));
        let entries = Entries::Scores(scored);
        Ok(Accepted {
            model,
            tokens: total,
            pixels: None,
            dtype: Dtype::Float,
            base64: false,
            entries,
        })
    }
}

fn read_query(reader: &mut Reader<'_>) -> String {
    match reader.fields.get("query") {
        None => reader.missing(),
        Some(Value::String(query)) if query.is_empty() => {
            reader.wrong("query", "Value error, Query cannot be an empty string");
        }
        Some(Value::String(query)) => return query.clone(),
        Some(_) => reader.wrong("query", "Input should be a valid string"),
    }
    String::new()
}

fn check_documents(reader: &mut Reader<'_>) {
    let Some(documents) = reader.fields.get("documents") else {
        return reader.missing();
    };
    let Some(documents) = documents.as_array().filter(|list| list.iter().all(Value::is_string))
    else {
        return reader.wrong("documents", "Input should be a valid list of strings");
    };
    if documents.is_empty() || documents.iter().any(|text| text == "") {
        let problem = "Value error, Documents cannot contain empty strings or empty lists";
        reader.wrong("documents", problem);
    } else {
        reader.check_count("documents", documents.len());
    }
}
