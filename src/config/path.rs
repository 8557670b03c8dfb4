//! Dotted keys of the tree, such as `limits.models."voyage-3.5".rpm`.

use std::fmt;

/// The segments of a dotted key.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyPath(pub(super) Vec<String>);

impl KeyPath {
    /// Splits `section.key=value` into the key and the value. A segment with other characters than `A-Z a-z 0-9 _ -`
    /// must be in single or double quotes.
    pub(super) fn parse_assignment(text: &str) -> Option<(Self, &str)> {
        let (mut path, mut rest) = (Self::default(), text);
        loop {
            let (segment, after) = split_segment(rest)?;
            path.0.push(segment.to_owned());
            if let Some(value) = after.strip_prefix('=') {
                return Some((path, value));
            }
            rest = after.strip_prefix('.')?;
        }
    }

    /// Returns the path of a dotted key in `section`, or in the root if `section` is empty. `None`: invalid.
    pub(super) fn parse(section: &str, key: &str) -> Option<Self> {
        let dot = if section.is_empty() { "" } else { "." };
        Self::parse_assignment(&format!("{section}{dot}{key}=")).map(|(path, _)| path)
    }

    /// Returns the path of `SECTION__KEY`, a variable's name without its prefix. `None`: invalid.
    pub(super) fn parse_variable(name: &str) -> Option<Self> {
        let segments: Vec<String> = name.split("__").map(str::to_ascii_lowercase).collect();
        (!segments.iter().any(String::is_empty)).then_some(Self(segments))
    }

    /// Returns whether this is `other` or a section that contains it.
    pub(super) fn contains(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `Debug` also escapes control characters, so that a key cannot forge a line of the report.
        let shown = |segment: &String| {
            if is_bare(segment) { segment.clone() } else { format!("{segment:?}") }
        };
        f.write_str(&self.0.iter().map(shown).collect::<Vec<_>>().join("."))
    }
}

/// Splits the first segment off a dotted path.
fn split_segment(text: &str) -> Option<(&str, &str)> {
    for quote in ['"', '\''] {
        if let Some(quoted) = text.strip_prefix(quote) {
            return quoted.split_once(quote);
        }
    }
    let (segment, rest) = text.split_at(text.find(['.', '='])?);
    is_bare(segment).then_some((segment, rest))
}

/// Returns whether a segment needs no quotes.
fn is_bare(segment: &str) -> bool {
    !segment.is_empty()
        && segment.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}
