//! A span that many wait for: it has a trace of its own and is linked to all of them, and they to it.

use std::{
    borrow::Cow,
    collections::HashSet,
    sync::{Arc, OnceLock},
};

use opentelemetry::trace::{SpanId, SpanKind};
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::{
    new_trace_id,
    span::{MAX_LINKS, Origin, Span, TraceContext, Tree},
};

/// Waiters told apart; beyond them a waiter may be counted more than once.
const MAX_KNOWN: usize = 4_096;

/// Work that several RPCs wait for, such as a batch; cheap to clone.
///
/// It is recorded exactly when one of those is who wait for it when it begins.
#[derive(Clone, Debug)]
pub struct FanIn(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    context: TraceContext,
    /// Set when it begins and is recorded.
    tree: OnceLock<Arc<Tree>>,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// Whoever waits is noted, as it is not known yet whether it is recorded.
    Gathering(Waiters),
    /// It is recorded; whoever comes now is linked as well.
    Recorded(Waiters, Span),
    /// It is not recorded, or has ended.
    Silent,
}

/// Who waits, each once, as far as there can be links to them.
#[derive(Debug, Default)]
struct Waiters {
    recorded: Vec<TraceContext>,
    others: Vec<TraceContext>,
    known: HashSet<SpanId>,
    /// Those beyond.
    further: usize,
    last: Option<SpanId>,
}

impl FanIn {
    /// Returns work that has not begun and that nobody waits for yet.
    #[expect(clippy::new_without_default, reason = "its ids are new each time")]
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            context: TraceContext::unrecorded(new_trace_id()),
            tree: OnceLock::new(),
            state: Mutex::new(State::Gathering(Waiters::default())),
        }))
    }

    /// Notes that a span waits for it.
    pub fn waits(&self, waiter: &TraceContext) {
        match &mut *self.state() {
            State::Gathering(waiters) | State::Recorded(waiters, _) => waiters.add(waiter),
            State::Silent => {}
        }
    }

    /// Begins it, unless it has begun: it calls somebody else, under a name that is made when it is needed.
    pub fn begin(&self, name: impl FnOnce() -> String) {
        let mut state = self.state();
        let State::Gathering(waiters) = &mut *state else { return };
        let waiters = std::mem::take(waiters);
        let Some(beside) = waiters.recorded.first().and_then(TraceContext::tree) else {
            *state = State::Silent;
            return;
        };
        let tree = Arc::new(beside.beside());
        let origin = Origin {
            name: Cow::Owned(name()),
            kind: SpanKind::Client,
            parent: SpanId::INVALID,
            parent_is_remote: false,
            at: Instant::now(),
        };
        let span = Span::recorded(self.0.context.clone(), Arc::clone(&tree), origin);
        // It begins once.
        let _ = self.0.tree.set(tree);
        *state = State::Recorded(waiters, span);
    }

    /// Works on the span, if it is recorded and has not ended.
    pub fn with(&self, work: impl FnOnce(&mut Span)) {
        if let State::Recorded(_, span) = &mut *self.state() {
            work(span);
        }
    }

    /// Returns what children and links need.
    pub fn context(&self) -> TraceContext {
        self.0.context.clone().with_tree(self.0.tree.get().cloned())
    }

    /// Tells whether both are the same work.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Ends it.
    pub fn end(&self) {
        let ended = std::mem::replace(&mut *self.state(), State::Silent);
        if let State::Recorded(waiters, mut span) = ended {
            waiters.link(&mut span);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
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
        if of_its_kind.len() < MAX_LINKS {
            of_its_kind.push(waiter.clone());
        }
    }

    /// Links a span to those who wait: to recorded ones first, as only they can be found.
    fn link(self, span: &mut Span) {
        let kept = self.recorded.iter().chain(&self.others).take(MAX_LINKS);
        let mut linked = 0;
        for waiter in kept {
            span.link_to(waiter.linked());
            linked += 1;
        }
        span.drop_links(
            u32::try_from(self.known.len() + self.further - linked).unwrap_or(u32::MAX),
        );
    }
}
