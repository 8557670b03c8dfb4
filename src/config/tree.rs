//! Merges the sources into one TOML tree and reads it. All problems are collected.

use std::{collections::BTreeMap, path::Path};

use serde::de::DeserializeOwned;
use serde_path_to_error::{Path as ValuePath, Segment};
use toml::{Table, Value, de::DeTable};

use super::FILE_VARIABLE;
use super::{Problems, Sources, path::KeyPath, read};
use crate::check::Violation;

/// The prefix of variables that set a key.
const VARIABLE_PREFIX: &str = "VOYAGE_GATEWAY__";

/// The merged sources.
#[derive(Default)]
pub(super) struct Tree {
    table: Table,
    /// The path of the file, which is the origin of all keys that are not in `overrides`.
    file: Option<String>,
    /// Whether the file could not be read: then the values of keys that are not in `overrides` are unknown.
    incomplete: bool,
    overrides: BTreeMap<KeyPath, Override>,
    /// The keys with problems.
    faulty: Vec<KeyPath>,
    problems: Vec<String>,
}

/// A value of the environment or of `--set`.
struct Override {
    text: String,
    /// The variable's name, or `--set`.
    origin: String,
}

impl Tree {
    /// Merges the sources; later ones take precedence.
    pub(super) fn gather(sources: &Sources, content: Option<Result<Vec<u8>, String>>) -> Self {
        let mut tree = Self::default();
        if let (Some(file), Some(content)) = (sources.file(), content) {
            tree.read_file(&file, content);
        }
        // The variables are sorted: a section's own variable precedes those of its keys.
        for (name, text) in &sources.environment.0 {
            let path = name.strip_prefix(VARIABLE_PREFIX).map(KeyPath::parse_variable);
            match (path, text) {
                (None, _) if name != FILE_VARIABLE => {}
                (_, None) => tree.problem(None, Some(name), "expected UTF-8"),
                (None, Some(_)) => {}
                (Some(Some(path)), Some(text)) => tree.put(path, text, name),
                (Some(None), Some(_)) => {
                    tree.problem(None, Some(name), "the name must be VOYAGE_GATEWAY__SECTION__KEY");
                }
            }
        }
        for text in &sources.set {
            match KeyPath::parse_assignment(text) {
                Some((path, value)) => tree.put(path, value, "--set"),
                None => tree.problem(None, Some("--set"), "expected section.key=value"),
            }
        }
        tree
    }

    /// Reads the tree into `T`. An invalid value is reported and removed, so that the others are read as well.
    pub(super) fn read<T: DeserializeOwned + Default>(&mut self) -> T {
        loop {
            let error = match serde_path_to_error::deserialize(read::table(&self.table)) {
                Ok(config) => return config,
                Err(error) => error,
            };
            let (path, inside) = split_at_array(error.path());
            if inside.is_empty() && self.take_as_text(&path) {
                continue;
            }
            let mut what = format!("{inside}{}", error.inner());
            let has_item = |key: &KeyPath| *key != path && path.contains(key);
            if what == "expected a list" && self.overrides.keys().any(has_item) {
                what += ", which is set as a whole: no item of it can be set alone";
            }
            self.problem(Some(&path), self.origin(&path).as_deref(), &what);
            let removed = self.remove(&path);
            self.faulty.push(path);
            if removed.is_none() {
                return T::default();
            }
        }
    }

    /// Reports a violation, unless the value of one of its keys is unknown.
    pub(super) fn report(&mut self, section: &str, violation: &Violation) {
        let keys: Vec<KeyPath> =
            violation.keys.iter().filter_map(|key| KeyPath::parse(section, key)).collect();
        if keys.iter().all(|key| self.knows(key)) {
            let origin = keys.first().and_then(|key| self.origin(key));
            self.problem(keys.first(), origin.as_deref(), &violation.requirement);
        }
    }

    /// Returns the problems, if any.
    pub(super) fn finish(self) -> Result<(), Problems> {
        if self.problems.is_empty() { Ok(()) } else { Err(Problems(self.problems)) }
    }

    /// Reads the file into the empty tree.
    fn read_file(&mut self, path: &Path, content: Result<Vec<u8>, String>) {
        let utf8 = |content| String::from_utf8(content).map_err(|_| "it is not UTF-8".to_owned());
        let text = content.and_then(utf8);
        let text = text.map_err(|problem| format!("cannot be read: {problem}"));
        let file = path.display().to_string();
        match text.and_then(|text| parse(&text)) {
            Ok(table) => self.table = table,
            Err(what) => {
                self.incomplete = true;
                self.problem(None, Some(&file), &what);
            }
        }
        self.file = Some(file);
    }

