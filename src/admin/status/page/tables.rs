//! The page's tables. Long texts stand below short ones, so that a phone shows both.

use maud::{Markup, Render, html};

use super::{
    super::report::{Aged, Count, Named, Status, Use},
    format::{self, UNKNOWN, known},
};

/// Slow RPCs and errors that are shown; the JSON has all.
const SHOWN: usize = 6;

/// A section with a heading; `content` can be replaced.
pub(super) fn section(id: &str, title: &str, content: &Markup) -> Markup {
    let title_id = format!("{id}-title");
    html! {
        section aria-labelledby=(title_id) {
            h2 id=(title_id) { (title) }
            div id=(id) { (content) }
        }
    }
}

/// A table; the first column is text, the others are numbers.
fn table(columns: &[&str], rows: &Markup) -> Markup {
    html! {
        table {
            thead { tr { @for column in columns { th scope="col" { (column) } } } }
            tbody { (rows) }
        }
    }
}

fn row(name: impl Render, values: &[String]) -> Markup {
    html! { tr { (cells(name, values)) } }
}

fn cells(name: impl Render, values: &[String]) -> Markup {
    html! {
        th scope="row" { (name) }
        @for value in values {
            td.zero[matches!(value.as_str(), "0" | "0 B" | UNKNOWN)] { (value) }
        }
    }
}

/// A table; without any rows, the text `none`.
fn table_or(none: &str, columns: &[&str], rows: &Markup) -> Markup {
    if rows.0.is_empty() {
        html! { p.none { (none) } }
    } else {
        table(columns, rows)
    }
}

fn counts(count: Count) -> [String; 2] {
    [format::count(count.last_minute), format::short(count.since_start)]
}

fn count(value: Option<f64>) -> String {
    known(value, format::count)
}

fn bytes(value: Option<f64>) -> String {
    known(value, format::bytes)
}

fn took(seconds: Option<f64>) -> String {
    known(seconds, format::took)
}

/// A table of counters, with their sum.
fn counters(name: &str, of: &[Named], title: fn(&str) -> String, all: Count) -> Markup {
    table(
        &[name, "Last minute", "Since start"],
        &html! {
            @for Named { name, count } in of { (row(title(name), &counts(*count))) }
            tr.total { (cells("All", &counts(all))) }
        },
    )
}

/// Names an outcome, or the party to blame for an error.
fn outcome(label: &str) -> String {
    let name = match label {
        "ok" => "OK",
        "caller" => "Caller error",
        "upstream" => "Voyage error",
        "gateway" => "Gateway error",
        "shed" => "Overloaded",
        "cancelled" => "Cancelled",
        "panicked" => "Internal error",
        other => other,
    };
    name.to_owned()
}

pub(super) fn outcomes(status: &Status) -> Markup {
    let rpcs = &status.rpcs;
    section(
        "rpcs",
        "RPCs",
        &html! {
            (counters("Outcome", &rpcs.outcomes, outcome, rpcs.all))
            p.foot {
                "Latency in the last minute: median " b { (took(rpcs.p50_seconds)) }
                ", 99 % within " b { (took(rpcs.p99_seconds)) }
            }
        },
    )
}

pub(super) fn voyage(status: &Status) -> Markup {
    let upstream = &status.upstream;
    let answer = |status: &str| match status {
        "none" => "No answer".to_owned(),
        status => format!("HTTP {status}"),
    };
    let [retried, retried_ever] = counts(upstream.retries);
    let endpoints = html! {
        @for of in &upstream.endpoints {
            (row(&of.endpoint, &[format::count(of.calls.last_minute), format::count(of.failed.last_minute)]))
        }
    };
    let breaker = upstream.breaker.as_deref().unwrap_or(UNKNOWN).replace('_', "-");
    section(
        "voyage",
        "Calls to Voyage",
        &html! {
            (counters("Answer", &upstream.statuses, answer, upstream.calls))
            @if !upstream.endpoints.is_empty() {
                (table(&["Endpoint", "Last minute", "Failed"], &endpoints))
            }
            p.foot {
                "Retries " b { (retried) } ", since start " b { (retried_ever) }
                " · circuit breaker " b { (breaker) }
                @for key in &upstream.keys {
                    " · key " (key.key) " " b { (if key.rejected { "rejected" } else { "accepted" }) }
                }
            }
        },
    )
}

pub(super) fn budgets(status: &Status) -> Markup {
    let rows = html! {
        @for limit in &status.rate_limits {
            @for (unit, of) in [("requests", limit.requests), ("tokens", limit.tokens)] {
                @if let Some(of) = of {
                    (bar(&limit.model, &format!("{unit} a minute, key {}", limit.key), of))
                }
            }
        }
        @for budget in &status.budgets { (bar(&budget.budget, "tokens", budget.tokens)) }
    };
    let table = table_or("None used yet.", &["Budget", "Used", "Limit"], &rows);
    section("budgets", "Limits and budgets", &table)
}

/// A row with a bar below it.
fn bar(name: &str, unit: &str, of: Use) -> Markup {
    let share = of.share();
    let class = match share {
        1.0.. => "bad",
        0.8.. => "warn",
        _ => "plain",
    };
    let width = format!("{:.1}%", share * 100.0);
    let name = html! { (name) " " small { (unit) } };
    html! {
        tr.over { (cells(name, &[format::short(of.used), format::short(of.limit)])) }
        tr.bar aria-hidden="true" {
            td colspan="3" {
                svg class=(class) width="100%" height="4" { rect width=(width) height="4" {} }
            }
        }
    }
}

