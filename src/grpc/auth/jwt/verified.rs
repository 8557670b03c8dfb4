//! Tokens that were found good, so that a caller's next call costs a hash and not a signature.

use std::{collections::HashMap, mem, sync::Arc};

use parking_lot::Mutex;

use super::claims::Times;
use crate::grpc::auth::tokens::TokenHash;

/// Tokens that one generation remembers; there are two. Each takes about 200 bytes.
const GENERATION: usize = 4096;

/// The good tokens of late, by their hashes. Only verified ones enter, so a stranger cannot fill it; whoever can
/// have more tokens signed than it holds costs signatures, and no memory.
#[derive(Default)]
pub(super) struct Verified(Mutex<Generations>);

/// Two generations instead of a clock for each entry: when the young are full, the old go and the young grow old.
#[derive(Default)]
struct Generations {
    young: HashMap<TokenHash, Good>,
    old: HashMap<TokenHash, Good>,
}

/// What a good token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Good {
    /// Whom it names.
    pub(super) name: Arc<str>,
    /// When it is good: judged at every call, for its signature only stays what it was.
    pub(super) times: Times,
}

impl Verified {
    pub(super) fn get(&self, token: &TokenHash) -> Option<Good> {
        let mut generations = self.0.lock();
        if let Some(good) = generations.young.get(token) {
            return Some(good.clone());
        }
        let good = generations.old.remove(token)?;
        generations.put(*token, good.clone());
        Some(good)
    }

    pub(super) fn put(&self, token: TokenHash, good: Good) {
        self.0.lock().put(token, good);
    }
}

impl Generations {
    fn put(&mut self, token: TokenHash, good: Good) {
        if self.young.len() >= GENERATION {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(token, good);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn hash(number: usize) -> TokenHash {
        let mut hash = TokenHash::default();
        hash[..8].copy_from_slice(&number.to_le_bytes());
        hash
    }

    fn good() -> Good {
        let times = Times { expires: Duration::from_secs(9), not_before: Duration::ZERO };
        Good { name: "a".into(), times }
    }

    #[test]
    fn what_is_asked_for_stays_and_all_of_it_is_bounded() {
        let verified = Verified::default();
        verified.put(hash(0), good());
        for number in 1..10 * GENERATION {
            verified.put(hash(number), good());
            assert_eq!(verified.get(&hash(0)), Some(good()), "{number}");
        }
        let generations = verified.0.lock();
        assert!(generations.young.len() <= GENERATION && generations.old.len() <= GENERATION);
        assert!(!generations.young.contains_key(&hash(1)));
        assert!(!generations.old.contains_key(&hash(1)));
    }
}
