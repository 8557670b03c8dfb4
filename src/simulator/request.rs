//! The fields of a request, checked as strictly as by the provider.

use serde_json::{Map, Value};

use super::{error_reply::ErrorReply, vectors::Shape};
use crate::{
    item::InputType,
    model::{self, Dtype, Kind, MAX_UPSTREAM_INPUTS, Model},
};

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

/// Returns a list, or one value as a list of one.
pub(super) fn list(value: &Value) -> &[Value] {
    match value {
        Value::Array(list) => list,
        Value::Null => &[],
        one => std::slice::from_ref(one),
    }
}

/// Returns the strings of a string or a list of strings.
pub(super) fn strings(value: &Value) -> Vec<String> {
    list(value).iter().filter_map(|text| text.as_str().map(str::to_owned)).collect()
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
pub(super) struct Reader<'a> {
    pub(super) fields: &'a Map<String, Value>,
    pub(super) clauses: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn missing(&mut self) {
        self.clauses
            .push("Your request body was missing one or more required arguments.".to_owned());
    }

    pub(super) fn wrong(&mut self, field: &str, problem: &str) {
        self.clauses.push(format!("Error for argument '{field}': {problem}"));
    }

    /// Returns an optional field; an explicit null counts as absent.
    pub(super) fn optional(&self, field: &str) -> Option<&'a Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    pub(super) fn model_name(&mut self) -> &'a str {
        match self.fields.get("model") {
            Some(Value::String(name)) => return name,
            Some(_) => self.wrong("model", "Input should be a valid string"),
            None => self.missing(),
        }
        ""
    }

    /// Returns an optional field as the type that `parse` accepts.
    pub(super) fn optional_as<T>(
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

    pub(super) fn one_of<T: Copy>(&mut self, field: &str, accepted: &[(&str, T)]) -> Option<T> {
        let value = self.optional(field)?;
        let known = accepted.iter().find(|(name, _)| value == name);
        if known.is_none() {
            let names: Vec<_> = accepted.iter().map(|(name, _)| name).collect();
            let given = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.clauses.push(not_accepted(field, &given, &names));
        }
        known.map(|(_, meaning)| *meaning)
    }

    /// Checks the number of entries of a list.
    pub(super) fn check_count(&mut self, field: &str, count: usize) {
        if count > MAX_UPSTREAM_INPUTS {
            let problem = format!(
                "Value error, The batch size limit is {MAX_UPSTREAM_INPUTS}. Your batch size is {count}."
            );
            self.wrong(field, &problem);
        }
    }

    /// Returns whether truncation is on.
    pub(super) fn truncation(&mut self) -> bool {
        self.optional_as("truncation", Value::as_bool, "Input should be a valid boolean")
            .unwrap_or(true)
    }

    /// Returns the parameters of vectors as requested; [`VectorFields::shape`] checks them against the model.
    pub(super) fn vectors(&mut self) -> VectorFields {
        VectorFields {
            input_type: self.one_of("input_type", INPUT_TYPES),
            dimension: self.optional_as(
                "output_dimension",
                Value::as_u64,
                "Input should be a valid integer",
            ),
            dtype: self.one_of("output_dtype", DTYPES).unwrap_or_default(),
        }
    }

    /// Returns whether vectors are to be sent as base64.
    pub(super) fn base64(&mut self, field: &str) -> bool {
        self.one_of(field, ENCODINGS).unwrap_or(false)
    }

    /// Refuses unknown fields; returns the problems of all fields.
    pub(super) fn finish(mut self, known: &[&str]) -> Result<(), ErrorReply> {
        for name in self.fields.keys().filter(|name| !known.contains(&name.as_str())) {
            self.clauses.push(format!("Argument '{name}' is not supported by our API"));
        }
        if self.clauses.is_empty() { Ok(()) } else { Err(ErrorReply::malformed(&self.clauses)) }
    }
}

/// The parameters of vectors as requested.
pub(super) struct VectorFields {
    pub(super) input_type: Option<InputType>,
    dimension: Option<u64>,
    dtype: Dtype,
}

impl VectorFields {
    /// Checks the parameters against the model.
    pub(super) fn shape(self, model: &'static Model) -> Result<Shape<'static>, ErrorReply> {
        let Self { input_type, dimension, dtype } = self;
        let default = model.default_dimension().unwrap_or_default();
        let dimension = dimension.unwrap_or(u64::from(default));
        let Some(&dimension) =
            model.dimensions.iter().find(|&&offered| u64::from(offered) == dimension)
        else {
            let clause = not_accepted("output_dimension", &dimension.to_string(), model.dimensions);
            return Err(ErrorReply::malformed(&[clause]));
        };
        if !model.dtypes.contains(&dtype) {
            let names: Vec<_> = model.dtypes.iter().map(|dtype| dtype.as_str()).collect();
            let clause = not_accepted("output_dtype", dtype.as_str(), &names);
            return Err(ErrorReply::malformed(&[clause]));
        }
        Ok(Shape { model: model.name, input_type, dimension, dtype })
    }
}

/// Finds a model of a kind.
pub(super) fn model(name: &str, kind: Kind) -> Result<&'static Model, ErrorReply> {
    model::find_kind(name, kind).ok_or_else(|| ErrorReply::unknown_model(name, kind))
}
