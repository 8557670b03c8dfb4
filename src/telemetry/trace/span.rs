//! A span, which ends when it is dropped.

use std::{borrow::Cow, sync::Arc, time::SystemTime};

use opentelemetry::{
    Array, Context, KeyValue, Value,
    trace::{
        Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _,
        TraceFlags, TraceId, TraceState, Tracer as _,
    },
};
use opentelemetry_sdk::trace::{SdkTracer, Span as SdkSpan};
use tokio::time::Instant;

use super::anchor::Anchor;
use crate::telemetry::semconv;

/// The most links of a span; further ones are counted.
pub const MAX_LINKS: u32 = 128;

/// The common part of a trace's recorded spans.
#[derive(Debug)]
pub(super) struct TraceTree {
    tracer: SdkTracer,
    anchor: Anchor,
}

impl TraceTree {
    fn new(tracer: SdkTracer) -> Arc<Self> {
        Arc::new(Self { tracer, anchor: Anchor::now() })
    }

    /// Returns the tree of another trace with the same tracer.
    pub(super) fn beside(&self) -> Arc<Self> {
        Self::new(self.tracer.clone())
    }
}

/// A span as its children and links need it, recorded or not; cheap to clone.
#[derive(Clone, Debug)]
pub struct TraceContext {
    span: SpanContext,
    /// `None`: it is not recorded.
    tree: Option<Arc<TraceTree>>,
}

/// Of a span that is not recorded.
impl From<SpanContext> for TraceContext {
    fn from(span: SpanContext) -> Self {
        Self { span, tree: None }
    }
}

impl TraceContext {
    /// Stands for no span at all.
    pub fn none() -> Self {
        SpanContext::NONE.into()
    }

    /// A new span of a trace, not recorded.
    pub(super) fn unrecorded(trace_id: TraceId) -> Self {
        let span_id = SpanId::from(rand::random::<u64>().max(1));
        SpanContext::new(trace_id, span_id, TraceFlags::NOT_SAMPLED, false, TraceState::NONE).into()
    }

    /// A new span of a new trace, not recorded.
    pub(super) fn new_trace() -> Self {
        Self::unrecorded(TraceId::from(rand::random::<u128>().max(1)))
    }

    pub(super) fn tree(&self) -> Option<&Arc<TraceTree>> {
        self.tree.as_ref()
    }

    /// Returns the id of the trace: 32 hexadecimal digits when it is written.
    pub fn trace_id(&self) -> TraceId {
        self.span.trace_id()
    }

    /// Returns the id of the span: 16 hexadecimal digits when it is written.
    pub fn span_id(&self) -> SpanId {
        self.span.span_id()
    }

    /// Returns whether the span is recorded.
    pub fn is_recorded(&self) -> bool {
        self.tree.is_some()
    }

    /// Begins a child within the gateway.
    pub fn child(&self, name: &'static str) -> Span {
        self.begin(name, SpanKind::Internal, Instant::now())
    }

    /// Begins a child within the gateway at another time than now.
    pub fn child_at(&self, name: &'static str, at: Instant) -> Span {
        self.begin(name, SpanKind::Internal, at)
    }

    /// Begins a child that calls another service.
    pub fn call(&self, name: &'static str) -> Span {
        self.begin(name, SpanKind::Client, Instant::now())
    }

    fn begin(&self, name: &'static str, kind: SpanKind, at: Instant) -> Span {
        let Some(tree) = &self.tree else {
            return Span::unrecorded(Self::unrecorded(self.trace_id()));
        };
        let builder = SpanBuilder::from_name(Cow::Borrowed(name)).with_kind(kind);
        let parent = Context::new().with_remote_span_context(self.span.clone());
        Span::begin(Arc::clone(tree), builder, &parent, at)
    }

    /// Returns the span as links name it.
    pub(super) fn linked(&self) -> SpanContext {
        self.span.clone()
    }

    /// Returns the `traceparent` of the span's calls.
    pub fn traceparent(&self) -> String {
        let flags = u8::from(self.span.is_sampled());
        format!("00-{}-{}-{flags:02x}", self.trace_id(), self.span_id())
    }
}

/// A span that ends when it is dropped. One that is not recorded has ids and nothing else.
#[derive(Debug)]
pub struct Span {
    context: TraceContext,
    record: Option<Box<RecordedSpan>>,
}

