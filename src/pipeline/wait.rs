//! A request's wait for its flights, as its trace shows it.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{coalesce::Flight, gather::Gathering};
use crate::{
    dispatch::SendInfo,
    telemetry::{
        semconv,
        trace::{Span, TraceContext},
    },
};

/// The span of the wait; it ends when it is dropped, answered or not.
#[derive(Debug)]
pub(super) struct Wait {
    span: Span,
    began: Instant,
    /// The flights; empty when the span is not recorded.
    flights: Vec<Arc<Flight>>,
}

impl Wait {
    /// Begins the wait; `None` if no flight is expected or the request is not recorded.
    pub(super) fn begin(request: &TraceContext, gathering: &Gathering<'_>) -> Option<Self> {
        if !request.is_recorded() || gathering.flights().next().is_none() {
            return None;
        }
        let span = request.child(semconv::WAIT_SPAN);
        let flights = gathering.flights().cloned().collect();
        Some(Self { span, began: Instant::now(), flights })
    }

    /// Records the parts of the wait; `last`: the input that was sent last.
    fn describe(&mut self, last: &SendInfo) {
        let waited = last.waited(self.began);
        self.span.set(semconv::WAIT_QUEUE, waited.queue.as_secs_f64());
        self.span.set(semconv::WAIT_LIMITER, waited.limiter.as_secs_f64());
        self.part(semconv::QUEUE_SPAN, Some(self.began), waited.queue);
        self.part(semconv::LIMITER_SPAN, last.at().checked_sub(waited.limiter), waited.limiter);
    }

    fn part(&self, name: &'static str, from: Option<Instant>, length: Duration) {
        let Some(from) = from.filter(|_| !length.is_zero()) else { return };
        let mut part = self.span.context().child_at(name, from);
        part.ended_at(from + length);
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut sends: Vec<Arc<SendInfo>> = Vec::new();
        let mut waiting = false;
        for flight in &self.flights {
            match flight.send_info() {
                None => waiting = true,
                Some(new) if sends.iter().any(|known| known.batch().is(new.batch())) => {}
                Some(new) => sends.push(new),
            }
        }
        for send_info in &sends {
            self.span.link(&send_info.batch().context());
        }
        match sends.iter().max_by_key(|send_info| send_info.at()) {
            Some(last) => self.describe(last),
            // It ends before anything was sent.
            None if waiting => {
                self.part(semconv::QUEUE_SPAN, Some(self.began), self.began.elapsed());
            }
            None => {}
        }
    }
}
