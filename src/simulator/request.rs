//! The body of `POST /v1/embeddings`, checked as strictly as by the provider.

use serde_json::{Map, Value};

use super::{error_reply::ErrorReply, vectors::Shape};
use crate::{
    item::InputType,
    model::{self, Dtype, Kind, MAX_UPSTREAM_INPUTS, Model},
};

#[derive(Debug)]
pub(super) struct RequestBody {
    pub(super) model: &'static Model,
    pub(super) shape: Shape<'static>,
    pub(super) truncation: bool,
    /// Answer base64 instead of lists of numbers.
    pub(super) base64: bool,
}

const FIELDS: &[&str] = &[
    "input",
    "model",
    "input_type",
    "truncation",
    "output_dimension",
    "output_dtype",
    "encoding_format",
];

const INPUT_TYPES: &[(&str, InputType)] =
    &[("query", InputType::Query), ("document", InputType::Document)];

const DTYPES: &[(&str, Dtype)] = &[
    ("float", Dtype::Float),
    ("int8", Dtype::Int8),
    ("uint8", Dtype::Uint8),
    ("binary", Dtype::Binary),
    ("ubinary", Dtype::Ubinary),
];

const ENCODINGS: &[(&str, bool)] = &[("base64", true)];

pub(super) fn texts(body: &Value) -> Vec<String> {
    match &body["input"] {
        Value::String(text) => vec![text.clone()],
        Value::Array(list) => {
            list.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect()
        }
        _ => Vec::new(),
    }
}

/// Parses a body; `None`: it is not JSON.
pub(super) fn read(body: Option<&Value>) -> Result<RequestBody, ErrorReply> {
    let refuse = |clause: &str| ErrorReply::malformed(&[clause.to_owned()]);
    let body = body.ok_or_else(|| refuse("Error for argument '0': JSON decode error"))?;
    let fields = body.as_object().ok_or_else(|| {
        refuse("Error for argument 'body': Input should be a valid dictionary or object to extract fields from")
    })?;

    let mut reader = Reader { fields, clauses: Vec::new() };
    reader.check_input();
    let model_name = reader.model_name();
    let input_type = reader.one_of("input_type", INPUT_TYPES);
    let truncation = reader
        .optional_as("truncation", Value::as_bool, "Input should be a valid boolean")
        .unwrap_or(true);
    let dimension =
        reader.optional_as("output_dimension", Value::as_u64, "Input should be a valid integer");
    let dtype = reader.one_of("output_dtype", DTYPES).unwrap_or_default();
    let base64 = reader.one_of("encoding_format", ENCODINGS).unwrap_or(false);
    for name in fields.keys().filter(|name| !FIELDS.contains(&name.as_str())) {
        reader.clauses.push(format!("Argument '{name}' is not supported by our API"));
    }
    if !reader.clauses.is_empty() {
        return Err(ErrorReply::malformed(&reader.clauses));
    }

    let model = model::find_kind(model_name, Kind::Text)
        .ok_or_else(|| ErrorReply::unknown_model(model_name))?;
    let default = model.default_dimension().unwrap_or_default();
    let dimension = dimension.unwrap_or(u64::from(default));
    let Some(&dimension) =
        model.dimensions.iter().find(|&&offered| u64::from(offered) == dimension)
    else {
        return Err(refuse(&not_accepted(
            "output_dimension",
            &dimension.to_string(),
            model.dimensions,
        )));
    };
    if !model.dtypes.contains(&dtype) {
        let names: Vec<_> = model.dtypes.iter().map(|dtype| dtype.as_str()).collect();
        return Err(refuse(&not_accepted("output_dtype", dtype.as_str(), &names)));
    }
    let shape = Shape { model: model.name, input_type, dimension, dtype };
    Ok(RequestBody { model, shape, truncation, base64 })
}

fn not_accepted(field: &str, value: &str, accepted: &[impl std::fmt::Display]) -> String {
    let accepted: Vec<_> = accepted.iter().map(|value| format!("'{value}'")).collect();
    let accepted = match accepted.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => accepted.concat(),
    };
    format!(
        "Value '{value}' supplied for argument '{field}' is not valid -- accepted values are {accepted}"
    )
}

/// Parses fields one by one and collects their problems in the provider's words.
struct Reader<'a> {
    fields: &'a Map<String, Value>,
    clauses: Vec<String>,
}

impl<'a> Reader<'a> {
    fn missing(&mut self) {
        self.clauses
            .push("Your request body was missing one or more required arguments.".to_owned());
    }

    fn wrong(&mut self, field: &str, problem: &str) {
        self.clauses.push(format!("Error for argument '{field}': {problem}"));
    }

    /// Returns an optional field; an explicit null counts as absent.
    fn optional(&self, field: &str) -> Option<&'a Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    fn check_input(&mut self) {
        let Some(input) = self.fields.get("input") else {
            return self.missing();
        };
        let list = match input {
            Value::Array(list) => list.as_slice(),
            one => std::slice::from_ref(one),
        };
        if !list.iter().all(Value::is_string) {
            self.wrong("input", "Input should be a valid string or a list of valid strings");
        } else if list.is_empty() || list.iter().any(|text| text == "") {
            self.wrong("input", "Value error, Input cannot contain empty strings or empty lists");
        } else if list.len() > MAX_UPSTREAM_INPUTS {
            let problem = format!(
                "Value error, The batch size limit is {MAX_UPSTREAM_INPUTS}. Your batch size is {}.",
                list.len()
            );
            self.wrong("input", &problem);
        }
    }

    fn model_name(&mut self) -> &'a str {
        match self.fields.get("model") {
            Some(Value::String(name)) => return name,
            Some(_) => self.wrong("model", "Input should be a valid string"),
            None => self.missing(),
        }
        ""
    }

    /// Returns an optional field as the type that `parse` accepts.
    fn optional_as<T>(
        &mut self,
        field: &str,
        parse: fn(&Value) -> Option<T>,
        problem: &str,
    ) -> Option<T> {
        let parsed = parse(self.optional(field)?);
        if parsed.is_none() {
            self.wrong(field, problem);
        }
        parsed
    }

    fn one_of<T: Copy>(&mut self, field: &str, accepted: &[(&str, T)]) -> Option<T> {
        let value = self.optional(field)?;
        let known = accepted.iter().find(|(name, _)| value == name);
        if known.is_none() {
            let names: Vec<_> = accepted.iter().map(|(name, _)| name).collect();
            let given = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.clauses.push(not_accepted(field, &given, &names));
        }
        known.map(|(_, meaning)| *meaning)
    }
}
