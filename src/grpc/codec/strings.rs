//! The strings of a message that prost refuses, because protobuf allows only UTF-8 in them.
//!
//! prost refuses such a message as a whole, and does not say which string is wrong. Then, and only then, the strings are
//! found by the field numbers of the compiled `proto/`, which covers every message.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::LazyLock,
};

use bytes::{BufMut, Bytes};
use prost::{
    DecodeError, Message as _, Name as _,
    encoding::{encode_varint, encoded_len_varint},
};
use prost_types::{
    DescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

use super::{Field, next_field};
use crate::grpc::{
    convert::Violations,
    v1::{ExplainEmbedRequest, FILE_DESCRIPTOR_SET, InvalidText, RequestOptions},
};

/// Replaces each invalid sequence of bytes, as in [`String::from_utf8_lossy`].
const REPLACEMENT: &str = "\u{fffd}";

/// The description of a violation.
const DESCRIPTION: &str =
    "must be well-formed UTF-8; options.invalid_text = INVALID_TEXT_REPLACE repairs it";

/// A message that prost does not decode.
#[derive(Clone, thiserror::Error)]
#[error("undecodable message")]
pub(in crate::grpc) struct Undecodable {
    /// The full name of its type.
    pub(super) type_name: String,
    pub(super) message: Bytes,
}

/// Shows the size only: the message has texts.
impl fmt::Debug for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Undecodable({}, {} bytes)", self.type_name, self.message.len())
    }
}

/// The field that all requests with strings have.
#[derive(Clone, PartialEq, prost::Message)]
struct WithOptions {
    #[prost(message, optional, tag = "15")]
    options: Option<RequestOptions>,
}

/// The one request that has another within it.
#[derive(Clone, PartialEq, prost::Message)]
struct Explained {
    #[prost(message, optional, tag = "1")]
    request: Option<WithOptions>,
}

impl Undecodable {
    /// Returns the size of the message in bytes.
    pub(in crate::grpc) fn len(&self) -> usize {
        self.message.len()
    }

    /// Returns whether the caller wants invalid texts to be repaired.
    pub(in crate::grpc) fn wants_repair(&self) -> bool {
        let request = if self.type_name == ExplainEmbedRequest::full_name() {
            Explained::decode(&*self.message).ok().and_then(|explained| explained.request)
        } else {
            WithOptions::decode(&*self.message).ok()
        };
        let message = request.unwrap_or_default();
        message.options.unwrap_or_default().invalid_text() == InvalidText::Replace
    }

    /// Returns a violation for each string that is not UTF-8. An error: the message is malformed otherwise.
    pub(in crate::grpc) fn violations(&self) -> Result<Violations, DecodeError> {
        let mut violations = Violations::default();
        find(&Strings::of(&self.type_name), &self.message, "", &mut violations)?;
        Ok(violations)
    }

    /// Measures the repaired message. An error: the message is malformed otherwise.
    pub(in crate::grpc) fn repair(&self) -> Result<Repair<'_>, DecodeError> {
        let (strings, mut lengths) = (Strings::of(&self.type_name), Vec::new());
        let length = measure(&strings, &self.message, &mut lengths)?;
        Ok(Repair { message: &self.message, strings, lengths, length })
    }
}

/// A repaired message that is not written yet.
pub(in crate::grpc) struct Repair<'a> {
    message: &'a [u8],
    strings: Strings,
    /// The repaired length of each string, and of each message with strings, in their order.
    lengths: Vec<usize>,
    length: usize,
}

impl Repair<'_> {
    /// Returns the size of the repaired message in bytes.
    pub(in crate::grpc) const fn len(&self) -> usize {
        self.length
    }

    /// Writes the repaired message.
    pub(in crate::grpc) fn write(self, out: &mut impl BufMut) -> Result<(), DecodeError> {
        write(&self.strings, self.message, &mut self.lengths.into_iter(), out)
    }
}

/// The fields of a message that are strings or have strings, by number.
#[derive(Debug, Default)]
struct Strings(BTreeMap<u32, StringField>);

#[derive(Debug)]
struct StringField {
    name: String,
    is_repeated: bool,
    /// The strings of a message; `None` for a string.
    of: Option<Strings>,
}

impl Strings {
    /// Returns the strings of a message type, by its full name.
    fn of(type_name: &str) -> Self {
        Self::within(type_name, &[])
    }

