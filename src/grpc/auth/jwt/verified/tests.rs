//! The two generations of verified tokens.

use super::*;

fn hash(number: usize) -> TokenHash {
    let mut hash = TokenHash::default();
    hash[..8].copy_from_slice(&number.to_le_bytes());
    hash
}

fn good() -> VerifiedToken {
    let (expires, not_before) = (Duration::from_secs(9), Duration::ZERO);
    VerifiedToken { name: "a".into(), expires, not_before }
}

#[test]
fn tokens_in_use_stay_and_their_number_is_bounded() {
    let verified = VerifiedTokens::default();
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
