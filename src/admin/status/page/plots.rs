//! Plots of the last 15 minutes, as SVG. A unit is a second across, and a hundredth of the axis down.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::{
    super::{history::PLOTTED, report::Point},
    format, tables,
};

/// The extent of a plot in its own units.
const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 100.0;
const _: () = assert!(PLOTTED.as_secs() == 900, "a unit is a second");

struct Plot {
    title: &'static str,
    /// The main one comes first.
    lines: &'static [Line],
    /// The axis ends there or higher.
    least_end: f64,
    write: fn(f64) -> String,
}

struct Line {
    /// Empty in a plot of one line.
    name: &'static str,
    of: fn(&Point) -> Option<f64>,
}

const PLOTS: [Plot; 4] = [
    Plot {
        title: "Requests",
        lines: &[Line { name: "", of: |point| Some(point.requests_per_second) }],
        least_end: 1.0,
        write: |value| format!("{}/s", format::rate(value)),
    },
    Plot {
        title: "Cache hit ratio",
        lines: &[Line { name: "", of: |point| point.hit_ratio }],
        least_end: 1.0,
        write: format::percent,
    },
    Plot {
        title: "Latency",
        lines: &[
            Line { name: "median", of: |point| point.p50_seconds },
            Line { name: "99 %", of: |point| point.p99_seconds },
        ],
        least_end: 0.001,
        write: format::took,
    },
    Plot {
        title: "Upstream budget used",
        lines: &[Line { name: "", of: |point| point.budget_used }],
        least_end: 1.0,
        write: format::percent,
    },
];

pub(in crate::admin::status) fn section(points: &[Point]) -> Markup {
    let plots = html! { div.plots { @for plot in &PLOTS { (plot.draw(points)) } } };
    tables::section("history", "Last 15 minutes", &plots)
}

impl Plot {
    fn draw(&self, points: &[Point]) -> Markup {
        let values = self.lines.iter().flat_map(|line| points.iter().filter_map(line.of));
        let highest = values.fold(None, |highest, value| Some(value.max(highest.unwrap_or(value))));
        let end = round_up(highest.unwrap_or_default().max(self.least_end));
        html! {
            figure {
                figcaption {
                    p { (self.title) }
                    @for line in self.lines {
                        b { (format::known(line.newest(points), self.write)) } " "
                        @if !line.name.is_empty() { small { (line.name) } " " }
                    }
                }
                div.axes {
                    svg viewBox="0 0 900 100" preserveAspectRatio="none" role="img" {
                        title { (self.summary(points)) }
                        path.grid d="M0 0H900M0 50H900M0 100H900" {}
                        @for line in self.lines { g { (line.draw(points, end)) } }
                    }
                    span { @if highest.is_some() { ((self.write)(end).replacen(".0", "", 1)) } }
                    span { "0" }
                }
                div.time {
                    span { "15 min ago" }
                    span { @if highest.is_some() { "now" } @else { "no data yet" } }
                }
            }
        }
    }

    /// Describes the plot in words.
    fn summary(&self, points: &[Point]) -> String {
        let mut summary = format!("{} in the last 15 minutes", self.title);
        for line in self.lines {
            let Some(newest) = line.newest(points) else { return summary + ": no data yet" };
            let values = || points.iter().filter_map(line.of);
            let extremes = [values().fold(newest, f64::min), values().fold(newest, f64::max)];
            let [lowest, highest] = extremes.map(self.write);
            let name = if line.name.is_empty() { "newest" } else { line.name };
            let newest = (self.write)(newest);
            let _ = write!(summary, "; {name} {newest}, lowest {lowest}, highest {highest}");
        }
        summary
    }
}

impl Line {
    fn newest(&self, points: &[Point]) -> Option<f64> {
        points.iter().rev().find_map(self.of)
    }

    /// Draws the line and the area below it, both interrupted where there is no value, and a dot at this moment.
    fn draw(&self, points: &[Point], end: f64) -> Markup {
        let place = |point: &Point, value: f64| {
            format!("{:.0} {:.1}", WIDTH - point.age_seconds, HEIGHT * (1.0 - value / end))
        };
        let placed: Vec<Option<String>> =
            points.iter().map(|point| Some(place(point, (self.of)(point)?))).collect();
        let (mut line, mut area) = (String::new(), String::new());
        for run in placed.split(Option::is_none).filter(|run| !run.is_empty()) {
            let run: Vec<&str> = run.iter().flatten().map(String::as_str).collect();
            let path = run.join("L");
            // A line of no length shows a single point.
            let _ = write!(line, "M{path}h0");
            let _ = write!(area, "M{path}V{HEIGHT}H{}Z", run[0].split(' ').next().unwrap_or("0"));
        }
        let newest = placed.last().into_iter().flatten();
        html! {
            path.area d=(area) {}
            path.line d=(line) {}
            @for place in newest { path.dot d={ "M" (place) "h0" } {} }
        }
    }
}

/// Returns the end of an axis: 1, 2 or 5 times a power of ten, and at least `highest`, which is not 0.
pub(in crate::admin::status) fn round_up(highest: f64) -> f64 {
    let power = 10f64.powf(highest.log10().floor());
    let ends = [1.0, 2.0, 5.0].map(|step| step * power);
    ends.into_iter().find(|end| *end >= highest).unwrap_or(10.0 * power)
}
