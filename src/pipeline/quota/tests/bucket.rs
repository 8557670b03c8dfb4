//! Requests a second.

use super::*;
use crate::pipeline::quota::bucket::Bucket;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_seconds_worth_may_come_at_once() {
    for rate in [1, 3, 7, 1000] {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        for _ in 0..rate {
            bucket.take(rate, now).unwrap();
        }
        let wait = bucket.take(rate, now).unwrap_err();
        assert_eq!(wait, Duration::from_nanos(1_000_000_000_u64.div_ceil(rate.into())), "{rate}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lower_rate_is_met_within_a_second() {
    let (mut bucket, now) = (Bucket::default(), Instant::now());
    for _ in 0..1000 {
        bucket.take(1000, now).unwrap();
    }
    assert_eq!(bucket.take(2, now), Err(SECOND / 2));
    bucket.take(2, now + SECOND / 2).unwrap();
    assert!(bucket.take(2, now + SECOND / 2).is_err());
    // A higher rate applies at once, less the units already taken.
    bucket.take(3, now + SECOND / 2).unwrap();
    assert!(bucket.take(3, now + SECOND / 2).is_err());
}

#[tokio::test(start_paused = true)]
async fn the_highest_rate_does_not_overflow() {
    let (mut bucket, now) = (Bucket::default(), Instant::now());
    for _ in 0..10_000 {
        bucket.take(u32::MAX, now).unwrap();
    }
    bucket.take(u32::MAX, now + SECOND * 1_000_000).unwrap();
}

proptest! {
    #[test]
    fn no_span_of_time_holds_more_than_its_share_and_a_seconds_worth(
        rate in 1_u32..20,
        gaps in prop::collection::vec(0_u64..700_000_000, 1..150),
    ) {
        let mut now = Instant::now();
        let (mut bucket, mut granted) = (Bucket::default(), Vec::new());
        for gap in gaps {
            now += Duration::from_nanos(gap);
            match bucket.take(rate, now) {
                Ok(()) => granted.push(now),
                Err(wait) => {
                    // Not a nanosecond less, and it is true.
                    prop_assert!(bucket.take(rate, now + wait - Duration::from_nanos(1)).is_err());
                    now += wait;
                    prop_assert_eq!(bucket.take(rate, now), Ok(()));
                    granted.push(now);
                }
            }
        }
        for (first, from) in granted.iter().enumerate() {
            for (count, to) in (1_u32..).zip(&granted[first..]) {
                let most = f64::from(rate) * (*to - *from + SECOND).as_secs_f64();
                prop_assert!(f64::from(count) <= most + 1e-6, "{} of {}", count, most);
            }
        }
    }
}
