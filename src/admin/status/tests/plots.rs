use crate::admin::status::{page::plots, report::Point};

/// Draws points of these hit ratios, 15 seconds apart, the last one now.
fn drawn(ratios: &[Option<f64>]) -> String {
    let ages = (0..ratios.len()).rev();
    let points: Vec<Point> = ages
        .zip(ratios)
        .map(|(place, ratio)| Point {
            age_seconds: 15.0 * f64::from(u8::try_from(place).unwrap()),
            hit_ratio: *ratio,
            ..Point::default()
        })
        .collect();
    let html = plots::section(&points).into_string();
    let figures: Vec<&str> = html.split("<figure>").collect();
    assert_eq!(figures.len(), 5);
    figures[2].to_owned()
}

#[test]
fn without_a_value_there_is_an_empty_plot() {
    for none in [&[][..], &[None], &[None, None]] {
        let plot = drawn(none);
        assert!(plot.contains("Cache hit ratio</p><b>–</b>"), "{plot}");
        assert!(
            plot.contains("<title>Cache hit ratio in the last 15 minutes: no data yet</title>"),
            "{plot}"
        );
        assert!(!plot.contains("class=\"dot\""), "{plot}");
    }
}

#[test]
fn a_single_value_is_a_dot_at_its_time() {
    let plot = drawn(&[Some(0.25)]);
    assert!(plot.contains("<b>25.0 %</b>"), "{plot}");
    assert!(plot.contains(r#"class="line" d="M900 75.0h0""#), "{plot}");
    assert!(plot.contains(r#"class="dot" d="M900 75.0h0""#), "{plot}");
    // The newest value stays while there is none for now.
    let plot = drawn(&[Some(0.25), None]);
    assert!(plot.contains("<b>25.0 %</b>") && plot.contains(r#"d="M885 75.0h0""#), "{plot}");
    assert!(!plot.contains("class=\"dot\""), "{plot}");
}

#[test]
fn the_line_is_interrupted_where_there_is_no_value() {
    let plot = drawn(&[Some(0.0), Some(1.0), None, Some(0.5)]);
    assert!(plot.contains(r#"class="line" d="M855 100.0L870 0.0h0M900 50.0h0""#), "{plot}");
    assert!(
        plot.contains(r#"class="area" d="M855 100.0L870 0.0V100H855ZM900 50.0V100H900Z""#),
        "{plot}"
    );
    assert!(plot.contains("; newest 50.0 %, lowest 0 %, highest 100 %</title>"), "{plot}");
}

#[test]
fn an_axis_ends_at_a_round_number() {
    for (highest, end) in
        [(0.7, 1.0), (0.003, 0.005), (1.0, 1.0), (1.2, 2.0), (4.9, 5.0), (51.0, 100.0)]
    {
        assert!((plots::round_up(highest) - end).abs() < 1e-9, "{highest}");
    }
}
