//! `[models]`: models that the catalogue lacks or lists otherwise, and aliases.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    sync::Arc,
};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::SerializeMap as _,
};

use super::{
    Catalogue, Dtype, Kind, Lifecycle, Model, NAME_RULE,
    built_in::{self, CATALOGUE, FLOAT, USUAL},
    is_name,
};
use crate::check::{Validation, quoted};

/// The key of the table of aliases; no model has this name.
const ALIASES: &str = "aliases";

/// The largest dimension that a model may have.
const MAX_DIMENSION: u32 = 16_384;

/// `[models]`: a table for each model, and `[models.aliases]`.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(example = super::tests::example()))]
pub struct Config {
    /// Other names of models. Requests may have an alias as `model`; rules, cache keys, metrics and responses have the
    /// model's own name. An alias must not be the name of a listed model, or point to another alias.
    pub aliases: BTreeMap<String, String>,

    /// The tables of models.
    #[cfg_attr(test, schemars(flatten))]
    pub models: BTreeMap<String, ModelConfig>,
}

/// A model that the catalogue lacks, or keys that it lists otherwise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ModelConfig {
    /// `text`, `contextualized`, `multimodal` or `rerank`; required for a new model.
    pub kind: Option<Kind>,

    /// The dimensions of its vectors, the default first; required for a new model, except for rerankers.
    pub dimensions: Option<Vec<u32>>,

    /// The number types of its vectors: `float`, `int8`, `uint8`, `binary`, `ubinary`. New models: `float`.
    pub dtypes: Option<Vec<Dtype>>,

    /// The most tokens of an input; of a query and a document together for rerankers. New models: 32000.
    pub context_tokens: Option<u32>,

    /// The most tokens of the query of a reranking; 0 for other models. New rerankers: 8000.
    pub query_tokens: Option<u32>,

    /// The most inputs of an upstream request, 1 to 1000. New models: 1000.
    pub max_inputs: Option<u32>,

    /// The most tokens of an upstream request. New models: 120000, rerankers 600000.
    pub max_request_tokens: Option<u32>,

    /// Requests per minute where `[limits]` sets none. New models: 2000.
    pub rpm: Option<u32>,

    /// Tokens per minute where `[limits]` sets none. New models: 3000000.
    pub tpm: Option<u64>,

    /// US dollars for a million tokens, for the metrics of costs. New models: 0.
    pub price: Option<f64>,

    /// US dollars for a billion pixels. New models: 0.
    pub pixel_price: Option<f64>,

    /// `active`, `legacy` or `deprecated`. New models: `active`.
    pub lifecycle: Option<Lifecycle>,

    /// The date from which Voyage does not serve a deprecated model, such as `2027-01-31`; empty: none is known.
    pub retirement_date: Option<String>,

    /// An active model for the same purpose; empty: none.
    pub replacement: Option<String>,
}

impl Config {
    /// Validates the section's values.
    pub fn validate(&self) -> Validation {
        let validation = self
            .models
            .iter()
            .fold(Validation::new(), |validation, (name, own)| own.validate(name, validation));
        self.aliases.iter().fold(validation, |validation, (alias, model)| {
            let key = format!("{ALIASES}.{}", quoted(alias));
            validation
                .require(&key, is_name(alias), &format!("the alias {NAME_RULE}"))
                .require(
                    &key,
                    built_in::find(alias).is_none() && !self.models.contains_key(alias),
                    "the alias must not be the name of a listed model",
                )
                .require(&key, is_name(model), NAME_RULE)
                .require(
                    &key,
                    !self.aliases.contains_key(model),
                    "must be the name of a model, not another alias",
                )
        })
    }

    /// Builds the catalogue. Its models are never freed: there is one catalogue in a process.
    pub fn catalogue(&self) -> Catalogue {
        let configured = |name: &str| {
            let own = self.models.get(name)?;
            Some(&*Box::leak(Box::new(own.applied(name))))
        };
        let built_in = CATALOGUE.iter().map(|model| configured(model.name).unwrap_or(model));
        let new = self.models.keys().filter(|name| built_in::find(name).is_none());
        let models = built_in.chain(new.filter_map(|name| configured(name))).collect();
        let alias = |(alias, model): (&String, &String)| (alias.clone(), Arc::from(model.as_str()));
        Catalogue::new(models, self.aliases.iter().map(alias).collect())
    }

    /// Returns whether a name is an alias.
    pub fn is_alias(&self, name: &str) -> bool {
        self.aliases.contains_key(name)
    }
}

