use tokio::time::advance;

use super::*;
use crate::telemetry::{Buckets, catalogue};

fn counted(rpcs: f64) -> Counts {
    let given =
        Given::nothing().counter("voyage_gateway_rpcs_total", &[(&[("outcome", "ok")], rpcs)]);
    Counts::of(&given.families())
}

fn since(samples: &Samples, rpcs: f64) -> (f64, f64) {
    let (span, window) = samples.window(Instant::now(), &counted(rpcs));
    (span.as_secs_f64(), window.outcomes["ok"])
}

#[tokio::test(start_paused = true)]
async fn after_a_start_the_window_begins_there() {
    let samples = Samples::new(Instant::now());
    advance(Duration::from_secs(7)).await;
    assert_eq!(since(&samples, 70.0), (7.0, 70.0));
}

#[tokio::test(start_paused = true)]
async fn then_it_is_a_minute_and_at_most_a_sample_more() {
    let mut samples = Samples::new(Instant::now());
    // Ten a second, sampled every five.
    let mut rpcs = 0.0;
    for _ in 0..100 {
        advance(sample::EVERY).await;
        rpcs += 50.0;
        samples.keep(Instant::now(), counted(rpcs));
    }
    assert_eq!(since(&samples, rpcs), (60.0, 600.0));
    advance(Duration::from_secs(4)).await;
    assert_eq!(since(&samples, rpcs + 40.0), (64.0, 640.0));
    advance(Duration::from_secs(1)).await;
    assert_eq!(since(&samples, rpcs + 50.0), (60.0, 600.0));
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_the_process_is_part_of_the_window() {
    let mut samples = Samples::new(Instant::now());
    samples.keep(Instant::now(), counted(5.0));
    advance(Duration::from_mins(5)).await;
    assert_eq!(since(&samples, 10.0), (300.0, 5.0));
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
    // Beyond the last bound nothing is known but that.
    assert_eq!(of(&[9.0]).quantile(0.5), Some(0.4));
    let later = of(&[0.15, 0.15, 0.15, 0.15, 0.15, 0.15, 0.15, 0.15, 0.15, 0.15, 0.3, 0.3]);
    let between = later.since(&ten);
    assert!((between.count - 2.0).abs() < 1e-9);
    assert!((between.quantile(0.5).unwrap() - 0.3).abs() < 1e-9);
    assert_eq!(later.since(&Buckets::default()), later);
}
