//! When a token is good, by the clock and its leeway, remembered or not.

use super::*;

#[test]
fn a_token_is_good_from_nbf_to_exp_give_or_take_the_leeway() {
    let signer = Signer::new(Algorithm::ES256, Some("one"));
    let claims = with("nbf", json!(NOW + 100));
    let token = signer.sign(&claims);
    let (jwt, clock) = judge(&[signer.jwk()]);
    let (early, late) = (NOW + 100 - 30, NOW + 3600 + 30);
    // Twice: the second time it is remembered, and no less judged.
    for _ in 0..2 {
        for (now, named) in [
            (early - 1, Err(AuthFailure::NOT_YET_VALID)),
            (early, Ok(NAME)),
            (late - 1, Ok(NAME)),
            (late, Err(AuthFailure::EXPIRED)),
        ] {
            clock.store(now, Ordering::Relaxed);
            assert_eq!(name(&jwt, &token).as_deref().map_err(|why| *why), named, "{now}");
        }
    }
}

#[test]
fn times_may_have_fractions_and_must_be_times() {
    let signer = Signer::new(Algorithm::ES256, Some("one"));
    let (jwt, _) = judge(&[signer.jwk()]);
    for (key, value, named) in [
        ("exp", json!(1.8e9 + 0.5), Ok(NAME)),
        ("exp", json!(NOW - 31), Err(AuthFailure::EXPIRED)),
        ("exp", json!(0), Err(AuthFailure::EXPIRED)),
        ("exp", json!(-1), Err(AuthFailure::MALFORMED)),
        ("exp", json!(1e300), Err(AuthFailure::MALFORMED)),
        ("exp", json!("1800003600"), Err(AuthFailure::MALFORMED)),
        ("exp", json!(null), Err(AuthFailure::MALFORMED)),
        ("nbf", json!(0), Ok(NAME)),
        ("nbf", json!(NOW + 31), Err(AuthFailure::NOT_YET_VALID)),
        ("nbf", json!("now"), Err(AuthFailure::MALFORMED)),
    ] {
        let token = signer.sign(&with(key, value.clone()));
        assert_eq!(name(&jwt, &token).as_deref().map_err(|why| *why), named, "{key} {value}");
    }
    assert_eq!(name(&jwt, &signer.sign(&without("exp"))), Err(AuthFailure::MALFORMED));
    assert_eq!(name(&jwt, &signer.sign(&without("nbf"))).as_deref(), Ok(NAME));
}

#[test]
fn no_token_is_good_by_a_clock_that_is_wrong() {
    let signer = Signer::new(Algorithm::ES256, Some("one"));
    let (mut jwt, _) = judge(&[signer.jwk()]);
    jwt.clock = Clock::new(|| Duration::MAX);
    assert_eq!(name(&jwt, &signer.sign(&claims())), Err(AuthFailure::EXPIRED));
    assert!(Clock::system().now() > Duration::from_secs(1_700_000_000));
}
