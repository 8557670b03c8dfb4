use super::*;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[tokio::test(start_paused = true)]
async fn each_waiter_has_its_own_queue_and_limiter_time() {
    let start = Instant::now();
    let at = |seconds| start + secs(seconds);
    let mut throttled = ThrottledIntervals::default();
    // Blocked from 2 to 4, when a try is in vain, and on to 7 instead of 9; again from 8 on, known until 20.
    throttled.note(at(2), at(4));
    throttled.note(at(4), at(9));
    throttled.end(at(7));
    throttled.note(at(8), at(20));
    assert_eq!(throttled.0.len(), 2, "one hold-up goes on after a try in vain");
    let send_info =
        SendInfo { first_at: at(8), at: at(10), batch: FanIn::new(), throttled: throttled.clone() };
    let waited = |queue, limiter| Waited { queue: secs(queue), limiter: secs(limiter) };
    assert_eq!(send_info.waited(at(0)), waited(3, 7));
    assert_eq!(send_info.waited(at(3)), waited(1, 6));
    // It joined an item that was sent and requeued after a 429.
    assert_eq!(send_info.waited(at(9)), waited(0, 1));
    assert_eq!(send_info.waited(at(11)), waited(0, 0));

    throttled.forget(at(8));
    assert_eq!(throttled.within(at(0), at(30)), secs(12));
}

#[tokio::test(start_paused = true)]
async fn holdups_are_bounded() {
    let (start, mut throttled) = (Instant::now(), ThrottledIntervals::default());
    for number in 0..10_000 {
        throttled.note(start + secs(2 * number), start + secs(2 * number + 1));
    }
    assert_eq!(throttled.0.len(), MAX_INTERVALS);
}
