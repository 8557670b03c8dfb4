//! Tokens that were verified: the next call with one costs a hash instead of a signature.

use std::{collections::HashMap, mem, sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::super::{AuthFailure, tokens::TokenHash};

/// Tokens of one generation; there are two. Each takes about 200 bytes.
const GENERATION: usize = 4096;

/// Recently verified tokens by their hashes. Tokens that fail verification never enter, so a stranger cannot fill it.
#[derive(Default)]
pub(super) struct VerifiedTokens(Mutex<Generations>);

/// Two generations instead of a time per entry: when the young one is full, it replaces the old one.
#[derive(Default)]
struct Generations {
    young: HashMap<TokenHash, VerifiedToken>,
    old: HashMap<TokenHash, VerifiedToken>,
}

/// The claims of a verified token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VerifiedToken {
    /// The caller.
    pub(super) name: Arc<str>,
    /// Since 1970.
    pub(super) expires: Duration,
    /// Since 1970.
    pub(super) not_before: Duration,
}

impl VerifiedToken {
    /// Returns an error unless the token is valid now, on clocks that differ by at most `leeway`. Each call has to check.
    pub(super) fn check_times(&self, now: Duration, leeway: Duration) -> Result<(), AuthFailure> {
        if now >= self.expires.saturating_add(leeway) {
            return Err(AuthFailure::EXPIRED);
        }
        if now.saturating_add(leeway) < self.not_before {
            return Err(AuthFailure::NOT_YET_VALID);
        }
        Ok(())
    }
}

impl VerifiedTokens {
    pub(super) fn get(&self, hash: &TokenHash) -> Option<VerifiedToken> {
        let mut generations = self.0.lock();
        if let Some(token) = generations.young.get(hash) {
            return Some(token.clone());
        }
        let token = generations.old.remove(hash)?;
        generations.put(*hash, token.clone());
        Some(token)
    }

    pub(super) fn put(&self, hash: TokenHash, token: VerifiedToken) {
        self.0.lock().put(hash, token);
    }
}

impl Generations {
    fn put(&mut self, hash: TokenHash, token: VerifiedToken) {
        if self.young.len() >= GENERATION {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(hash, token);
    }
}

#[cfg(test)]
mod tests;
