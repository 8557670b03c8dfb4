//! The usage of one caller or the whole gateway, and the guard of an input's reservation.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{bucket::Bucket, sliding::Sliding, sync::Mutex};

/// More tokens than any input can have: a bound that keeps sums from overflowing.
const MOST_TOKENS: u64 = 1 << 40;

/// The number of windows of an account's tokens.
const WINDOWS: usize = 2;

/// The limits of an account's windows; `None`: no limit.
pub(crate) type WindowLimits = [Option<u64>; WINDOWS];

/// The usage of a caller or the gateway. Limits are arguments: they may change, usage does not.
#[derive(Debug)]
pub(crate) struct Account {
    /// Never held across an await.
    usage: Mutex<Spent>,
}

#[derive(Debug)]
struct Spent {
    requests: Bucket,
    tokens: [Sliding; WINDOWS],
}

/// Tokens that are reserved until their cost is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reserved {
    tokens: u64,
    at: Instant,
}

/// An exceeded limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exceeded {
    /// The index of the window that is full the longest.
    pub(crate) window: usize,
    /// Its limit.
    pub(crate) limit: u64,
    /// When all windows have room; `None`: never.
    pub(crate) retry_after: Option<Duration>,
}

impl Exceeded {
    /// Returns the wait; never is the longest.
    pub(crate) fn wait(&self) -> Duration {
        self.retry_after.unwrap_or(Duration::MAX)
    }
}

impl Account {
    /// Returns an unused account with windows of these lengths.
    pub(crate) fn new(windows: [Duration; WINDOWS], now: Instant) -> Arc<Self> {
        let tokens = windows.map(|window| Sliding::new(window, now));
        Arc::new(Self { usage: Mutex::new(Spent { requests: Bucket::default(), tokens }) })
    }

    /// Takes one request of `rate` a second; the error is the time until there is one.
    pub(crate) fn take_request(&self, rate: u32, now: Instant) -> Result<(), Duration> {
        self.usage.lock().requests.take(rate, now)
    }

    /// Returns the time until there is a request of `rate` a second.
    pub(crate) fn request_wait(&self, rate: u32, now: Instant) -> Duration {
        self.usage.lock().requests.wait(rate, now)
    }

    /// Returns the limit that the tokens would exceed now, without reserving any.
    pub(crate) fn exceeded(
        &self,
        limits: WindowLimits,
        tokens: u64,
        now: Instant,
    ) -> Option<Exceeded> {
        let mut usage = self.usage.lock();
        usage.advance(now);
        usage.exceeded(limits, tokens.min(MOST_TOKENS), now)
    }

    /// Returns the tokens used in each window.
    pub(crate) fn used(&self, now: Instant) -> [u64; WINDOWS] {
        let mut usage = self.usage.lock();
        usage.advance(now);
        usage.tokens.each_ref().map(Sliding::used)
    }

    /// Returns whether the account holds no usage and can be removed.
    pub(crate) fn is_idle(&self, now: Instant) -> bool {
        let mut usage = self.usage.lock();
        usage.advance(now);
        usage.requests.is_idle(now) && usage.tokens.iter().all(|window| window.used() == 0)
    }

    /// Reserves tokens if they fit into every window.
    fn reserve(
        &self,
        limits: WindowLimits,
        tokens: u64,
        now: Instant,
    ) -> Result<Reserved, Exceeded> {
        let tokens = tokens.min(MOST_TOKENS);
        let mut usage = self.usage.lock();
        usage.advance(now);
        if let Some(exceeded) = usage.exceeded(limits, tokens, now) {
            return Err(exceeded);
        }
        usage.add(tokens, now);
        Ok(Reserved { tokens, at: now })
    }

    /// Replaces a reservation by the cost. The part above the reservation counts from now on, even if it exceeds
    /// a limit.
    fn settle(&self, reserved: Option<Reserved>, tokens: u64, now: Instant) {
        let tokens = tokens.min(MOST_TOKENS);
        let mut usage = self.usage.lock();
        let held = reserved.map_or(0, |reserved| reserved.tokens);
        if let Some(Reserved { tokens: held, at }) = reserved {
            usage.take_back(held.saturating_sub(tokens), at);
        }
        usage.add(tokens.saturating_sub(held), now);
    }
}

