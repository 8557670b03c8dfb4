//! The page's tables. What is long stands below what is short, so that a phone shows both.

use super::{Html, Status, UNKNOWN, format, known};
use crate::admin::status::report::{Count, Named, Use};

/// Slow RPCs that are shown; the JSON has all.
const SLOW: usize = 6;

/// Errors that are shown; the JSON has all.
const ERRORS: usize = 6;

/// Writes a section with its heading; `content` can be replaced.
fn section(
    html: &mut Html,
    id: &'static str,
    title: &'static str,
    content: impl FnOnce(&mut Html),
) {
    html.raw("<section aria-labelledby=\"").raw(id).raw("-title\"><h2 id=\"").raw(id);
    html.raw("-title\">").raw(title).raw("</h2><div id=\"").raw(id).raw("\">");
    content(html);
    html.raw("</div></section>");
}

/// Begins a table; the first column is text, the others are numbers.
fn table(html: &mut Html, columns: &[&'static str]) {
    html.raw("<table><thead><tr>");
    for column in columns {
        html.raw("<th scope=\"col\">").raw(column).raw("</th>");
    }
    html.raw("</tr></thead><tbody>");
}

fn row(html: &mut Html, name: &str, cells: &[String]) {
    html.raw("<tr><th scope=\"row\">").text(name).raw("</th>");
    self::cells(html, cells);
    html.raw("</tr>");
}

fn cells(html: &mut Html, cells: &[String]) {
    for cell in cells {
        // What is nothing stands back behind what is something.
        let is_nothing = matches!(cell.as_str(), "0" | "0 B" | UNKNOWN);
        html.raw(if is_nothing { "<td class=\"zero\">" } else { "<td>" }).text(cell).raw("</td>");
    }
}

fn total(html: &mut Html, count: Count) {
    html.raw("<tr class=\"total\"><th scope=\"row\">All</th>");
    cells(html, &counts(count));
    html.raw("</tr>");
}

fn end(html: &mut Html) {
    html.raw("</tbody></table>");
}

fn nothing(html: &mut Html, text: &'static str) {
    html.raw("<p class=\"none\">").raw(text).raw("</p>");
}

fn counts(count: Count) -> [String; 2] {
    [format::count(count.last_minute), format::short(count.since_start)]
}

/// What an outcome means, to whoever does not know its label.
fn meaning(outcome: &str) -> &'static str {
    match outcome {
        "ok" => "Answered",
        "caller" => "Caller’s doing",
        "upstream" => "Voyage’s doing",
        "gateway" => "Our doing",
        "shed" => "Refused, full",
        "cancelled" => "Caller left",
        "panicked" => "Lost to a defect",
        _ => "Other",
    }
}

pub(super) fn outcomes(html: &mut Html, status: &Status) {
    section(html, "rpcs", "RPCs", |html| {
        table(html, &["Outcome", "Last minute", "Since start"]);
        for Named { name, count } in &status.rpcs.outcomes {
            row(html, meaning(name), &counts(*count));
        }
        total(html, status.rpcs.all);
        end(html);
        let (p50, p99) = (status.rpcs.p50_seconds, status.rpcs.p99_seconds);
        html.raw("<p class=\"foot\">Median ").text(&known(p50, format::took));
        html.raw(", 99 % within ").text(&known(p99, format::took)).raw(", in the last minute</p>");
    });
}

pub(super) fn voyage(html: &mut Html, status: &Status) {
    let upstream = &status.upstream;
    section(html, "voyage", "Calls to Voyage", |html| {
        table(html, &["Answer", "Last minute", "Since start"]);
        for Named { name, count } in &upstream.statuses {
            let name = if name == "none" { "No answer".to_owned() } else { format!("HTTP {name}") };
            row(html, &name, &counts(*count));
        }
        total(html, upstream.calls);
        end(html);
        let [last_minute, since_start] = counts(upstream.retries);
        html.raw("<p class=\"foot\">Repeated <b>").text(&last_minute).raw("</b>, since start <b>");
        html.text(&since_start).raw("</b> · circuit breaker <b>");
        let breaker = upstream.breaker.as_deref().unwrap_or(UNKNOWN).replace('_', " ");
        html.text(&breaker).raw("</b>");
        for key in &upstream.keys {
            html.raw(" · key ").text(&key.key).raw(" <b>");
            html.raw(if key.rejected { "rejected" } else { "accepted" }).raw("</b>");
        }
        html.raw("</p>");
    });
}

