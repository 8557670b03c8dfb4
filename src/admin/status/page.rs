//! The page: what is asked first stands first.

mod tables;

use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};

use super::{
    format::{self, UNKNOWN, known},
    html::Html,
    report::{Cause, Severity, Status},
};

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What browsers may do with the page: run its own script, apply its own style, and ask where it came from.
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
    let mut title = Html::default();
    title.text(headline(status));
    TEMPLATE
        .replace("{{style}}", STYLE)
        .replace("{{script}}", SCRIPT)
        .replace("{{title}}", &title.into_string())
        // Last: what it brings is not searched for the others.
        .replace("{{parts}}", parts)
}

/// Returns the parts of the page, each with an id by which the script finds what it replaces.
pub(super) fn parts(status: &Status) -> String {
    let mut html = Html::default();
    about(&mut html, status);
    verdict(&mut html, status);
    figures(&mut html, status);
    html.raw("<div class=\"columns\">");
    tables::outcomes(&mut html, status);
    tables::voyage(&mut html, status);
    tables::budgets(&mut html, status);
    tables::work(&mut html, status);
    html.raw("</div>");
    tables::errors(&mut html, status);
    tables::slow(&mut html, status);
    html.raw("<div class=\"columns\">");
    tables::callers(&mut html, status);
    tables::process(&mut html, status);
    html.raw("</div>");
    html.into_string()
}

fn headline(status: &Status) -> &'static str {
    match status.health.state {
        "well" => "Serving",
        "impaired" => "Serving, impaired",
        "failing" => "Serving only what is cached",
        _ => "Draining",
    }
}

fn about(html: &mut Html, status: &Status) {
    html.raw("<p id=\"about\">Version ").text(&status.version).raw(" <span class=\"id\">");
    html.text(status.revision.get(..12).unwrap_or(&status.revision)).raw("</span> · up ");
    html.text(&format::span(status.uptime_seconds)).raw("</p>");
}

fn verdict(html: &mut Html, status: &Status) {
    let health = &status.health;
    // Whoever listens hears of a change, and not of every number.
    html.raw("<h1 id=\"verdict\" aria-live=\"polite\" class=\"");
    html.raw(match health.state {
        "well" => "ok\">",
        "failing" => "bad\">",
        _ => "warn\">",
    });
    html.raw(headline(status)).raw("</h1>");
    html.raw("<section id=\"whose\" aria-label=\"Whose doing\"><ul class=\"parties\">");
    party(html, "This gateway", &health.gateway);
    party(html, "Voyage", &health.voyage);
    party(html, "Callers", &health.callers);
    html.raw("</ul></section>");
}

/// One of the three who may have to act.
fn party(html: &mut Html, name: &'static str, causes: &[Cause]) {
    let (class, sign) = match causes.iter().map(|cause| cause.severity).max() {
        None => ("ok", "✓ Well"),
        Some(Severity::Notice) => ("note", "◆ Note"),
        Some(Severity::Impaired) => ("warn", "▲ Impaired"),
        Some(Severity::Failing) => ("bad", "✕ Failing"),
    };
    html.raw("<li><h2>").raw(name).raw("</h2> <strong class=\"").raw(class).raw("\">");
    html.raw(sign).raw("</strong>");
    for cause in causes {
        html.raw("<p>").text(&cause.text).raw("</p>");
    }
    html.raw("</li>");
}

fn figures(html: &mut Html, status: &Status) {
    let (rpcs, cache, cost, tokens) = (&status.rpcs, &status.cache, &status.cost, &status.tokens);
    html.raw("<section aria-labelledby=\"figures-title\"><h2 id=\"figures-title\">");
    if status.window_seconds < 60.0 {
        html.raw("Last ").text(&format::span(status.window_seconds)).raw(", since the start");
    } else {
        html.raw("Last minute");
    }
    html.raw("</h2><dl id=\"figures\" class=\"figures\">");
    figure(html, "RPCs a second", &format::rate(rpcs.per_second), |html| {
        html.text(&format::short(rpcs.all.since_start)).raw(" since start");
    });
    let ok = rpcs.outcomes.iter().find(|outcome| outcome.name == "ok");
    let ok = ok.map(|outcome| outcome.count).unwrap_or_default();
    let share = (rpcs.all.last_minute > 0.0).then(|| ok.last_minute / rpcs.all.last_minute);
    figure(html, "RPCs answered", &known(share, format::percent), |html| {
        html.text(&format::count(rpcs.all.last_minute - ok.last_minute)).raw(" not answered");
    });
    figure(html, "Cache hits", &known(cache.hit_ratio_last_minute, format::percent), |html| {
        html.text(&known(cache.hit_ratio_since_start, format::percent)).raw(" since start");
    });
    let p99 = status.upstream.p99_seconds;
    figure(html, "Voyage, median", &known(status.upstream.p50_seconds, format::took), |html| {
        html.text(&known(p99, format::took)).raw(" for 99 %");
    });
    figure(html, "Tokens billed", &format::short(tokens.billed.last_minute), |html| {
        html.text(&format::short(tokens.billed.since_start)).raw(" since start");
        if let Some(saved) = tokens.saved {
            html.raw(", ").text(&format::short(saved.since_start)).raw(" saved");
        }
    });
    let spent = cost.spent_usd.map(|spent| spent.since_start);
    let saved = cost.saved_usd.map(|saved| saved.since_start);
    figure(html, "Spent since start", &known(spent, format::usd), |html| {
        html.text(&known(saved, format::usd)).raw(" saved");
    });
    html.raw("</dl></section>");
}

fn figure(html: &mut Html, name: &'static str, value: &str, below: impl FnOnce(&mut Html)) {
    html.raw("<div><dt>").raw(name).raw("</dt><dd>").text(value).raw("</dd><dd class=\"below\">");
    below(html);
    html.raw("</dd></div>");
}