impl ModelConfig {
    fn validate(&self, name: &str, validation: Validation) -> Validation {
        let key = |key: &str| format!("{}.{key}", quoted(name));
        let listed = built_in::find(name);
        let kind = self.kind.or(listed.map(|model| model.kind));
        let dimensions = self.dimensions.as_deref().or(listed.map(|model| model.dimensions));
        let (dimensions, is_reranker) =
            (dimensions.unwrap_or_default(), kind == Some(Kind::Rerank));
        let dtypes = self.dtypes.as_deref().unwrap_or_default();
        let lifecycle = self.lifecycle.or(listed.map(|model| model.lifecycle)).unwrap_or_default();
        let retirement_date = self.retirement_date.as_deref().unwrap_or_default();
        let validation = validation
            .require(&quoted(name), is_name(name), &format!("the name {NAME_RULE}"))
            .require(&quoted(name), kind.is_some(), "requires its kind, since the model is not listed")
            .require_together(
                &[&key("dimensions"), &key("kind")],
                kind.is_none() || is_reranker == dimensions.is_empty(),
                "must have a dimension; rerankers have none",
            )
            .require(
                &key("dimensions"),
                are_dimensions(dimensions, dtypes),
                "must be different numbers from 1 to 16384, and multiples of 8 for binary and ubinary",
            )
            .require(
                &key("dtypes"),
                self.dtypes.is_none() || (is_different(dtypes) && is_reranker == dtypes.is_empty()),
                "must be different number types; rerankers have none",
            )
            .require_together(
                &[&key("query_tokens"), &key("kind")],
                self.query_tokens.is_none_or(|tokens| is_reranker == (tokens > 0)),
                "must be at least 1 for rerankers, and 0 for other models",
            )
            .within(&key("max_inputs"), self.max_inputs.unwrap_or(1), 1..=USUAL.max_inputs)
            .require_together(
                &[&key("retirement_date"), &key("lifecycle")],
                retirement_date.is_empty() || lifecycle == Lifecycle::Deprecated,
                "requires lifecycle \"deprecated\"",
            )
            .require(
                &key("retirement_date"),
                retirement_date.is_empty() || is_date(retirement_date),
                "must be a date such as \"2027-01-31\"",
            )
            .require(
                &key("replacement"),
                self.replacement.as_deref().is_none_or(|name| name.is_empty() || is_name(name)),
                NAME_RULE,
            );
        self.validate_numbers(key, validation)
    }

    fn validate_numbers(&self, key: impl Fn(&str) -> String, validation: Validation) -> Validation {
        let limits = [
            ("context_tokens", self.context_tokens.map(u64::from)),
            ("max_request_tokens", self.max_request_tokens.map(u64::from)),
            ("rpm", self.rpm.map(u64::from)),
            ("tpm", self.tpm),
        ];
        let validation = limits.into_iter().fold(validation, |validation, (name, limit)| {
            validation.require(&key(name), limit != Some(0), "must be at least 1")
        });
        let prices = [("price", self.price), ("pixel_price", self.pixel_price)];
        prices.into_iter().fold(validation, |validation, (name, price)| {
            let is_price = price.is_none_or(|price| price.is_finite() && price >= 0.0);
            validation.require(&key(name), is_price, "must be 0 or more")
        })
    }

    /// Returns the listed model, or a usual one, with these keys.
    fn applied(&self, name: &str) -> Model {
        let kind = self.kind.unwrap_or(Kind::Text);
        let new = || match kind {
            Kind::Rerank => {
                Model { kind, query_tokens: 8_000, max_request_tokens: 600_000, ..USUAL }
            }
            _ => Model { kind, dtypes: FLOAT, ..USUAL },
        };
        let base = built_in::find(name).copied().unwrap_or_else(new);
        Model {
            name: leaked(name),
            kind: self.kind.unwrap_or(base.kind),
            dimensions: self.dimensions.clone().map_or(base.dimensions, |list| list.leak()),
            dtypes: self.dtypes.clone().map_or(base.dtypes, |list| list.leak()),
            context_tokens: self.context_tokens.unwrap_or(base.context_tokens),
            query_tokens: self.query_tokens.unwrap_or(base.query_tokens),
            max_inputs: self.max_inputs.unwrap_or(base.max_inputs),
            max_request_tokens: self.max_request_tokens.unwrap_or(base.max_request_tokens),
            rpm: self.rpm.unwrap_or(base.rpm),
            tpm: self.tpm.unwrap_or(base.tpm),
            price: self.price.unwrap_or(base.price),
            pixel_price: self.pixel_price.unwrap_or(base.pixel_price),
            lifecycle: self.lifecycle.unwrap_or(base.lifecycle),
            retirement_date: self.retirement_date.as_deref().map_or(base.retirement_date, leaked),
            replacement: self.replacement.as_deref().map_or(base.replacement, leaked),
        }
    }
}

fn leaked(text: &str) -> &'static str {
    String::leak(text.to_owned())
}

fn is_different<T: PartialEq>(items: &[T]) -> bool {
    items.iter().enumerate().all(|(index, item)| !items[..index].contains(item))
}

fn are_dimensions(dimensions: &[u32], dtypes: &[Dtype]) -> bool {
    let has_bits = dtypes.iter().any(|dtype| matches!(dtype, Dtype::Binary | Dtype::Ubinary));
    let unit = if has_bits { 8 } else { 1 };
    let different: HashSet<_> = dimensions.iter().collect();
    different.len() == dimensions.len()
        && dimensions.iter().all(|&dimension| {
            (1..=MAX_DIMENSION).contains(&dimension) && dimension.is_multiple_of(unit)
        })
}

fn is_date(text: &str) -> bool {
    let parsed: Result<toml::value::Datetime, _> = text.parse();
    parsed.is_ok_and(|parsed| parsed.date.is_some() && parsed.time.is_none())
}

impl Serialize for Config {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(ALIASES, &self.aliases)?;
        for (name, model) in &self.models {
            map.serialize_entry(name, model)?;
        }
        map.end()
    }
}

/// By hand: serde's flattened maps lose the path of an error.
impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tables;

        impl<'de> Visitor<'de> for Tables {
            type Value = Config;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut tables: A) -> Result<Config, A::Error> {
                let mut config = Config::default();
                while let Some(name) = tables.next_key::<String>()? {
                    if name == ALIASES {
                        config.aliases = tables.next_value()?;
                    } else {
                        config.models.insert(name, tables.next_value()?);
                    }
                }
                Ok(config)
            }
        }

        deserializer.deserialize_map(Tables)
    }
}
