//! A span: what it is of, while it lasts; written to the sink when it is dropped.

use std::{borrow::Cow, sync::Arc};

use opentelemetry::{
    Array, InstrumentationScope, KeyValue, Value,
    trace::{Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks, SpanProcessor};
use tokio::time::Instant;

use super::{anchor::Anchor, context, fan_in::FanIn, new_span_id};
use crate::telemetry::semconv;

/// Links one span has at most; further ones are counted.
pub const MAX_LINKS: usize = 128;

/// Events one span has at most; further ones are counted.
const MAX_EVENTS: usize = 128;

/// What the recorded spans of one trace share.
#[derive(Debug)]
pub(super) struct Tree {
    sink: Arc<dyn SpanProcessor>,
    state: TraceState,
    anchor: Anchor,
}

impl Tree {
    pub(super) fn new(sink: Arc<dyn SpanProcessor>, state: TraceState) -> Self {
        Self { sink, state, anchor: Anchor::now() }
    }

    /// Returns what spans of another trace share that go to the same place.
    pub(super) fn beside(&self) -> Self {
        Self::new(Arc::clone(&self.sink), TraceState::NONE)
    }
}

/// A span as children and links name it, recorded or not; cheap to clone.
#[derive(Clone, Debug)]
pub struct TraceContext {
    trace_id: TraceId,
    span_id: SpanId,
    /// `None`: it is not recorded.
    tree: Option<Arc<Tree>>,
}

impl TraceContext {
    /// Stands for no span at all.
    pub fn none() -> Self {
        Self { trace_id: TraceId::INVALID, span_id: SpanId::INVALID, tree: None }
    }

    /// A new span of a trace.
    pub(super) fn unrecorded(trace_id: TraceId) -> Self {
        Self { trace_id, span_id: new_span_id(), tree: None }
    }

    pub(super) fn with_tree(self, tree: Option<Arc<Tree>>) -> Self {
        Self { tree, ..self }
    }

    pub(super) fn tree(&self) -> Option<&Arc<Tree>> {
        self.tree.as_ref()
    }

    /// Returns the id of the trace: 32 hexadecimal digits when it is written.
    pub fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// Returns the id of the span: 16 hexadecimal digits when it is written.
    pub fn span_id(&self) -> SpanId {
        self.span_id
    }

    /// Tells whether the span is recorded.
    pub fn is_recorded(&self) -> bool {
        self.tree.is_some()
    }

    /// Begins a child within the gateway.
    pub fn child(&self, name: &'static str) -> Span {
        self.begin(name, SpanKind::Internal)
    }

    /// Begins a child that calls somebody else.
    pub fn call(&self, name: &'static str) -> Span {
        self.begin(name, SpanKind::Client)
    }

    fn begin(&self, name: &'static str, kind: SpanKind) -> Span {
        let context = Self::unrecorded(self.trace_id);
        let Some(tree) = &self.tree else { return Span::unrecorded(context) };
        let origin = Origin {
            name: Cow::Borrowed(name),
            kind,
            parent: self.span_id,
            parent_is_remote: false,
            at: Instant::now(),
        };
        Span::recorded(context, Arc::clone(tree), origin)
    }

    /// Returns the span as links name it.
    pub(super) fn linked(&self) -> SpanContext {
        let state = self.tree.as_ref().map(|tree| tree.state.clone()).unwrap_or_default();
        let flags = if self.is_recorded() { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
        SpanContext::new(self.trace_id, self.span_id, flags, false, state)
    }

    /// Returns the `traceparent` of what the span calls.
    pub fn traceparent(&self) -> String {
        context::traceparent(&self.linked())
    }
}

/// How a span begins.
pub(super) struct Origin {
    pub(super) name: Cow<'static, str>,
    pub(super) kind: SpanKind,
    pub(super) parent: SpanId,
    pub(super) parent_is_remote: bool,
    pub(super) at: Instant,
}

/// A span that lasts until it is dropped. One that is not recorded has ids and forgets what it is told.
#[derive(Debug)]
pub struct Span {
    context: TraceContext,
    record: Option<Box<Record>>,
}

#[derive(Debug)]
struct Record {
    data: SpanData,
    tree: Arc<Tree>,
    /// When it ended, if that was before it is dropped.
    ended: Option<Instant>,
}

impl Span {
    pub(super) fn unrecorded(context: TraceContext) -> Self {
        Self { context, record: None }
    }

    pub(super) fn recorded(context: TraceContext, tree: Arc<Tree>, origin: Origin) -> Self {
        let started = tree.anchor.wall(origin.at);
        let context = context.with_tree(Some(Arc::clone(&tree)));
        let data = SpanData {
            span_context: context.linked(),
            parent_span_id: origin.parent,
            parent_span_is_remote: origin.parent_is_remote && origin.parent != SpanId::INVALID,
            span_kind: origin.kind,
            name: origin.name,
            start_time: started,
            end_time: started,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: scope(),
        };
        Self { context, record: Some(Box::new(Record { data, tree, ended: None })) }
    }

    /// Returns what children and links need.
    pub fn context(&self) -> &TraceContext {
        &self.context
    }

    /// Tells whether it is recorded: what costs something to find out need not be found out for one that is not.
    pub fn is_recorded(&self) -> bool {
        self.record.is_some()
    }

    /// Sets an attribute, which is set once.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some(record) = &mut self.record {
            record.data.attributes.push(KeyValue::new(name, value));
        }
    }

    /// Sets an attribute that is a number of things.
    pub fn count(&mut self, name: &'static str, number: u64) {
        self.set(name, i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// Sets an attribute that is a list, of one text.
    pub fn list(&mut self, name: &'static str, only: &'static str) {
        self.set(name, Value::Array(Array::String(vec![only.into()])));
    }

    /// Notes that it failed, and by what: a name of a short list.
    pub fn fail(&mut self, error: impl Into<Value>) {
        if let Some(record) = &mut self.record {
            record.data.status = Status::error("");
            record.data.attributes.retain(|set| set.key.as_str() != semconv::ERROR_TYPE);
        }
        self.set(semconv::ERROR_TYPE, error);
    }

    /// Notes that something happened just now; `about` says more of it.
    pub fn event(&mut self, name: &'static str, about: Vec<(&'static str, Value)>) {
        let Some(record) = &mut self.record else { return };
        let Record { data, tree, .. } = &mut **record;
        if data.events.len() >= MAX_EVENTS {
            data.events.dropped_count += 1;
            return;
        }
        let about = about.into_iter().map(|(name, value)| KeyValue::new(name, value)).collect();
        let at = tree.anchor.wall(Instant::now());
        data.events.events.push(Event::new(name, at, about, 0));
    }

    /// Links it to the span of shared work.
    pub fn link(&mut self, shared: &FanIn) {
        self.link_to(shared.context().linked());
    }

    pub(super) fn link_to(&mut self, span: SpanContext) {
        let Some(record) = &mut self.record else { return };
        let links = &mut record.data.links;
        if links.len() < MAX_LINKS {
            links.links.push(Link::new(span, Vec::new(), 0));
        } else {
            links.dropped_count += 1;
        }
    }

    /// Counts links that were dropped before they came here.
    pub(super) fn drop_links(&mut self, dropped: u32) {
        if let Some(record) = &mut self.record {
            record.data.links.dropped_count += dropped;
        }
    }

    /// Moves its beginning.
    pub fn begun_at(&mut self, at: Instant) {
        if let Some(record) = &mut self.record {
            record.data.start_time = record.tree.anchor.wall(at);
        }
    }

    /// Says that it ends now, although more may be said of it.
    pub fn ends(&mut self) {
        if self.is_recorded() {
            self.ended_at(Instant::now());
        }
    }

    /// Says when it ended, although more may be said of it.
    pub fn ended_at(&mut self, at: Instant) {
        if let Some(record) = &mut self.record {
            record.ended = Some(at);
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if std::thread::panicking() && self.record.is_some() {
            self.fail("panic");
        }
        let Some(record) = self.record.take() else { return };
        let Record { mut data, tree, ended } = *record;
        data.end_time = tree.anchor.wall(ended.unwrap_or_else(Instant::now)).max(data.start_time);
        let dropped = data.links.dropped_count;
        if dropped > 0 {
            let about = KeyValue::new(semconv::LINKS_DROPPED, i64::from(dropped));
            data.attributes.push(about);
        }
        tree.sink.on_end(data);
    }
}

/// Says who speaks, and in whose terms.
fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(semconv::SCOPE)
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url(semconv::SCHEMA_URL)
        .build()
}
