//! How large one span may be: the limits of `OTEL_SPAN_*` and `OTEL_ATTRIBUTE_*`.

use opentelemetry::{KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::SpanData;

/// The most that a span holds; what is beyond is counted and left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Attributes of a span.
    pub attributes: usize,
    /// Characters of a text among the values; `None`: any number.
    pub value_length: Option<usize>,
    /// Events of a span.
    pub events: usize,
    /// Links of a span.
    pub links: usize,
    /// Attributes of an event.
    pub event_attributes: usize,
    /// Attributes of a link.
    pub link_attributes: usize,
}

/// The specification's.
impl Default for Limits {
    fn default() -> Self {
        Self {
            attributes: 128,
            value_length: None,
            events: 128,
            links: 128,
            event_attributes: 128,
            link_attributes: 128,
        }
    }
}

impl Limits {
    /// Cuts a span to size.
    pub(super) fn apply(&self, span: &mut SpanData) {
        span.dropped_attributes_count += self.cut(&mut span.attributes, self.attributes);
        span.events.dropped_count += shorten(&mut span.events.events, self.events);
        for event in &mut span.events.events {
            event.dropped_attributes_count +=
                self.cut(&mut event.attributes, self.event_attributes);
        }
        span.links.dropped_count += shorten(&mut span.links.links, self.links);
        for link in &mut span.links.links {
            link.dropped_attributes_count += self.cut(&mut link.attributes, self.link_attributes);
        }
    }

    fn cut(&self, attributes: &mut Vec<KeyValue>, most: usize) -> u32 {
        let dropped = shorten(attributes, most);
        if let Some(length) = self.value_length {
            for KeyValue { value, .. } in attributes {
                cut_text(value, length);
            }
        }
        dropped
    }
}

fn cut_text(value: &mut Value, length: usize) {
    if let Value::String(text) = value
        && let Some((end, _)) = text.as_str().char_indices().nth(length)
    {
        let shorter = text.as_str()[..end].to_owned();
        *text = StringValue::from(shorter);
    }
}

/// Keeps the first `most`, and returns how many went.
fn shorten<T>(items: &mut Vec<T>, most: usize) -> u32 {
    let dropped = items.len().saturating_sub(most);
    items.truncate(most);
    u32::try_from(dropped).unwrap_or(u32::MAX)
}
