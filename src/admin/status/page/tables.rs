//! The page's tables. Long texts stand below short ones, so that a phone shows both.

use maud::{Markup, Render, html};

use super::{
    super::report::{Count, Named, Status, Use},
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

fn total(count: Count) -> Markup {
    html! { tr.total { (cells("All", &counts(count))) } }
}

fn counts(count: Count) -> [String; 2] {
    [format::count(count.last_minute), format::short(count.since_start)]
}

fn nothing(text: &str) -> Markup {
    html! { p.none { (text) } }
}

fn took(seconds: Option<f64>) -> String {
    known(seconds, format::took)
}

/// Names an outcome, or whom an error is blamed on.
fn outcome(label: &str) -> &'static str {
    match label {
        "ok" => "OK",
        "caller" => "Caller error",
        "upstream" => "Voyage error",
        "gateway" => "Gateway error",
        "shed" => "Overloaded",
        "cancelled" => "Cancelled",
        "panicked" => "Internal error",
        _ => "Other",
    }
}

pub(super) fn outcomes(status: &Status) -> Markup {
    let rpcs = &status.rpcs;
    let rows = html! {
        @for Named { name, count } in &rpcs.outcomes { (row(outcome(name), &counts(*count))) }
        (total(rpcs.all))
    };
    section(
        "rpcs",
        "RPCs",
        &html! {
            (table(&["Outcome", "Last minute", "Since start"], &rows))
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
    let rows = html! {
        @for Named { name, count } in &upstream.statuses { (row(answer(name), &counts(*count))) }
        (total(upstream.calls))
    };
    let [retried, retried_ever] = counts(upstream.retries);
    let breaker = upstream.breaker.as_deref().unwrap_or(UNKNOWN).replace('_', "-");
    section(
        "voyage",
        "Calls to Voyage",
        &html! {
            (table(&["Answer", "Last minute", "Since start"], &rows))
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
    if status.rate_limits.is_empty() && status.budgets.is_empty() {
        return section("budgets", "Limits and budgets", &nothing("None used yet."));
    }
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
    section("budgets", "Limits and budgets", &table(&["Budget", "Used", "Limit"], &rows))
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
    html! {
        tr.over {
            (cells(html! { (name) " " small { (unit) } }, &[format::short(of.used), format::short(of.limit)]))
        }
        tr.bar aria-hidden="true" {
            td colspan="3" {
                svg class=(class) width="100%" height="4" { rect width=(width) height="4" {} }
            }
        }
    }
}

pub(super) fn work(status: &Status) -> Markup {
    let work = &status.work;
    let count = |value| known(value, format::count);
    let bytes = |value| known(value, format::bytes);
    let rows = html! {
        (row("RPCs in flight", &[count(work.requests), count(work.max_requests)]))
        (row("Bytes in flight", &[bytes(work.request_bytes), bytes(work.max_request_bytes)]))
        (row("Texts waiting", &[count(work.waiting_texts), String::new()]))
        (row("Bytes waiting", &[bytes(work.waiting_bytes), String::new()]))
        (row("Calls to Voyage", &[count(work.calls), count(work.max_calls)]))
    };
    section(
        "work",
        "Queue and batches",
        &html! {
            (table(&["", "Now", "Limit"], &rows))
            p.foot {
                "In the last minute: batches " b { (known(work.batch_fill, format::percent)) } " full, "
                b { (known(work.batch_texts, format::rate)) } " texts each; wait median "
                b { (took(work.wait_p50_seconds)) } ", 99 % within " b { (took(work.wait_p99_seconds)) }
            }
        },
    )
}

pub(super) fn errors(status: &Status) -> Markup {
    const TITLE: &str = "Last errors from Voyage";
    let errors = &status.upstream.errors;
    if errors.is_empty() {
        return section("errors", TITLE, &nothing("None since the start."));
    }
    let rows = html! {
        @for error in errors.iter().take(SHOWN) {
            tr.over {
                (cells(error.reason, &[
                    known(error.status, |status| status.to_string()),
                    format::span(error.age_seconds),
                ]))
            }
            (details(&html! {
                span { (outcome(error.blame)) } " "
                span { "key " (error.key) } " "
                (id("request", error.request_id.as_deref()))
                (id("trace", error.trace_id.as_deref()))
            }))
        }
    };
    let table = table(&["Error", "HTTP", "Age"], &rows);
    section("errors", TITLE, &html! { (table) (more(errors.len())) })
}

pub(super) fn slow(status: &Status) -> Markup {
    const TITLE: &str = "Slowest RPCs of the last ten minutes";
    let rpcs = &status.slow_rpcs;
    if rpcs.is_empty() {
        return section("slow", TITLE, &nothing("None took more than 100 ms."));
    }
    let rows = html! {
        @for rpc in rpcs.iter().take(SHOWN) {
            tr.over {
                (cells(rpc.method.rsplit('.').next().unwrap_or(rpc.method), &[
                    format::took(rpc.seconds),
                    format::span(rpc.age_seconds),
                ]))
            }
            (details(&html! {
                span { (outcome(rpc.outcome)) } " "
                span { (rpc.caller.as_deref().unwrap_or("caller unknown")) } " "
                (id("request", Some(&rpc.request_id)))
                (id("trace", Some(&rpc.trace_id)))
            }))
        }
    };
    let table = table(&["RPC", "Latency", "Age"], &rows);
    section("slow", TITLE, &html! { (table) (more(rpcs.len())) })
}

/// A row below another, for texts that are too long for a column.
fn details(details: &Markup) -> Markup {
    html! { tr.details { td colspan="3" { small { (details) } } } }
}

fn id(name: &str, id: Option<&str>) -> Markup {
    html! { @if let Some(id) = id { span { (name) " " span.id { (id) } } " " } }
}

fn more(all: usize) -> Markup {
    html! {
        @if all > SHOWN { p.foot { (all - SHOWN) " more in " a href="status" { "/status" } } }
    }
}

pub(super) fn callers(status: &Status) -> Markup {
    if status.callers.is_empty() {
        return section("callers", "Top callers", &nothing("No tokens used yet."));
    }
    let rows = html! {
        @for caller in &status.callers {
            @let rpcs = known(caller.rpcs, |rpcs| format::short(rpcs.since_start));
            @let [last_minute, since_start] = counts(caller.tokens);
            (row(&caller.caller, &[rpcs, since_start, last_minute]))
        }
    };
    section("callers", "Top callers", &table(&["Caller", "RPCs", "Tokens", "Last minute"], &rows))
}

pub(super) fn process(status: &Status) -> Markup {
    let (process, cache) = (&status.process, &status.cache);
    let alone = |value: String| [value, String::new()];
    let bytes = |value| known(value, format::bytes);
    let count = |value| known(value, format::count);
    let rows = html! {
        @for port in &process.connections {
            (row(format!("Connections, {} port", port.port), &[
                format::count(port.open),
                known(port.max, format::count),
            ]))
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
    section("process", "Process", &table(&["", "Now", "Limit"], &rows))
}