pub(super) fn work(status: &Status) -> Markup {
    let work = &status.work;
    let rows = html! {
        (row("RPCs in flight", &[count(work.requests), count(work.max_requests)]))
        (row("Bytes in flight", &[bytes(work.request_bytes), bytes(work.max_request_bytes)]))
        (row("Inputs waiting", &[count(work.waiting_texts), String::new()]))
        (row("Bytes waiting", &[bytes(work.waiting_bytes), String::new()]))
        (row("Calls to Voyage", &[count(work.calls), count(work.max_calls)]))
    };
    section(
        "work",
        "Queue and batches",
        &html! {
            (table(&["Quantity", "Now", "Limit"], &rows))
            p.foot {
                "In the last minute: batches " b { (known(work.batch_fill, format::percent)) } " full, "
                b { (known(work.batch_texts, format::rate)) } " inputs each; wait median "
                b { (took(work.wait_p50_seconds)) } ", 99 % within " b { (took(work.wait_p99_seconds)) }
            }
        },
    )
}

pub(super) fn errors(status: &Status) -> Markup {
    let entries = status.upstream.errors.iter().map(|Aged { event: error, age_seconds }| {
        let http = known(error.status, |status| status.to_string());
        entry(error.reason, &[http, format::span(*age_seconds)], &html! {
            span { (error.endpoint) } " " span { (outcome(error.blame.as_str())) } " "
            span { "key " (error.key) } " "
            (id("request", error.request_id.as_deref())) (id("trace", error.trace_id.as_deref()))
        })
    });
    let list = list(["Error", "HTTP", "Age"], entries, "None since the start.");
    section("errors", "Last errors from Voyage", &list)
}

pub(super) fn slow(status: &Status) -> Markup {
    let entries = status.slow_rpcs.iter().map(|Aged { event: rpc, age_seconds }| {
        let name = rpc.method.rsplit('.').next().unwrap_or(rpc.method);
        entry(
            name,
            &[format::took(rpc.took.as_secs_f64()), format::span(*age_seconds)],
            &html! {
                span { (outcome(rpc.outcome.as_str())) } " "
                span { (rpc.caller.as_deref().unwrap_or("caller unknown")) } " "
                (id("request", Some(&rpc.request_id))) (id("trace", Some(&rpc.trace_id)))
            },
        )
    });
    let list = list(["RPC", "Latency", "Age"], entries, "None took more than 100 ms.");
    section("slow", "Slowest RPCs of the last ten minutes", &list)
}

/// The first of many entries; without any, `none`.
fn list(
    columns: [&str; 3],
    mut entries: impl ExactSizeIterator<Item = Markup>,
    none: &str,
) -> Markup {
    let rows = html! { @for entry in entries.by_ref().take(SHOWN) { (entry) } };
    html! {
        (table_or(none, &columns, &rows))
        @if entries.len() > 0 { p.foot { (entries.len()) " more in " a href="status" { "/status" } } }
    }
}

/// A row, and one below it for texts that are too long for a column.
fn entry(name: &str, values: &[String; 2], details: &Markup) -> Markup {
    html! {
        tr.over { (cells(name, values)) }
        tr.details { td colspan="3" { small { (details) } } }
    }
}

fn id(name: &str, id: Option<&str>) -> Markup {
    html! { @if let Some(id) = id { span { (name) " " span.id { (id) } } " " } }
}

pub(super) fn callers(status: &Status) -> Markup {
    let rows = html! {
        @for caller in &status.callers {
            @let rpcs = known(caller.rpcs, |rpcs| format::short(rpcs.since_start));
            @let [last_minute, since_start] = counts(caller.tokens);
            (row(&caller.caller, &[rpcs, since_start, last_minute]))
        }
    };
    let columns = ["Caller", "RPCs", "Tokens", "Last minute"];
    section(
        "callers",
        "Top callers",
        &html! {
            (table_or("No tokens used yet.", &columns, &rows))
            @if !rows.0.is_empty() { p.foot { "RPCs and tokens since start, and tokens of the last minute." } }
        },
    )
}

pub(super) fn process(status: &Status) -> Markup {
    let (process, cache) = (&status.process, &status.cache);
    let alone = |value: String| [value, String::new()];
    let rows = html! {
        @for port in &process.connections {
            @let name = format!("Connections, {} port", port.port);
            (row(name, &[format::count(port.open), count(port.max)]))
        }
        (row("Cache", &[bytes(cache.bytes), bytes(cache.max_bytes)]))
        (row("Cached vectors", &alone(count(cache.entries))))
        (row("Resident memory", &alone(bytes(process.resident_bytes))))
        (row("Threads", &alone(count(process.threads))))
        (row("Open files", &alone(count(process.file_descriptors))))
        @if let Some(left) = process.certificate_expires_in_seconds {
            @let left = if left > 0.0 { format::span(left) } else { "expired".to_owned() };
            (row("Certificate expires in", &alone(left)))
        }
    };
    section("process", "Process", &table(&["Quantity", "Now", "Limit"], &rows))
}
