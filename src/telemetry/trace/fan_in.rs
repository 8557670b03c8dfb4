//! A span that several requests wait for. It has a trace of its own, and links lead from it to its waiters and back.

use std::{
    borrow::Cow,
    collections::HashSet,
    sync::{Arc, OnceLock},
};

use opentelemetry::{
    Context,
    trace::{Link, SpanBuilder, SpanId, SpanKind},
};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::span::{MAX_LINKS, Span, TraceContext};

/// Distinct waiters remembered; further ones may be counted twice.
const MAX_KNOWN: usize = 4_096;

/// Work that several RPCs wait for, such as a batch; cheap to clone.
///
/// It is recorded exactly when one of its waiters is recorded at its beginning.
#[derive(Clone, Debug)]
pub struct FanIn(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Of the work as long as it is not recorded.
    unrecorded: TraceContext,
    /// Set when it begins and is recorded.
    recorded: OnceLock<TraceContext>,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// It has not begun: its waiters decide whether it is recorded.
    Gathering(Waiters),
    /// It is recorded. Further waiters are linked as well.
    Recorded(Waiters, Span),
    /// It is not recorded, or has ended.
    Silent,
}

/// The waiters, each once, as far as there can be links to them.
#[derive(Debug, Default)]
struct Waiters {
    recorded: Vec<TraceContext>,
    others: Vec<TraceContext>,
    known: HashSet<SpanId>,
    /// Waiters beyond those remembered.
    further: usize,
    last: Option<SpanId>,
}

impl FanIn {
    /// Returns work that has not begun and has no waiters.
    #[expect(clippy::new_without_default, reason = "its ids are new each time")]
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            unrecorded: TraceContext::new_trace(),
            recorded: OnceLock::new(),
            state: Mutex::new(State::Gathering(Waiters::default())),
        }))
    }

    /// Adds a waiter.
    pub fn waits(&self, waiter: &TraceContext) {
        match &mut *self.0.state.lock() {
            State::Gathering(waiters) | State::Recorded(waiters, _) => waiters.add(waiter),
            State::Silent => {}
        }
    }

    /// Begins it as a call to another service, unless it has begun. `name` is called when it is recorded.
    pub fn begin(&self, name: impl FnOnce() -> String) {
        let mut state = self.0.state.lock();
        let State::Gathering(waiters) = &mut *state else { return };
        let waiters = std::mem::take(waiters);
        let first = waiters.recorded.first().and_then(|first| Some((first, first.tree()?)));
        let Some((first, tree)) = first else {
            *state = State::Silent;
            return;
        };
        // The first link has it sampled; the others are added at the end, those of recorded waiters first.
        let builder = SpanBuilder::from_name(Cow::Owned(name()))
            .with_kind(SpanKind::Client)
            .with_links(vec![Link::with_context(first.linked())]);
        let span = Span::begin(tree.beside(), builder, &Context::new(), Instant::now());
        // It begins once.
        let _ = self.0.recorded.set(span.context().clone());
        *state = State::Recorded(waiters, span);
    }

    /// Applies `work` to the span, if it is recorded and has not ended.
    pub fn with(&self, work: impl FnOnce(&mut Span)) {
        if let State::Recorded(_, span) = &mut *self.0.state.lock() {
            work(span);
        }
    }

    /// Returns the context for children and links. The ids change when the span begins and is recorded.
    pub fn context(&self) -> TraceContext {
        self.0.recorded.get().unwrap_or(&self.0.unrecorded).clone()
    }

    /// Returns whether both are the same work.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Ends it.
    pub fn end(&self) {
        let ended = std::mem::replace(&mut *self.0.state.lock(), State::Silent);
        if let State::Recorded(waiters, mut span) = ended {
            waiters.link(&mut span);
        }
    }
}

impl Waiters {
    fn add(&mut self, waiter: &TraceContext) {
        let id = waiter.span_id();
        // The items of one request mostly come together.
        if id == SpanId::INVALID || self.last.replace(id) == Some(id) {
            return;
        }
        if self.known.len() >= MAX_KNOWN {
            self.further += usize::from(!self.known.contains(&id));
            return;
        }
        if !self.known.insert(id) {
            return;
        }
        let of_its_kind = if waiter.is_recorded() { &mut self.recorded } else { &mut self.others };
        if of_its_kind.len() < MAX_LINKS as usize {
            of_its_kind.push(waiter.clone());
        }
    }

    /// Links a span to its waiters but the first, which is linked already. Recorded waiters come first: only they can
    /// be found.
    fn link(self, span: &mut Span) {
        let all = self.known.len() + self.further;
        let kept = self.recorded.iter().chain(&self.others).take(MAX_LINKS as usize);
        let mut linked = 0;
        for waiter in kept {
            if linked > 0 {
                span.link(waiter);
            }
            linked += 1;
        }
        span.drop_links(all - linked);
    }
}
