//! Deserializes TOML values into the sections' types.
//!
//! The errors of `toml`'s own deserializer quote the value. Those of this one contain only the expected form.

use std::fmt::{self, Display};

use serde::{
    Deserializer,
    de::{
        self, Expected, IntoDeserializer, Unexpected, Visitor,
        value::{MapDeserializer, SeqDeserializer, StrDeserializer},
    },
    forward_to_deserialize_any,
};
use strsim::levenshtein;
use toml::{Table, Value};

/// Why a value is invalid. Never contains the value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The section has no such key.
    UnknownKey {
        /// The key.
        key: String,
        /// The section's keys.
        known: &'static [&'static str],
    },
    /// Any other reason.
    Other(String),
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, known) = match self {
            Self::Other(reason) => return f.write_str(reason),
            Self::UnknownKey { key, known } => (key, known),
        };
        f.write_str("unknown key; ")?;
        if matches!(key.as_str(), "api_key" | "voyage_api_key") {
            let home = "VOYAGE_API_KEY or VOYAGE_API_KEY_FILE";
            return write!(f, "the API key comes from {home}, never from the configuration");
        }
        match known.iter().min_by_key(|candidate| levenshtein(key, candidate)) {
            // Beyond half of its letters it is another word.
            Some(closest) if levenshtein(key, closest) * 2 < closest.len() => {
                write!(f, "did you mean {closest:?}?")
            }
            _ => write!(f, "known are {}", known.join(", ")),
        }
    }
}

impl std::error::Error for Refusal {}

impl de::Error for Refusal {
    /// Keeps the message of a type's own deserialization, which must not quote the value.
    fn custom<T: Display>(message: T) -> Self {
        match message.to_string().as_str() {
            "invalid socket address syntax" => expected("socket address"),
            message => Self::Other(message.to_owned()),
        }
    }

    fn invalid_type(_: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        expected(&wanted.to_string())
    }

    fn invalid_value(_: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        expected(&wanted.to_string())
    }

    fn invalid_length(_: usize, wanted: &dyn Expected) -> Self {
        expected(&wanted.to_string())
    }

    fn unknown_variant(_: &str, variants: &'static [&'static str]) -> Self {
        let quoted: Vec<String> = variants.iter().map(|variant| format!("{variant:?}")).collect();
        expected(&quoted.join(" or "))
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownKey { key: key.to_owned(), known }
    }
}

/// Builds an error with the expected form, without Rust's names of types.
fn expected(wanted: &str) -> Refusal {
    let wanted = match wanted {
        "u32" => "a whole number from 0 to 4294967295",
        "u64" => "a whole number, 0 or more",
        "f64" => "a number",
        "a boolean" => "true or false",
        "path string" => "a path",
        "a map" => "a section of keys",
        "a sequence" => "a list",
        "socket address" => "an IP address and a port such as \"127.0.0.1:50051\"",
        other => other,
    };
    Refusal::Other(format!("expected {wanted}"))
}

/// Returns the deserializer of a table.
pub(super) fn table(table: &Table) -> impl Deserializer<'_, Error = Refusal> {
    MapDeserializer::new(table.iter().map(|(key, value)| (key.as_str(), Node(value))))
}

/// The deserializer of a value.
#[derive(Clone, Copy)]
struct Node<'de>(&'de Value);

impl<'de> IntoDeserializer<'de, Refusal> for Node<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Node<'de> {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.0 {
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(truth) => visitor.visit_bool(*truth),
            Value::Datetime(_) => {
                Err(de::Error::invalid_type(Unexpected::Other("a date"), &visitor))
            }
            Value::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.iter().map(Node))),
            Value::Table(entries) => table(entries).deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    /// Requires a table: serde also accepts an array of a struct's values in order.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        if self.0.is_table() {
            self.deserialize_any(visitor)
        } else {
            Err(expected("a section of keys"))
        }
    }

    /// Requires a string.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        match self.0 {
            Value::String(text) => visitor.visit_enum(StrDeserializer::new(text)),
            _ => Err(de::Error::unknown_variant("", variants)),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map identifier ignored_any
    }
}
