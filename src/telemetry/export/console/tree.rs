//! One trace as text.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    fmt::Write as _,
};

use opentelemetry::{
    KeyValue,
    trace::{Link, SpanId, SpanKind, Status},
};
use opentelemetry_sdk::trace::SpanData;

/// Characters of one value.
const MOST_CHARS: usize = 80;

/// Links of one span.
const MOST_LINKS: usize = 8;

/// Draws a trace; `names` has the spans that links may lead to.
pub(super) fn render(spans: &[SpanData], names: &HashMap<SpanId, Cow<'static, str>>) -> String {
    let Some(first) = spans.first() else { return String::new() };
    let mut children: HashMap<SpanId, Vec<&SpanData>> = HashMap::new();
    let ids: HashSet<_> = spans.iter().map(|span| span.span_context.span_id()).collect();
    let mut ordered: Vec<_> = spans.iter().collect();
    ordered.sort_by_key(|span| span.start_time);
    let (inner, roots): (Vec<_>, Vec<_>) =
        ordered.into_iter().partition(|span| ids.contains(&span.parent_span_id));
    for span in inner {
        children.entry(span.parent_span_id).or_default().push(span);
    }
    let mut tree = Tree { text: String::new(), children, names };
    let _ = writeln!(tree.text, "trace {}", first.span_context.trace_id());
    for (place, root) in roots.iter().enumerate() {
        tree.span(root, "", place + 1 == roots.len());
    }
    tree.text.push('\n');
    tree.text
}

struct Tree<'a> {
    text: String,
    children: HashMap<SpanId, Vec<&'a SpanData>>,
    names: &'a HashMap<SpanId, Cow<'static, str>>,
}

impl Tree<'_> {
    fn span(&mut self, span: &SpanData, indent: &str, is_last: bool) {
        let (branch, below) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let taken = span.end_time.duration_since(span.start_time).unwrap_or_default();
        let millis = taken.as_secs_f64() * 1e3;
        let name = span.name.escape_debug();
        let kind = kind(&span.span_kind);
        let _ = write!(self.text, "{indent}{branch}{name}  {millis:.3} ms{kind}");
        if let Status::Error { description } = &span.status {
            let _ = write!(self.text, "  ERROR {}", shown(description));
        }
        self.attributes(&span.attributes);
        let indent = format!("{indent}{below}");
        for event in span.events.iter() {
            let since = event.timestamp.duration_since(span.start_time).unwrap_or_default();
            let millis = since.as_secs_f64() * 1e3;
            let _ = write!(self.text, "{indent}• {} at {millis:.3} ms", event.name.escape_debug());
            self.attributes(&event.attributes);
        }
        self.links(&span.links, &indent);
        // Taken out, so that a circle of parents has an end.
        let children = self.children.remove(&span.span_context.span_id()).unwrap_or_default();
        for (place, child) in children.iter().enumerate() {
            self.span(child, &indent, place + 1 == children.len());
        }
    }

    /// Ends a line with attributes.
    fn attributes(&mut self, attributes: &[KeyValue]) {
        for KeyValue { key, value, .. } in attributes {
            let key = key.as_str().escape_debug();
            let _ = write!(self.text, "  {key}={}", shown(&value.to_string()));
        }
        self.text.push('\n');
    }

    fn links(&mut self, links: &[Link], indent: &str) {
        for Link { span_context: to, .. } in links.iter().take(MOST_LINKS) {
            let (span, trace) = (to.span_id(), to.trace_id());
            let name = self.names.get(&span).map(|name| name.escape_debug().to_string());
            let name = name.unwrap_or_else(|| "a span".to_owned());
            let _ = writeln!(self.text, "{indent}→ linked to {name} ({span}) of trace {trace}");
        }
        let more = links.len().saturating_sub(MOST_LINKS);
        if more > 0 {
            let _ = writeln!(self.text, "{indent}→ and to {more} more");
        }
    }
}

fn kind(kind: &SpanKind) -> &'static str {
    match kind {
        SpanKind::Server => "  server",
        SpanKind::Client => "  client",
        SpanKind::Producer => "  producer",
        SpanKind::Consumer => "  consumer",
        SpanKind::Internal => "",
    }
}

/// A value on a terminal: short, and without anything that would steer it.
fn shown(value: &str) -> String {
    let mut text: String = value.chars().take(MOST_CHARS).flat_map(char::escape_debug).collect();
    if value.chars().nth(MOST_CHARS).is_some() {
        text.push('…');
    }
    text
}
