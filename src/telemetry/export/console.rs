//! The console exporter: what a person wants to see of a trace, as a tree on standard output.

mod metrics;
mod tree;

use std::{
    collections::HashMap,
    fmt,
    io::{self, Write},
};

use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::trace::SpanData;
use parking_lot::Mutex;

pub(super) use metrics::points;

/// Spans that wait for their trace's end; beyond, everything is shown as it is.
const MOST_WAITING: usize = 10_000;

/// Shows each trace when its root has ended.
pub(super) struct Console {
    inside: Mutex<Inside>,
}

struct Inside {
    out: Box<dyn Write + Send>,
    waiting: HashMap<TraceId, Vec<SpanData>>,
}

impl Console {
    /// Writes to standard output, as the specification says.
    pub(super) fn new() -> Self {
        Self::to(io::stdout())
    }

    fn to(out: impl Write + Send + 'static) -> Self {
        let inside = Inside { out: Box::new(out), waiting: HashMap::new() };
        Self { inside: Mutex::new(inside) }
    }

    /// Takes spans that ended, and shows the traces that are whole.
    pub(super) fn spans(&self, batch: &[SpanData]) {
        let mut inside = self.inside.lock();
        for span in batch {
            let trace = inside.waiting.entry(span.span_context.trace_id()).or_default();
            trace.push(span.clone());
        }
        let full = inside.waiting.values().map(Vec::len).sum::<usize>() > MOST_WAITING;
        inside.show(|spans| full || spans.iter().any(is_root));
    }

    /// Shows what is left.
    pub(super) fn finish(&self) {
        let mut inside = self.inside.lock();
        inside.show(|_| true);
    }
}

/// Tells whether a span is the first of its trace in this process, and so the last to end.
fn is_root(span: &SpanData) -> bool {
    span.parent_span_id == SpanId::INVALID || span.parent_span_is_remote
}

impl Inside {
    fn show(&mut self, is_whole: impl Fn(&[SpanData]) -> bool) {
        let spans = self.waiting.values().flatten();
        let names: HashMap<_, _> =
            spans.map(|span| (span.span_context.span_id(), span.name.clone())).collect();
        let mut whole: Vec<_> =
            self.waiting.extract_if(|_, spans| is_whole(spans)).map(|(_, spans)| spans).collect();
        // A request's trace before the batch that it began.
        whole.sort_by_key(|spans| spans.iter().map(|span| span.start_time).min());
        let text: String = whole.iter().map(|spans| tree::render(spans, &names)).collect();
        // In one piece, so that nothing comes between its lines; a closed output leaves nobody to tell.
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Console")
    }
}

#[cfg(test)]
mod tests;
