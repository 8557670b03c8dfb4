use super::*;

#[tokio::test(start_paused = true)]
async fn a_flood_logs_ten_lines_a_second_and_the_next_counts_the_rest() {
    let mut bound = LineLimit::new();
    let now = Instant::now();
    let said: Vec<_> = (0..25).map(|_| bound.line(now)).collect();
    assert_eq!(said.iter().flatten().collect::<Vec<_>>(), [&0; 10]);
    assert_eq!(bound.line(now + Duration::from_millis(999)), None);
    assert_eq!(bound.line(now + SECOND), Some(16));
    assert_eq!(bound.line(now + SECOND), Some(0));
}

#[test]
fn reasons_do_not_limit_each_other() {
    while bounded_line("A_REASON_OF_A_TEST").is_some() {}
    assert_eq!(bounded_line("ANOTHER_REASON_OF_A_TEST"), Some(0));
}
