//! Gathers the sources into one TOML tree and reads it, noting every problem on the way.

use std::{collections::BTreeMap, path::PathBuf};

use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};
use toml::{Table, Value, de::DeTable};

use super::FILE_VARIABLE;
use super::{Origin, Problem, Problems, Sources, path::KeyPath, read};
use crate::{check::Violation, file};

/// What the names of variables that set a key begin with.
const VARIABLE_PREFIX: &str = "VOYAGE_GATEWAY__";

/// The merged sources.
#[derive(Default)]
pub(super) struct Tree {
    table: Table,
    /// The file, where every key comes from that is not in `overrides`.
    file: Option<PathBuf>,
    /// False when there is a file and it could not be read: then unset keys are unknown, not defaults.
    complete: bool,
    overrides: BTreeMap<KeyPath, Override>,
    /// The keys that problems were found with.
    faulty: Vec<KeyPath>,
    problems: Vec<Problem>,
}

/// A value that was given as text.
struct Override {
    text: String,
    origin: Origin,
}

impl Tree {
    /// Merges the sources, later ones over earlier ones.
    pub(super) fn gather(sources: &Sources) -> Self {
        let mut tree = Self { complete: true, ..Self::default() };
        // By name, a section's own variable comes before its keys'.
        let variables = sources.environment.sorted();

        if let Some(file) = sources.file() {
            tree.read_file(file);
        }
        for name in sources.environment.non_utf8() {
            if name.starts_with(VARIABLE_PREFIX) || name == FILE_VARIABLE {
                tree.problem(None, Some(Origin::Variable(name.clone())), "expected UTF-8");
            }
        }
        for (name, text) in variables {
            let Some(key) = name.strip_prefix(VARIABLE_PREFIX) else { continue };
            let origin = Origin::Variable(name.clone());
            match KeyPath::parse_variable(key) {
                Some(path) => tree.put(path, text, origin),
                None => tree.problem(
                    None,
                    Some(origin),
                    "the name must be VOYAGE_GATEWAY__SECTION__KEY",
                ),
            }
        }
        for text in &sources.set {
            match KeyPath::parse_assignment(text) {
                Some((path, value)) => tree.put(path, value, Origin::Set),
                None => tree.problem(None, Some(Origin::Set), "expected section.key=value"),
            }
        }
        tree
    }

    /// Reads the tree into `T`. What is refused is noted and left out, so that the rest can be read as well.
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
            // Only the file can say an item's place.
            if what == "expected a list" && self.overrides.keys().any(|key| path.is_above(key)) {
                what += ", which is set as a whole: no item of it can be set alone";
            }
            self.problem(Some(&path), self.origin(&path), &what);
            let removed = self.remove(&path);
            self.faulty.push(path);
            if removed.is_none() {
                return T::default();
            }
        }
    }

    /// Notes a violation, unless the value of one of its keys is unknown.
    pub(super) fn judge(&mut self, section: &str, violation: &Violation) {
        let keys: Vec<KeyPath> =
            violation.keys.iter().filter_map(|key| KeyPath::parse(section, key)).collect();
        if keys.iter().all(|key| self.knows(key)) {
            let origin = keys.first().and_then(|key| self.origin(key));
            self.problem(keys.first(), origin, &violation.requirement);
        }
    }

    /// Returns the problems, if there are any.
    pub(super) fn finish(self) -> Result<(), Problems> {
        if self.problems.is_empty() { Ok(()) } else { Err(Problems(self.problems)) }
    }

    /// Reads the file into the still empty tree.
    fn read_file(&mut self, file: PathBuf) {
        let text = file::read(&file)
            .and_then(|content| {
                String::from_utf8(content).map_err(|_| "it is not UTF-8".to_owned())
            })
            .map_err(|problem| format!("cannot be read: {problem}"));
        match text.and_then(|text| parse(&text)) {
            Ok(table) => self.table = table,
            Err(what) => {
                self.complete = false;
                self.problem(None, Some(Origin::File(file.clone())), &what);
            }
        }
        self.file = Some(file);
    }

    /// Sets a key to the TOML value that `text` is, or else to `text` itself.
    /// A table replaces the whole section.
    fn put(&mut self, path: KeyPath, text: &str, origin: Origin) {
        let value = text.parse().unwrap_or_else(|_| Value::String(text.to_owned()));
        self.insert(&path, value);
        self.overrides.retain(|earlier, _| !path.leads_to(earlier));
        self.overrides.insert(path, Override { text: text.to_owned(), origin });
    }

    /// Puts a value into the table, with the tables that lead to it.
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

    /// Takes a key out of the table; `None` when it is not there.
    fn remove(&mut self, path: &KeyPath) -> Option<Value> {
        let (key, sections) = path.0.split_last()?;
        let section = sections
            .iter()
            .try_fold(&mut self.table, |table, key| table.get_mut(key)?.as_table_mut());
        section?.remove(key)
    }

    /// Returns the value of a key.
    fn get(&self, path: &KeyPath) -> Option<&Value> {
        let (key, sections) = path.0.split_last()?;
        let section =
            sections.iter().try_fold(&self.table, |table, key| table.get(key)?.as_table());
        section?.get(key)
    }

    /// Puts the text in place of a value that was read as something else: a model may be called `123`.
    /// Returns false when that is not possible or was done before.
    fn take_as_text(&mut self, path: &KeyPath) -> bool {
        let Some(Override { text, .. }) = self.overrides.get(path) else { return false };
        if self.get(path).is_none_or(Value::is_str) {
            return false;
        }
        let text = Value::String(text.clone());
        self.insert(path, text);
        true
    }

    /// Returns where a key was set: itself, the section it is in, or a key in it.
    fn origin(&self, path: &KeyPath) -> Option<Origin> {
        let above = self.overrides.iter().rev().find(|(key, _)| key.leads_to(path));
        let below = || self.overrides.iter().find(|(key, _)| path.leads_to(key));
        let file = || Some(Origin::File(self.get(path).and(self.file.clone())?));
        above.or_else(below).map(|(_, found)| found.origin.clone()).or_else(file)
    }

    /// Tells whether the value of a key is known.
    fn knows(&self, path: &KeyPath) -> bool {
        let is_faulty = self.faulty.iter().any(|faulty| faulty.leads_to(path));
        let is_set = || self.overrides.keys().any(|key| key.leads_to(path));
        !is_faulty && (self.complete || is_set())
    }

    fn problem(&mut self, key: Option<&KeyPath>, origin: Option<Origin>, what: &str) {
        self.problems.push(Problem {
            key: key.map(KeyPath::to_string),
            origin,
            what: what.to_owned(),
        });
    }
}

/// Parses a file. Errors give the place and what the grammar wants there, never what stands there.
fn parse(text: &str) -> Result<Table, String> {
    let (error, what) = match DeTable::parse(text) {
        // The grammar's messages are fixed texts.
        Err(error) => (error.clone(), error.message().to_owned()),
        // What the grammar allows and the tree cannot hold. This error would quote it.
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

/// Splits a path at the first array in it: the key of the array, and words for the place inside.
///
/// Only an array as a whole can be left out, or its other items would change places.
fn split_at_array(path: &Path) -> (KeyPath, String) {
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