impl Spent {
    fn advance(&mut self, now: Instant) {
        self.tokens.iter_mut().for_each(|window| window.advance(now));
    }

    fn add(&mut self, tokens: u64, at: Instant) {
        self.tokens.iter_mut().for_each(|window| window.add(tokens, at));
    }

    fn take_back(&mut self, tokens: u64, at: Instant) {
        self.tokens.iter_mut().for_each(|window| window.take_back(tokens, at));
    }

    /// Returns the window that has no room for the tokens for the longest time, if there is one.
    fn exceeded(&self, limits: WindowLimits, tokens: u64, now: Instant) -> Option<Exceeded> {
        let full = limits.into_iter().zip(&self.tokens).enumerate();
        let full = full.filter_map(|(window, (limit, log))| {
            let limit = limit?;
            let free_at = log.free_at(tokens, limit, now);
            if free_at.is_some_and(|at| at <= now) {
                return None;
            }
            let retry_after = free_at.map(|at| at.duration_since(now));
            Some(Exceeded { window, limit, retry_after })
        });
        full.max_by_key(Exceeded::wait)
    }
}

/// The tokens reserved for one input in the accounts that would pay for it.
///
/// Dropped, it releases them: an input that was refused, lost or paid by another request costs nothing.
#[derive(Debug, Default)]
pub(crate) struct Charge {
    /// Empty for callers without rules.
    shares: Vec<Share>,
}

#[derive(Debug)]
struct Share {
    account: Arc<Account>,
    limits: WindowLimits,
    /// `None` for a request that joined a flight with a reservation of another.
    reserved: Option<Reserved>,
}

impl Charge {
    /// Reserves tokens in one more account.
    pub(crate) fn reserve(
        &mut self,
        account: &Arc<Account>,
        limits: WindowLimits,
        tokens: u64,
        now: Instant,
    ) -> Result<(), Exceeded> {
        let reserved = Some(account.reserve(limits, tokens, now)?);
        self.shares.push(Share { account: Arc::clone(account), limits, reserved });
        Ok(())
    }

    /// Adds an account that may have to pay, without reserving anything.
    pub(crate) fn name(&mut self, account: &Arc<Account>, limits: WindowLimits) {
        self.shares.push(Share { account: Arc::clone(account), limits, reserved: None });
    }

    /// Returns whether anything is reserved.
    pub(crate) fn holds(&self) -> bool {
        self.shares.iter().any(|share| share.reserved.is_some())
    }

    /// Returns whether an account without a reservation would have to pay and has no tokens left.
    pub(crate) fn is_spent(&self, now: Instant) -> bool {
        let mut unheld = self.shares.iter().filter(|share| share.reserved.is_none());
        unheld.any(|share| share.account.exceeded(share.limits, 1, now).is_some())
    }

    /// Splits off a charge for `tokens` of the reserved ones.
    pub(crate) fn split_off(&mut self, tokens: u64) -> Self {
        let shares = self.shares.iter_mut().map(|share| {
            let reserved = share.reserved.as_mut().map(|held| {
                let tokens = tokens.min(held.tokens);
                held.tokens -= tokens;
                Reserved { tokens, at: held.at }
            });
            Share { account: Arc::clone(&share.account), limits: share.limits, reserved }
        });
        Self { shares: shares.collect() }
    }

    /// Pays `tokens`, which may differ from the reservation.
    pub(crate) fn settle(mut self, tokens: u64) {
        if self.shares.is_empty() {
            return;
        }
        let now = Instant::now();
        for Share { account, reserved, .. } in self.shares.drain(..) {
            account.settle(reserved, tokens, now);
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        for Share { account, reserved, .. } in self.shares.drain(..) {
            if let Some(Reserved { tokens, at }) = reserved {
                account.usage.lock().take_back(tokens, at);
            }
        }
    }
}