pub(super) fn budgets(html: &mut Html, status: &Status) {
    section(html, "budgets", "Limits and budgets", |html| {
        if status.rate_limits.is_empty() && status.budgets.is_empty() {
            return nothing(html, "None used yet.");
        }
        table(html, &["Budget", "Used", "Limit"]);
        for limit in &status.rate_limits {
            let (model, key) = (&limit.model, &limit.key);
            if let Some(requests) = limit.requests {
                bar(html, (model, &format!("requests a minute, key {key}")), requests);
            }
            if let Some(tokens) = limit.tokens {
                bar(html, (model, &format!("tokens a minute, key {key}")), tokens);
            }
        }
        for budget in &status.budgets {
            bar(html, (&budget.budget, "tokens"), budget.tokens);
        }
        end(html);
    });
}

/// A row with a bar below it. The bar says nothing that the numbers do not.
fn bar(html: &mut Html, (name, unit): (&str, &str), of: Use) {
    let share = if of.limit > 0.0 { (of.used / of.limit).clamp(0.0, 1.0) } else { 0.0 };
    html.raw("<tr class=\"over\"><th scope=\"row\">").text(name).raw(" <small>").text(unit);
    html.raw("</small></th>");
    cells(html, &[format::short(of.used), format::short(of.limit)]);
    html.raw("</tr><tr class=\"bar\" aria-hidden=\"true\"><td colspan=\"3\"><svg class=\"");
    html.raw(if share >= 1.0 {
        "bad"
    } else if share >= 0.8 {
        "warn"
    } else {
        "plain"
    });
    html.raw("\" width=\"100%\" height=\"4\"><rect width=\"");
    html.text(&format!("{:.1}", share * 100.0)).raw("%\" height=\"4\"/></svg></td></tr>");
}

pub(super) fn work(html: &mut Html, status: &Status) {
    let work = &status.work;
    let count = |value| known(value, format::count);
    let bytes = |value| known(value, format::bytes);
    section(html, "work", "Queue and batches", |html| {
        table(html, &["What", "Now", "At most"]);
        row(html, "RPCs in flight", &[count(work.requests), count(work.max_requests)]);
        let held = [bytes(work.request_bytes), bytes(work.max_request_bytes)];
        row(html, "Bytes in flight", &held);
        row(html, "Texts waiting", &[count(work.waiting_texts), String::new()]);
        row(html, "Bytes waiting", &[bytes(work.waiting_bytes), String::new()]);
        row(html, "Calls to Voyage", &[count(work.calls), count(work.max_calls)]);
        end(html);
        html.raw("<p class=\"foot\">Batches ").text(&known(work.batch_fill, format::percent));
        html.raw(" full, ")
            .text(&known(work.batch_texts, format::rate))
            .raw(" texts each; waited ");
        html.text(&known(work.wait_p50_seconds, format::took)).raw(", 99 % within ");
        html.text(&known(work.wait_p99_seconds, format::took)).raw(", in the last minute</p>");
    });
}

pub(super) fn errors(html: &mut Html, status: &Status) {
    section(html, "errors", "Last errors from Voyage", |html| {
        let errors = &status.upstream.errors;
        if errors.is_empty() {
            return nothing(html, "None since the start.");
        }
        table(html, &["Error", "HTTP", "Age"]);
        for error in errors.iter().take(ERRORS) {
            html.raw("<tr class=\"over\"><th scope=\"row\">").text(error.reason).raw("</th>");
            let http = known(error.status, |status| status.to_string());
            cells(html, &[http, format::span(error.age_seconds)]);
            below(html, |html| {
                detail(html, "", whose(error.blame));
                detail(html, "key ", &error.key);
                id(html, "request ", error.request_id.as_deref());
                id(html, "trace ", error.trace_id.as_deref());
            });
        }
        end(html);
        more(html, errors.len(), ERRORS);
    });
}

