//! What the dispatch tells of itself to whoever looks at the metrics.

use std::sync::{Arc, atomic::Ordering};

use tokio::time::Instant;

use super::Shared;
use crate::telemetry::{BreakerState, DispatchState, RateWindow};

impl DispatchState for Shared {
    fn batches(&self) -> (u64, u64) {
        (self.calls.load(Ordering::Relaxed) as u64, self.max_calls.into())
    }

    fn queue(&self) -> (u64, u64) {
        let (inputs, bytes) = (&self.room.inputs, &self.room.bytes);
        (inputs.load(Ordering::Relaxed) as u64, bytes.load(Ordering::Relaxed) as u64)
    }

    fn rate_windows(&self) -> Vec<RateWindow> {
        self.limiter.windows(Instant::now())
    }

    fn retry_balance(&self) -> f64 {
        self.retries.balance(Instant::now())
    }

    fn breaker(&self) -> BreakerState {
        self.breaker.state(Instant::now())
    }

    fn is_free_tier(&self) -> bool {
        self.limiter.is_free_tier()
    }

    fn rejected_keys(&self) -> Vec<(Arc<str>, bool)> {
        self.pool.set_aside()
    }
}