    /// Leaves out the messages that contain themselves: no request has one, and a caller could nest them without end.
    fn within(type_name: &str, outer: &[&str]) -> Self {
        static TYPES: LazyLock<HashMap<String, DescriptorProto>> = LazyLock::new(types);
        let Some(message) = TYPES.get(type_name) else { return Self::default() };
        let path = [outer, &[type_name]].concat();
        let strings = message.field.iter().filter_map(|field| {
            let of = match field.r#type() {
                Type::String => None,
                Type::Message => {
                    let inner = field.type_name().trim_start_matches('.');
                    let is_new = !path.contains(&inner);
                    Some(Self::within(inner, &path))
                        .filter(|of| is_new && !of.0.is_empty())
                        .map(Some)?
                }
                _ => return None,
            };
            let is_repeated = field.label() == Label::Repeated;
            let number = u32::try_from(field.number()).ok()?;
            Some((number, StringField { name: field.name().to_owned(), is_repeated, of }))
        });
        Self(strings.collect())
    }

    /// Returns a field with strings, and its content.
    fn find<'m>(&self, field: &Field<'m>) -> Result<Option<(&StringField, &'m [u8])>, DecodeError> {
        let Some(known) = self.0.get(&field.number) else { return Ok(None) };
        Ok(field.content()?.map(|content| (known, content)))
    }
}

/// Returns the message types of the compiled `proto/`, by their full names.
fn types() -> HashMap<String, DescriptorProto> {
    // Reflection reads it at the start: there, a broken one is an error.
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap_or_default();
    let files = set.file.into_iter();
    files
        .flat_map(|file| {
            let package = file.package().to_owned();
            let messages = file.message_type.into_iter();
            messages.map(move |message| (format!("{package}.{}", message.name()), message))
        })
        .collect()
}

/// Finds the strings that are not UTF-8.
fn find(
    strings: &Strings,
    mut message: &[u8],
    path: &str,
    violations: &mut Violations,
) -> Result<(), DecodeError> {
    let mut counts = HashMap::<u32, usize>::new();
    while !message.is_empty() {
        let field = next_field(&mut message)?;
        let Some((known, content)) = strings.find(&field)? else { continue };
        let index = counts.entry(field.number).or_default();
        let name = || {
            let index = if known.is_repeated { format!("[{index}]") } else { String::new() };
            format!("{path}{}{index}", known.name)
        };
        match &known.of {
            Some(inner) => find(inner, content, &format!("{}.", name()), violations)?,
            None if str::from_utf8(content).is_err() => {
                violations.add(name(), "INVALID_UTF8", DESCRIPTION);
            }
            None => {}
        }
        *index += 1;
    }
    Ok(())
}

/// Returns the length of the repaired message, and adds those of its parts to `lengths`.
fn measure(
    strings: &Strings,
    mut message: &[u8],
    lengths: &mut Vec<usize>,
) -> Result<usize, DecodeError> {
    let mut total = 0;
    while !message.is_empty() {
        let field = next_field(&mut message)?;
        total += field.key.len();
        let Some((known, content)) = strings.find(&field)? else {
            total += field.value.len();
            continue;
        };
        let place = lengths.len();
        lengths.push(0);
        let length = match &known.of {
            Some(inner) => measure(inner, content, lengths)?,
            None => repaired(content).map(str::len).sum(),
        };
        lengths[place] = length;
        total += encoded_len_varint(length as u64) + length;
    }
    Ok(total)
}

/// Writes the repaired message; `lengths` are those that [`measure`] added.
fn write(
    strings: &Strings,
    mut message: &[u8],
    lengths: &mut std::vec::IntoIter<usize>,
    out: &mut impl BufMut,
) -> Result<(), DecodeError> {
    while !message.is_empty() {
        let field = next_field(&mut message)?;
        out.put_slice(field.key);
        let Some((known, content)) = strings.find(&field)? else {
            out.put_slice(field.value);
            continue;
        };
        encode_varint(lengths.next().unwrap_or_default() as u64, out);
        match &known.of {
            Some(inner) => write(inner, content, lengths, out)?,
            None => repaired(content).for_each(|piece| out.put_slice(piece.as_bytes())),
        }
    }
    Ok(())
}

/// Returns the pieces of a repaired string.
fn repaired(string: &[u8]) -> impl Iterator<Item = &str> {
    string.utf8_chunks().flat_map(|chunk| {
        let replacement = if chunk.invalid().is_empty() { "" } else { REPLACEMENT };
        [chunk.valid(), replacement]
    })
}

#[cfg(test)]
mod tests;
