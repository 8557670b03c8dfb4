//! Reading one variable, and what is wrong with it.

use std::{str::FromStr, time::Duration};

/// A variable whose value makes no sense. The value is not kept: it may be a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its name.
    pub variable: String,
    /// What its value should have been.
    pub expected: &'static str,
}

/// The variables, and the problems with those that were read.
pub(super) struct Reader<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(get: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { get, problems: Vec::new() }
    }

    pub(super) fn problems(self) -> Vec<Problem> {
        self.problems
    }

    /// Returns a value; the specification has an empty one be none.
    pub(super) fn text(&self, variable: &str) -> Option<String> {
        let value = (self.get)(variable)?;
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// Notes that a value makes no sense, once.
    pub(super) fn refuse(&mut self, variable: &str, expected: &'static str) {
        let problem = Problem { variable: variable.to_owned(), expected };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Returns what a value means, if it has one and means something.
    pub(super) fn parsed<T>(
        &mut self,
        variable: &str,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = self.text(variable)?;
        let parsed = parse(&value);
        if parsed.is_none() {
            self.refuse(variable, expected);
        }
        parsed
    }

    pub(super) fn flag(&mut self, variable: &str) -> Option<bool> {
        self.parsed(variable, "true or false", |value| value.to_ascii_lowercase().parse().ok())
    }

    /// A whole number of spans, 1 to a million: the SDK sets memory aside for as many.
    pub(super) fn number(&mut self, variable: &str) -> Option<usize> {
        self.parsed(variable, "a whole number, 1 to 1000000", |value| {
            value.parse().ok().filter(|number| (1..=1_000_000).contains(number))
        })
    }

    /// A whole number from 0.
    pub(super) fn count(&mut self, variable: &str) -> Option<usize> {
        self.parsed(variable, "a whole number", |value| usize::from_str(value).ok())
    }

    /// A time in milliseconds, from 1 to a day: longer is a mistake.
    pub(super) fn millis(&mut self, variable: &str) -> Option<Duration> {
        self.parsed(variable, "milliseconds, 1 to 86400000", |value| {
            let millis = value.parse().ok().filter(|millis| (1..=86_400_000).contains(millis));
            millis.map(Duration::from_millis)
        })
    }
}

/// Reads `key=value,key2=value2`, where values are percent-encoded; one bad pair spoils all of it.
pub(super) fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=')?;
            let key = decoded(key.trim()).filter(|key| !key.is_empty())?;
            Some((key, decoded(value.trim())?))
        })
        .collect()
}

/// Undoes percent-encoding; `None` when what it gives is no text.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        bytes.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(bytes).ok()
}
