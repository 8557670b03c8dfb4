//! Budgets on pure instants; the clock is only asked where a reservation is dropped.

use std::time::Duration;

use Priority::{Batch, Interactive};

use super::*;
use crate::{
    telemetry::Metrics,
    upstream::{KeyLimits, KeySources},
};

mod budget;
mod gate;
mod learning;
mod pool;
mod properties;
mod provider;
mod saturation;

/// The example of single models in `config.example.toml`.
pub(super) fn example() -> serde_json::Value {
    serde_json::json!({ "voyage-4": { "rpm": 2000, "tpm": 8_000_000 } })
}

const MODEL: &str = "voyage-4-large";
const MINUTE: Duration = Duration::from_mins(1);

fn config(rpm: u32, tpm: u64) -> Config {
    Config { rpm: Some(rpm), tpm: Some(tpm), ..Config::default() }
}

fn limiter(rpm: u32, tpm: u64) -> Arc<Limiter> {
    with(&config(rpm, tpm))
}

/// A limiter for one key.
fn with(config: &Config) -> Arc<Limiter> {
    of(config, &[("default", "pa-key", KeyLimits::default())])
}

/// A limiter for these keys.
fn of(config: &Config, keys: &[(&str, &str, KeyLimits)]) -> Arc<Limiter> {
    let keys = KeySources::several(keys).load(&Metrics::new().unwrap()).unwrap();
    Limiter::new(config, &Catalogue::built_in(), Pool::new(&keys))
}

/// Reserves for an interactive call that is sent at once.
fn send(limiter: &Arc<Limiter>, tokens: u64, now: Instant) -> Result<Reservation, Blocked> {
    limiter.reserve(MODEL, Interactive, tokens, now).map(|mut reservation| {
        reservation.sent(tokens);
        reservation
    })
}

/// Sends one call and ends it at once.
fn call(limiter: &Arc<Limiter>, tokens: u64, now: Instant) {
    send(limiter, tokens, now).unwrap().settle(None, now);
}

/// Returns when budget is freed if no call ends; `None`: none is used.
fn next_change(limiter: &Limiter, now: Instant) -> Option<Instant> {
    limiter.within(MODEL, now, |_, windows| {
        windows.iter().filter_map(|window| window.next_change(now)).min()
    })
}

impl Limiter {
    /// Returns the requests and tokens used with the key that has the most free budget.
    pub(in crate::dispatch) fn used(&self, model: &str, now: Instant) -> (u64, u64) {
        let usable = self.pool.usable(now);
        let used = |windows: &mut [Window]| roomiest(windows, usable, now).used();
        pair(self.within(model, now, |_, windows| used(windows)))
    }

    /// Returns the limits of the key that has the most free budget.
    fn limits(&self, model: &str, now: Instant) -> (u64, u64) {
        let usable = self.pool.usable(now);
        let limits = |windows: &mut [Window]| roomiest(windows, usable, now).limits(Interactive);
        pair(self.within(model, now, |_, windows| limits(windows)))
    }
}

fn pair(PerMinute { requests, tokens }: PerMinute) -> (u64, u64) {
    (requests, tokens)
}

fn limits(limiter: &Limiter, now: Instant) -> (u64, u64) {
    limiter.limits(MODEL, now)
}

fn used(limiter: &Limiter, now: Instant) -> (u64, u64) {
    limiter.used(MODEL, now)
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
