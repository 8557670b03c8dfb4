use tokio::time::advance;

use super::*;
use crate::{
    admin::status::history::{EVERY, PLOTTED, POINT},
    telemetry::{Buckets, catalogue},
};

fn counted(rpcs: f64) -> Families {
    let given =
        Given::nothing().counter("voyage_gateway_rpcs_total", &[(&[("outcome", "ok")], rpcs)]);
    given.families()
}

/// The span of the last minute in seconds, and its RPCs.
fn last_minute(history: &History, rpcs: f64) -> (f64, f64) {
    let counted = counted(rpcs);
    let window = history.last_minute(Instant::now(), &counted);
    (window.seconds, window.total(&catalogue::RPCS).last_minute)
}

/// The ages of the points, and their rates.
fn points(history: &History, rpcs: f64) -> Vec<(f64, f64)> {
    let points = history.points(Instant::now(), &counted(rpcs));
    points.iter().map(|point| (point.age_seconds, point.requests_per_second)).collect()
}

#[tokio::test(start_paused = true)]
async fn after_a_start_all_spans_begin_there() {
    let history = History::new(Instant::now());
    assert_eq!(points(&history, 5.0), [(0.0, 5.0)]);
    advance(Duration::from_secs(7)).await;
    assert_eq!(last_minute(&history, 70.0), (7.0, 70.0));
    assert_eq!(points(&history, 70.0), [(0.0, 10.0)]);
}

#[tokio::test(start_paused = true)]
async fn the_last_minute_is_a_minute_and_at_most_a_sample_more() {
    let mut history = History::new(Instant::now());
    // Ten a second.
    let mut rpcs = 0.0;
    for _ in 0..100 {
        advance(EVERY).await;
        rpcs += 50.0;
        history.keep(Instant::now(), counted(rpcs));
    }
    assert_eq!(last_minute(&history, rpcs), (60.0, 600.0));
    advance(Duration::from_secs(4)).await;
    assert_eq!(last_minute(&history, rpcs + 40.0), (64.0, 640.0));
    advance(Duration::from_secs(1)).await;
    assert_eq!(last_minute(&history, rpcs + 50.0), (60.0, 600.0));
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_the_process_is_part_of_the_spans() {
    let mut history = History::new(Instant::now());
    history.keep(Instant::now(), counted(5.0));
    advance(Duration::from_mins(5)).await;
    assert_eq!(last_minute(&history, 305.0), (300.0, 300.0));
    assert_eq!(points(&history, 305.0), [(0.0, 1.0)]);
}

#[tokio::test(start_paused = true)]
async fn points_are_evenly_spaced_and_bounded_in_number() {
    let mut history = History::new(Instant::now());
    let mut rpcs = 0.0;
    // Late by a different moment each time, as a busy machine's timer is.
    for sample in 0..1000_u32 {
        advance(EVERY + Duration::from_millis(u64::from(sample % 3))).await;
        rpcs += if sample < 997 { 50.0 } else { 0.0 };
        history.keep(Instant::now(), counted(rpcs));
    }
    let points = points(&history, rpcs);
    assert_eq!(points.len(), 61);
    assert!(points[0].0 <= PLOTTED.as_secs_f64(), "{points:?}");
    for pair in points.windows(2).take(58) {
        let distance = pair[0].0 - pair[1].0;
        assert!((distance - POINT.as_secs_f64()).abs() < 0.1, "{points:?}");
        assert!((pair[0].1 - 10.0).abs() < 0.1, "{points:?}");
    }
    // The newest ends now.
    assert!(points[60].0.abs() < 1e-9 && points[60].1.abs() < 1e-9, "{points:?}");
}

#[tokio::test(start_paused = true)]
async fn a_point_has_every_plot_s_value_from_the_first_request_on() {
    let nothing = Given::nothing().status().history;
    assert_eq!(nothing.len(), 1);
    assert_eq!(
        (nothing[0].hit_ratio, nothing[0].p50_seconds, nothing[0].budget_used),
        (None, None, None)
    );
    let limit: Labels<'_> = &[("model", "voyage-4"), ("key", "default"), ("unit", "requests")];
    let tokens: Labels<'_> = &[("model", "voyage-4"), ("key", "default"), ("unit", "tokens")];
    let first = Given::nothing()
        .counter("voyage_gateway_rpcs_total", &[(&[("outcome", "ok")], 1.0)])
        .counter("voyage_gateway_cache_lookups_total", &[(&[("result", "miss")], 1.0)])
        .histogram("rpc_server_call_duration_seconds", &[0.1, 0.5], &[("", &[0.05])])
        .gauge("voyage_gateway_rate_limit_used", &[(limit, 500.0), (tokens, 10.0)])
        .gauge("voyage_gateway_rate_limit_limit", &[(limit, 2000.0), (tokens, 1000.0)])
        .status();
    let [point] = &first.history[..] else { panic!("{:?}", first.history) };
    assert_eq!((point.requests_per_second, point.hit_ratio), (0.1, Some(0.0)));
    assert_eq!((point.p50_seconds, point.budget_used), (Some(0.05), Some(0.25)));
}

#[test]
fn quantiles_lie_between_the_bounds() {
    let bounds = [0.1, 0.2, 0.4];
    let of = |values: &[f64]| {
        let given = Given::nothing().histogram(
            "voyage_gateway_batch_size",
            &bounds,
            &[("a", values), ("b", &[])],
        );
        given.families().histogram(&catalogue::BATCH_SIZE).unwrap()
    };
    assert_eq!(Buckets::default().quantile(0.5), None);
    let ten = of(&[0.15; 10]);
    assert!((ten.quantile(0.5).unwrap() - 0.15).abs() < 1e-9);
    // Values beyond the last bound count as that bound.
    assert_eq!(of(&[9.0]).quantile(0.5), Some(0.4));
    let later = of(&[0.15, 0.15, 0.15, 0.15, 0.15, 0.15, 0.15, 0.15, 0.15, 0.15, 0.3, 0.3]);
    let between = later.since(&ten);
    assert!((between.count - 2.0).abs() < 1e-9);
    assert!((between.quantile(0.5).unwrap() - 0.3).abs() < 1e-9);
    assert_eq!(later.since(&Buckets::default()), later);
}