    /// Sets a key to `text`, parsed as TOML if possible. A table replaces the whole section.
    fn put(&mut self, path: KeyPath, text: &str, origin: &str) {
        let value = text.parse().unwrap_or_else(|_| Value::String(text.to_owned()));
        self.insert(&path, value);
        self.overrides.retain(|earlier, _| !path.contains(earlier));
        let (text, origin) = (text.to_owned(), origin.to_owned());
        self.overrides.insert(path, Override { text, origin });
    }

    /// Inserts a value, and the sections that contain it.
    fn insert(&mut self, path: &KeyPath, value: Value) {
        let Some((key, sections)) = path.0.split_last() else { return };
        let mut table = &mut self.table;
        for section in sections {
            let entry = table.entry(section.as_str()).or_insert_with(|| Value::Table(Table::new()));
            if !entry.is_table() {
                *entry = Value::Table(Table::new());
            }
            let Value::Table(inner) = entry else { return };
            table = inner;
        }
        table.insert(key.clone(), value);
    }

    /// Removes a key and returns its value.
    fn remove(&mut self, path: &KeyPath) -> Option<Value> {
        let (key, sections) = path.0.split_last()?;
        let section = sections
            .iter()
            .try_fold(&mut self.table, |table, key| table.get_mut(key)?.as_table_mut());
        section?.remove(key)
    }

    fn get(&self, path: &KeyPath) -> Option<&Value> {
        let (first, rest) = path.0.split_first()?;
        rest.iter().try_fold(self.table.get(first)?, |value, key| value.get(key))
    }

    /// Replaces a value that was parsed as TOML by its text: a model's name may be `123`. Returns false if it is a
    /// string already or comes from the file.
    fn take_as_text(&mut self, path: &KeyPath) -> bool {
        let Some(Override { text, .. }) = self.overrides.get(path) else { return false };
        if self.get(path).is_none_or(Value::is_str) {
            return false;
        }
        let text = Value::String(text.clone());
        self.insert(path, text);
        true
    }

    /// Returns the origin of a key, of the section that contains it, or of a key in it.
    fn origin(&self, path: &KeyPath) -> Option<String> {
        let above = self.overrides.iter().rev().find(|(key, _)| key.contains(path));
        let below = || self.overrides.iter().find(|(key, _)| path.contains(key));
        let file = || self.get(path).and(self.file.clone());
        above.or_else(below).map(|(_, found)| found.origin.clone()).or_else(file)
    }

    /// Returns whether the value of a key is known.
    fn knows(&self, path: &KeyPath) -> bool {
        let is_faulty = self.faulty.iter().any(|faulty| faulty.contains(path));
        let is_set = || self.overrides.keys().any(|key| key.contains(path));
        !is_faulty && (!self.incomplete || is_set())
    }

    /// Adds a problem of a key, or of a whole source. `what` never contains a value.
    fn problem(&mut self, key: Option<&KeyPath>, origin: Option<&str>, what: &str) {
        self.problems.push(match (key, origin) {
            (Some(key), Some(origin)) => format!("{key}: {what} (from {origin})"),
            (Some(key), None) => format!("{key}: {what}"),
            (None, Some(origin)) => format!("{origin}: {what}"),
            (None, None) => what.to_owned(),
        });
    }
}

/// Parses a file. Errors contain the position and the expected grammar, never the text.
fn parse(text: &str) -> Result<Table, String> {
    let (error, what) = match DeTable::parse(text) {
        // The grammar's messages are fixed texts.
        Err(error) => (error.clone(), error.message().to_owned()),
        // The tree cannot hold a value. Its error quotes the value.
        Ok(_) => match text.parse() {
            Ok(table) => return Ok(table),
            Err(error) => (error, "a number is out of range".to_owned()),
        },
    };
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
        return Err(what);
    };
    let line = before.split('\n').count();
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    Err(format!("line {line}, column {column}: {what}"))
}

/// Splits a path at its first array: the key of the array, and the position in it as text.
///
/// An invalid array is removed as a whole, since its other items would change their positions.
fn split_at_array(path: &ValuePath) -> (KeyPath, String) {
    let (mut key, mut inside) = (KeyPath::default(), String::new());
    for segment in path {
        match segment {
            Segment::Seq { index } => inside = format!("{inside}item {}: ", index + 1),
            Segment::Map { key: inner } if !inside.is_empty() => {
                inside = format!("{inside}{inner:?}: ");
            }
            Segment::Map { key: inner } => key.0.push(inner.clone()),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    (key, inside)
}
