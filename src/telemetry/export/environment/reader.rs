//! Reading one variable, and noting an invalid value.

use std::time::Duration;

use percent_encoding::percent_decode_str;

/// A variable whose value is invalid. The value is not kept: it may be a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidVariable {
    /// Its name.
    pub variable: String,
    /// The values that are valid.
    pub expected: &'static str,
}

/// Reads variables and collects the invalid ones.
pub(super) struct VariableReader<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
    invalid: Vec<InvalidVariable>,
}

impl<'a> VariableReader<'a> {
    pub(super) fn new(get: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { get, invalid: Vec::new() }
    }

    pub(super) fn invalid(self) -> Vec<InvalidVariable> {
        self.invalid
    }

    /// Returns a value. An empty one is unset, as the specification requires.
    pub(super) fn text(&self, variable: &str) -> Option<String> {
        let value = (self.get)(variable)?;
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// Notes an invalid variable, once.
    pub(super) fn reject(&mut self, variable: &str, expected: &'static str) {
        let invalid = InvalidVariable { variable: variable.to_owned(), expected };
        if !self.invalid.contains(&invalid) {
            self.invalid.push(invalid);
        }
    }

    /// Returns the first value that is set and valid, of several forms of a variable.
    pub(super) fn parsed<T>(
        &mut self,
        forms: &[impl AsRef<str>],
        expected: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        forms.iter().map(AsRef::as_ref).find_map(|variable| {
            let parsed = parse(&self.text(variable)?);
            if parsed.is_none() {
                self.reject(variable, expected);
            }
            parsed
        })
    }

    pub(super) fn flag(&mut self, forms: &[impl AsRef<str>]) -> Option<bool> {
        self.parsed(forms, "true or false", |value| value.to_ascii_lowercase().parse().ok())
    }

    /// A number of spans, 1 to a million: the SDK allocates memory for as many.
    pub(super) fn number(&mut self, variable: &str) -> Option<usize> {
        self.parsed(&[variable], "a whole number, 1 to 1000000", |value| {
            value.parse().ok().filter(|number| (1..=1_000_000).contains(number))
        })
    }

    /// Milliseconds, from 1 to a day.
    pub(super) fn millis(&mut self, forms: &[impl AsRef<str>]) -> Option<Duration> {
        self.parsed(forms, "milliseconds, 1 to 86400000", |value| {
            let millis = value.parse().ok().filter(|millis| (1..=86_400_000).contains(millis));
            millis.map(Duration::from_millis)
        })
    }
}

/// Parses `key=value,key2=value2` with percent-encoded values. One invalid pair makes all of it invalid.
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

/// Decodes percent-encoding; `None` when it is malformed or the result is not UTF-8.
fn decoded(text: &str) -> Option<String> {
    let is_escape = |rest: &str| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    text.split('%').skip(1).all(is_escape).then(|| decoded.into_owned())
}
