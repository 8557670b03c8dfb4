//! The parts that all replies share: numbered entries, and usage.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{error::BadResponse, item::Usage};

/// The fields of a reply that are used.
#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub(super) struct Reply<'a, T> {
    pub(super) data: Vec<T>,
    /// Any JSON: an invalid number must not lose the answers, which are paid for.
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    /// Any JSON, for the same reason.
    #[serde(borrow, default)]
    chunker_version: Option<&'a RawValue>,
}

impl<'a, T: Deserialize<'a>> Reply<'a, T> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, BadResponse> {
        // From bytes, serde_json would not look into the strings it skips: JSON is UTF-8 throughout.
        str::from_utf8(body)
            .ok()
            .and_then(|body| serde_json::from_str(body).ok())
            .ok_or_else(|| wrong("the body is not the documented JSON"))
    }

    /// Returns what Voyage bills.
    pub(super) fn usage(&self) -> Option<Usage> {
        self.usage.and_then(parse_usage)
    }

    /// Returns the version of the division into chunks.
    pub(super) fn chunker_version(&self) -> Option<String> {
        serde_json::from_str(self.chunker_version?.get()).ok()
    }
}

/// Parses only the usage that a reply reports.
pub(in crate::upstream) fn reported_usage(body: &[u8]) -> Option<Usage> {
    #[derive(Deserialize)]
    struct Report<'a> {
        #[serde(borrow)]
        usage: &'a RawValue,
    }
    let report: Report<'_> = serde_json::from_slice(body).ok()?;
    parse_usage(report.usage)
}

/// Parses a usage; `None` when there is no whole number of tokens. Other numbers are 0 then.
fn parse_usage(usage: &RawValue) -> Option<Usage> {
    // A struct could be written as a list as well.
    let usage: HashMap<String, &RawValue> = serde_json::from_str(usage.get()).ok()?;
    let number = |name| usage.get(name)?.get().parse().ok();
    Some(Usage {
        tokens: number("total_tokens")?,
        text_tokens: number("text_tokens").unwrap_or_default(),
        image_pixels: number("image_pixels").unwrap_or_default(),
        video_pixels: number("video_pixels").unwrap_or_default(),
    })
}

/// An entry with its position.
pub(super) struct Numbered<T> {
    pub(super) index: Option<u64>,
    pub(super) entry: T,
}

/// Returns the entries in the order of their positions, which are those from 0 to `count`, each once.
pub(super) fn in_order<T>(
    count: usize,
    entries: impl ExactSizeIterator<Item = Numbered<T>>,
) -> Result<Vec<T>, BadResponse> {
    if entries.len() != count {
        return Err(miscounted("the number of answers", count, entries.len()));
    }
    let mut slots: Vec<Option<T>> = (0..count).map(|_| None).collect();
    for Numbered { index, entry } in entries {
        let index = index.ok_or_else(|| wrong("an answer has no index"))?;
        let slot = usize::try_from(index)
            .ok()
            .and_then(|index| slots.get_mut(index))
            .ok_or_else(|| miscounted("an index is out of range", count, index))?;
        if slot.is_some() {
            return Err(miscounted("an index came twice", count, index));
        }
        *slot = Some(entry);
    }
    // `count` distinct indices below `count` fill every slot, so `flatten` loses nothing.
    Ok(slots.into_iter().flatten().collect())
}

pub(super) fn wrong(why: &'static str) -> BadResponse {
    BadResponse { why, expected: None, got: None }
}

pub(super) fn miscounted(
    why: &'static str,
    expected: impl TryInto<u64>,
    got: impl TryInto<u64>,
) -> BadResponse {
    BadResponse { why, expected: expected.try_into().ok(), got: got.try_into().ok() }
}