#[derive(Debug)]
struct RecordedSpan {
    span: SdkSpan,
    tree: Arc<TraceTree>,
    started: SystemTime,
    /// When it ended, if that was before it is dropped.
    ended: Option<Instant>,
    /// The SDK cannot replace an attribute: this one is set at the end.
    error: Option<Value>,
}

impl Span {
    pub(super) fn unrecorded(context: TraceContext) -> Self {
        Self { context, record: None }
    }

    /// Takes the first span of a trace, which has just begun and is recorded.
    pub(super) fn root(span: SdkSpan, tracer: &SdkTracer) -> Self {
        let tree = TraceTree::new(tracer.clone());
        let started = tree.anchor.wall(Instant::now());
        Self::recorded(span, tree, started)
    }

    /// Begins a span that is sampled as its parent or its links are.
    pub(super) fn begin(
        tree: Arc<TraceTree>,
        builder: SpanBuilder,
        parent: &Context,
        at: Instant,
    ) -> Self {
        let started = tree.anchor.wall(at);
        let span = tree.tracer.build_with_context(builder.with_start_time(started), parent);
        Self::recorded(span, tree, started)
    }

    fn recorded(span: SdkSpan, tree: Arc<TraceTree>, started: SystemTime) -> Self {
        let context =
            TraceContext { span: span.span_context().clone(), tree: Some(Arc::clone(&tree)) };
        let record = RecordedSpan { span, tree, started, ended: None, error: None };
        Self { context, record: Some(Box::new(record)) }
    }

    /// Returns the context for children and links.
    pub fn context(&self) -> &TraceContext {
        &self.context
    }

    /// Returns whether it is recorded: attributes that cost something are computed only then.
    pub fn is_recorded(&self) -> bool {
        self.record.is_some()
    }

    /// Sets an attribute, which is set once.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some(record) = &mut self.record {
            record.span.set_attribute(KeyValue::new(name, value));
        }
    }

    /// Sets an attribute that is a number of things.
    pub fn count(&mut self, name: &'static str, number: u64) {
        self.set(name, i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// Sets an attribute that is a list of one text.
    pub fn list(&mut self, name: &'static str, only: &'static str) {
        self.set(name, Value::Array(Array::String(vec![only.into()])));
    }

    /// Marks it as failed; `error` is the name of a closed list. The last one counts.
    pub fn fail(&mut self, error: impl Into<Value>) {
        if let Some(record) = &mut self.record {
            record.span.set_status(Status::error(""));
            record.error = Some(error.into());
        }
    }

    /// Adds an event with attributes, which happens now.
    pub fn event(&mut self, name: &'static str, about: Vec<(&'static str, Value)>) {
        let Some(record) = &mut self.record else { return };
        let about = about.into_iter().map(|(name, value)| KeyValue::new(name, value)).collect();
        let at = record.tree.anchor.wall(Instant::now());
        record.span.add_event_with_timestamp(name, at, about);
    }

    /// Links it to another span.
    pub fn link(&mut self, other: &TraceContext) {
        if let Some(record) = &mut self.record {
            record.span.add_link(other.linked(), Vec::new());
        }
    }

    /// Counts links that have no room. Call it when there is none left.
    pub(super) fn drop_links(&mut self, dropped: usize) {
        for _ in 0..dropped {
            self.link(&TraceContext::none());
        }
        if dropped > 0 {
            self.count(semconv::LINKS_DROPPED, dropped as u64);
        }
    }

    /// Sets its end to now, although more may be added to it.
    pub fn ends(&mut self) {
        if self.is_recorded() {
            self.ended_at(Instant::now());
        }
    }

    /// Sets its end, although more may be added to it.
    pub fn ended_at(&mut self, at: Instant) {
        if let Some(record) = &mut self.record {
            record.ended = Some(at);
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.fail("panic");
        }
        let Some(record) = &mut self.record else { return };
        if let Some(error) = record.error.take() {
            record.span.set_attribute(KeyValue::new(semconv::ERROR_TYPE, error));
        }
        let ended = record.tree.anchor.wall(record.ended.unwrap_or_else(Instant::now));
        record.span.end_with_timestamp(ended.max(record.started));
    }
}
