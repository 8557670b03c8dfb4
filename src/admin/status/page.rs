//! The page as HTML.

pub(super) mod plots;
mod tables;

use std::sync::LazyLock;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::{
    format::{self, known},
    report::{Count, Problem, Severity, Status},
};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The Content-Security-Policy: the page's own script and style, and requests to its own origin.
pub(super) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| base64_simd::STANDARD.encode_to_string(Sha256::digest(text));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE)
    )
});

/// Returns the whole page around its parts.
pub(super) fn whole(status: &Status, parts: &str) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (headline(status).0) " – voyage-gateway" }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                header { strong { "voyage-gateway" } " " span #live { "Reload to update" } }
                p #lost role="alert" hidden {}
                main { (PreEscaped(parts)) }
                footer {
                    "The same as JSON: " a href="status" { "/status" } ". For scrapers: "
                    a href="metrics" { "/metrics" } ". “Last minute” is the last 60 to 65 seconds."
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// Returns the parts of the page that change, each with an id by which the script replaces it.
pub(super) fn parts(status: &Status) -> String {
    let parts = html! {
        p #about {
            "Version " (status.version) " "
            span.id { (status.revision.get(..12).unwrap_or(&status.revision)) }
            " · up " (format::span(status.uptime_seconds))
        }
        (verdict(status))
        (figures(status))
        (plots::section(&status.history))
        div.columns {
            (tables::outcomes(status))
            (tables::voyage(status))
            (tables::budgets(status))
            (tables::work(status))
        }
        (tables::errors(status))
        (tables::slow(status))
        div.columns {
            (tables::callers(status))
            (tables::process(status))
        }
    };
    visible(&parts.into_string())
}

/// Replaces control characters, and those that change the direction of text: an id or a name must not look like another.
fn visible(html: &str) -> String {
    let directional = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    html.chars().map(|c| if c.is_control() || directional(c) { '\u{fffd}' } else { c }).collect()
}

/// Returns the state as a heading, and its CSS class.
fn headline(status: &Status) -> (&'static str, &'static str) {
    match status.health.state {
        "well" => ("Serving", "ok"),
        "impaired" => ("Serving, impaired", "warn"),
        "failing" => ("Serving cached inputs only", "bad"),
        _ => ("Draining", "warn"),
    }
}

fn verdict(status: &Status) -> Markup {
    let health = &status.health;
    let (headline, class) = headline(status);
    html! {
        // Screen readers announce this, and not every number.
        h1 #verdict aria-live="polite" class=(class) { (headline) }
        section #parties aria-label="Health" {
            ul.parties {
                (party("This gateway", &health.gateway))
                (party("Voyage", &health.voyage))
                (party("Callers", &health.callers))
            }
        }
    }
}

fn party(name: &str, causes: &[Problem]) -> Markup {
    let (class, sign) = match causes.iter().map(|cause| cause.severity).max() {
        None => ("ok", "✓ Healthy"),
        Some(Severity::Notice) => ("note", "◆ Notice"),
        Some(Severity::Impaired) => ("warn", "▲ Impaired"),
        Some(Severity::Failing) => ("bad", "✕ Failing"),
    };
    html! {
        li {
            h2 { (name) } " " strong class=(class) { (sign) }
            @for cause in causes { p { (cause.text) } }
        }
    }
}

fn figures(status: &Status) -> Markup {
    let (rpcs, cache, upstream) = (&status.rpcs, &status.cache, &status.upstream);
    let ok = rpcs.outcomes.iter().find(|outcome| outcome.name == "ok");
    let ok = ok.map(|outcome| outcome.count).unwrap_or_default();
    let share = |of: fn(Count) -> f64| (of(rpcs.all) > 0.0).then(|| of(ok) / of(rpcs.all));
    let (billed, saved) = (status.tokens.billed, status.tokens.saved.unwrap_or_default());
    let usd = |count: Option<Count>| known(count.map(|of| of.since_start), format::usd);
    let ever = format::short(rpcs.all.since_start);
    let p99 = known(upstream.p99_seconds, format::took);
    let (tokens, tokens_ever) =
        (format::short(billed.last_minute), format::short(billed.since_start));
    let (spent, unspent) = (usd(status.cost.spent_usd), usd(status.cost.saved_usd));
    html! {
        section aria-labelledby="figures-title" {
            h2 #figures-title {
                @if status.window_seconds < 60.0 {
                    "Last " (format::span(status.window_seconds)) ", since the start"
                } @else { "Last minute" }
            }
            dl #figures .figures {
                (figure("RPCs a second", &format::rate(rpcs.per_second), &html! { (ever) " since start" }))
                (ratio("Success rate", share(|count| count.last_minute), share(|count| count.since_start)))
                (ratio("Cache hit ratio", cache.hit_ratio_last_minute, cache.hit_ratio_since_start))
                (figure("Voyage, median", &known(upstream.p50_seconds, format::took),
                    &html! { "99 % within " (p99) }))
                (figure("Tokens billed", &tokens,
                    &html! { (tokens_ever) " since start, " (format::short(saved.since_start)) " saved" }))
                (figure("Spent since start", &spent, &html! { (unspent) " saved" }))
            }
        }
    }
}

/// A ratio of the last minute; without one, that since the start.
fn ratio(name: &str, last_minute: Option<f64>, since_start: Option<f64>) -> Markup {
    let ever = known(since_start, format::percent);
    match last_minute {
        Some(ratio) => figure(name, &format::percent(ratio), &html! { (ever) " since start" }),
        None => figure(name, &ever, &html! { "since start, none in the last minute" }),
    }
}

fn figure(name: &str, value: &str, below: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } dd.below { (below) } } }
}