pub(super) fn slow(html: &mut Html, status: &Status) {
    section(html, "slow", "Slowest RPCs of the last ten minutes", |html| {
        if status.slow_rpcs.is_empty() {
            return nothing(html, "None took more than 100 ms.");
        }
        table(html, &["RPC", "Took", "Age"]);
        for rpc in status.slow_rpcs.iter().take(SLOW) {
            let name = rpc.method.rsplit('.').next().unwrap_or(rpc.method);
            html.raw("<tr class=\"over\"><th scope=\"row\">").text(name).raw("</th>");
            cells(html, &[format::took(rpc.seconds), format::span(rpc.age_seconds)]);
            below(html, |html| {
                detail(html, "", meaning(rpc.outcome));
                detail(html, "", rpc.caller.as_deref().unwrap_or("caller unknown"));
                id(html, "request ", Some(&rpc.request_id));
                id(html, "trace ", Some(&rpc.trace_id));
            });
        }
        end(html);
        more(html, status.slow_rpcs.len(), SLOW);
    });
}

fn whose(blame: &str) -> &'static str {
    match blame {
        "caller" => "Caller’s doing",
        "gateway" => "Our doing",
        _ => "Voyage’s doing",
    }
}

/// Ends a row with one below it, for what is too long for a column.
fn below(html: &mut Html, details: impl FnOnce(&mut Html)) {
    html.raw("</tr><tr class=\"details\"><td colspan=\"3\"><small>");
    details(html);
    html.raw("</small></td></tr>");
}

fn detail(html: &mut Html, name: &'static str, text: &str) {
    html.raw("<span>").raw(name).text(text).raw("</span> ");
}

/// An id to search for.
fn id(html: &mut Html, name: &'static str, id: Option<&str>) {
    if let Some(id) = id {
        html.raw("<span>").raw(name).raw("<span class=\"id\">").text(id).raw("</span></span> ");
    }
}

fn more(html: &mut Html, all: usize, shown: usize) {
    if all > shown {
        html.raw("<p class=\"foot\">").text(&(all - shown).to_string());
        html.raw(" more in <a href=\"status\">/status</a></p>");
    }
}

pub(super) fn callers(html: &mut Html, status: &Status) {
    section(html, "callers", "Top callers", |html| {
        if status.callers.is_empty() {
            return nothing(html, "Nobody has used tokens yet.");
        }
        table(html, &["Caller", "RPCs", "Tokens", "Last minute"]);
        for caller in &status.callers {
            let rpcs = known(caller.rpcs, |rpcs| format::short(rpcs.since_start));
            let [last_minute, since_start] = counts(caller.tokens);
            row(html, &caller.caller, &[rpcs, since_start, last_minute]);
        }
        end(html);
    });
}

pub(super) fn process(html: &mut Html, status: &Status) {
    let (process, cache) = (&status.process, &status.cache);
    section(html, "process", "Process", |html| {
        table(html, &["What", "Now", "At most"]);
        for port in &process.connections {
            let most = known(port.max, format::count);
            let name = format!("Connections, {} port", port.port);
            row(html, &name, &[format::count(port.open), most]);
        }
        let cached = [known(cache.bytes, format::bytes), known(cache.max_bytes, format::bytes)];
        row(html, "Cache", &cached);
        let alone = |value: String| [value, String::new()];
        row(html, "Cached answers", &alone(known(cache.entries, format::count)));
        row(html, "Resident memory", &alone(known(process.resident_bytes, format::bytes)));
        row(html, "Threads", &alone(known(process.threads, format::count)));
        row(html, "Open files", &alone(known(process.file_descriptors, format::count)));
        if let Some(left) = process.certificate_expires_in_seconds {
            let left = if left > 0.0 { format::span(left) } else { "expired".to_owned() };
            row(html, "Certificate ends in", &alone(left));
        }
        end(html);
    });
}
