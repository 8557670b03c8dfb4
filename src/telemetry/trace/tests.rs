//! Contexts, sampling and spans.

mod kept;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, SystemTime},
};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status};
use opentelemetry_sdk::trace::{Sampler, SpanData};
use proptest::prelude::*;
use tokio::time::Instant;

pub(crate) use kept::Kept;

use super::*;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

impl Kept {
    fn take(&self) -> Vec<SpanData> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn tracer(ratio: f64) -> (Tracer, Kept) {
    let kept = Kept::default();
    (Tracer::new(parent_based(ratio), kept.clone()), kept)
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn read(value: &str) -> Option<SpanContext> {
    context::remote(&headers(&[("traceparent", value)]))
}

#[test]
fn a_traceparent_is_read_as_w3c_has_it() {
    let remote = read(PARENT).unwrap();
    assert_eq!(remote.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(remote.span_id().to_string(), "00f067aa0ba902b7");
    assert!(remote.is_sampled() && remote.is_remote());
    for (flags, sampled) in [("00", false), ("02", false), ("03", true), ("ff", true)] {
        assert_eq!(
            read(&format!("{}{flags}", &PARENT[..53])).unwrap().is_sampled(),
            sampled,
            "{flags}"
        );
    }
    // Later versions are read as far as this one goes.
    assert!(read(&PARENT.replacen("00", "cc", 1)).is_some());
    assert!(read(&format!("{}-what-comes-then", PARENT.replacen("00", "cc", 1))).is_some());
}

#[test]
fn an_invalid_traceparent_is_ignored() {
    let wrong = [
        String::new(),
        "00".to_owned(),
        PARENT[..54].to_owned(),
        format!("{PARENT}0"),
        format!("{PARENT}-"),
        format!("{PARENT}-more"),
        PARENT.to_uppercase(),
        PARENT.replacen("00", "ff", 1),
        PARENT.replacen("00", "0g", 1),
        format!("{}.more", PARENT.replacen("00", "cc", 1)),
        PARENT.replacen('4', "g", 1),
        PARENT.replace('-', "_"),
        PARENT.replacen("00-4bf9", "00-4b-9", 1),
        PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
        PARENT.replace("00f067aa0ba902b7", &"0".repeat(16)),
        format!("{}0x", &PARENT[..53]),
        format!("{}+1", &PARENT[..53]),
    ];
    for value in wrong {
        assert_eq!(read(&value), None, "{value}");
    }
    assert_eq!(
        context::remote(&headers(&[("traceparent", PARENT), ("traceparent", PARENT)])),
        None
    );
}

#[test]
fn a_tracestate_is_kept_within_bounds() {
    let kept = |values: &[&str]| {
        let pairs: Vec<_> = values.iter().map(|value| ("tracestate", *value)).collect();
        context::trace_state(&headers(&pairs)).header()
    };
    assert_eq!(kept(&["rojo=1,, congo=t61 "]), "rojo=1,congo=t61");
    assert_eq!(kept(&["rojo=1", "congo=2,a@b=3"]), "rojo=1,congo=2,a@b=3");
    for wrong in ["rojo", "=1", "rojo=", "Rojo=1", "rojo=1=2", "rojo=1,congo"] {
        assert_eq!(kept(&[wrong]), "", "{wrong}");
    }
    let many = |count: usize| (0..count).map(|n| format!("k{n}=1")).collect::<Vec<_>>().join(",");
    assert_eq!(kept(&[&many(32)]), many(32));
    assert_eq!(kept(&[&many(33)]), "");
    assert_eq!(kept(&[&many(20), &many(20)]), "");
    // A long member makes room for short ones.
    let long = format!("first=1,long={},{}", "x".repeat(250), "y=".to_owned() + &"z".repeat(200));
    assert_eq!(kept(&[&format!("{long},last={}", "w".repeat(100))]).len(), 8 + 255 + 1 + 105);
    assert!(kept(&[&format!("{long},last={}", "w".repeat(100))]).ends_with('w'));
}

proptest! {
    #[test]
    fn any_traceparent_is_read_or_ignored(value in "[0-9a-f-]{50,60}|[ -~]{0,70}") {
        let sent = value.trim();
        if let Some(remote) = read(sent) {
            let again = format!("{}-{}-", remote.trace_id(), remote.span_id());
            prop_assert_eq!(&sent[3..53], &again[..]);
        }
    }
}

/// Whatever the sampler, a trace is recorded as a whole, and a batch when one of its waiters is.
#[test]
fn children_are_recorded_as_their_root_and_batches_as_their_waiters() {
    let kept = Kept::default();
    let caller = Tracer::new(Sampler::AlwaysOn, kept.clone()).serve(&HeaderMap::new(), "root");
    for ratio in [0.0, 0.5] {
        let sampler = Sampler::TraceIdRatioBased(ratio);
        for _ in 0..20 {
            let root = Tracer::new(sampler.clone(), kept.clone()).serve(&HeaderMap::new(), "root");
            let child = root.context().child("child");
            assert_eq!(child.is_recorded(), root.is_recorded());
            let shared = FanIn::new();
            shared.waits(root.context());
            shared.begin(|| "shared".to_owned());
            assert_eq!(shared.context().is_recorded(), root.is_recorded());
            let both = FanIn::new();
            both.waits(root.context());
            both.waits(caller.context());
            both.begin(|| "both".to_owned());
            assert!(both.context().call("POST").is_recorded());
        }
    }
}

#[test]
fn a_recorded_span_is_a_child_of_its_callers() {
    let (tracer, kept) = tracer(0.0);
    let span = tracer.serve(&headers(&[("traceparent", PARENT), ("tracestate", "a=b")]), "root");
    let child = span.context().child("child");
    drop(child);
    drop(span);
    let [child, root] = kept.take().try_into().unwrap();
    assert_eq!(root.span_context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(root.parent_span_id.to_string(), "00f067aa0ba902b7");
    assert!(root.parent_span_is_remote && !child.parent_span_is_remote);
    assert!(root.span_context.is_sampled() && child.span_context.is_sampled());
    assert!(!root.span_context.is_remote());
    assert_eq!(child.span_context.trace_state().header(), "a=b");
    assert_eq!(child.parent_span_id, root.span_context.span_id());
    assert_eq!((root.span_kind, child.span_kind), (SpanKind::Server, SpanKind::Internal));
    assert_eq!(root.instrumentation_scope.name(), "voyage-gateway");
    let schema = root.instrumentation_scope.schema_url();
    assert_eq!(schema, Some("https://opentelemetry.io/schemas/1.44.0"));
}

#[test]
fn an_unrecorded_span_has_ids_only() {
    let (tracer, kept) = tracer(1.0);
    let unsampled = PARENT.replace("-01", "-00");
    let headers = headers(&[("traceparent", &unsampled)]);
    for span in [tracer.serve(&headers, "root"), Tracer::off().serve(&headers, "root")] {
        let trace_id = span.context().trace_id().to_string();
        assert_eq!(trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(!span.context().child("child").is_recorded());
        let traceparent = span.context().traceparent();
        assert_eq!(traceparent, format!("00-{trace_id}-{}-00", span.context().span_id()));
    }
    assert!(kept.take().is_empty());
    // Callers' headers are ignored.
    let alone = tracer.propagating(false).serve(&headers, "root");
    assert_ne!(alone.context().trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
    drop(alone);
    assert_eq!(kept.take()[0].parent_span_id, SpanId::INVALID);
}

#[tokio::test(start_paused = true)]
async fn times_are_tokios() {
    let (tracer, kept) = tracer(1.0);
    let mut root = tracer.serve(&HeaderMap::new(), "root");
    tokio::time::advance(Duration::from_secs(2)).await;
    let now = Instant::now();
    let child = root.context().child_at("child", now - Duration::from_secs(1));
    root.event("something", Vec::new());
    tokio::time::advance(Duration::from_secs(3)).await;
    drop(child);
    root.ended_at(now + Duration::from_secs(4));
    drop(root);
    let [child, root] = kept.take().try_into().unwrap();
    let after = |time: SystemTime| time.duration_since(root.start_time).unwrap();
    // The two clocks are read one after the other.
    let near = |time, secs| {
        let off = after(time).abs_diff(Duration::from_secs(secs));
        assert!(off < Duration::from_millis(500), "{off:?}");
    };
    near(root.end_time, 6);
    near(root.events[0].timestamp, 2);
    near(child.start_time, 1);
    near(child.end_time, 5);
}

#[test]
fn a_panic_ends_a_span_as_failed() {
    let (tracer, kept) = tracer(1.0);
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let _span = tracer.serve(&HeaderMap::new(), "root");
        panic!("a canary");
    }));
    assert!(ended.is_err());
    let [span] = kept.take().try_into().unwrap();
    assert_eq!(span.status, Status::error(""));
    assert!(!format!("{span:?}").contains("canary"));
}

#[test]
fn shared_work_is_recorded_when_one_of_its_waiters_is() {
    let (on, kept) = tracer(1.0);
    let (off, _) = tracer(0.0);
    let root = |tracer: &Tracer| tracer.serve(&HeaderMap::new(), "root");
    let (seen, unseen, late) = (root(&on), root(&off), root(&on));

    let silent = FanIn::new();
    silent.waits(unseen.context());
    silent.begin(|| panic!("nobody needs the name"));
    silent.waits(seen.context());
    silent.with(|_| panic!("there is no span"));
    assert!(!silent.context().is_recorded());
    silent.end();

    let shared = FanIn::new();
    shared.waits(unseen.context());
    for _ in 0..3 {
        shared.waits(seen.context());
        shared.waits(unseen.context());
    }
    shared.begin(|| "shared".to_owned());
    shared.begin(|| panic!("it begins once"));
    shared.waits(late.context());
    shared.end();
    shared.end();
    let [span] = kept.take().try_into().unwrap();
    assert_eq!(span.parent_span_id, SpanId::INVALID);
    assert_eq!(span.span_context.span_id(), shared.context().span_id());
    let linked: Vec<_> = span
        .links
        .iter()
        .map(|link| (link.span_context.span_id(), link.span_context.is_sampled()))
        .collect();
    let of = |span: &Span| (span.context().span_id(), span.is_recorded());
    assert_eq!(linked, [of(&seen), of(&late), of(&unseen)]);
}

#[test]
fn links_are_bounded_and_the_rest_is_counted() {
    let (on, kept) = tracer(1.0);
    let (off, _) = tracer(0.0);
    let shared = FanIn::new();
    let waiting: Vec<_> = (0..200)
        .map(|number| {
            let tracer = if number % 2 == 0 { &off } else { &on };
            let span = tracer.serve(&HeaderMap::new(), "root");
            shared.waits(span.context());
            span
        })
        .collect();
    shared.begin(|| "shared".to_owned());
    shared.end();
    let [span] = kept.take().try_into().unwrap();
    assert_eq!((span.links.len(), span.links.dropped_count), (128, 72));
    let sampled = span.links.iter().filter(|link| link.span_context.is_sampled()).count();
    assert_eq!(sampled, 100, "those that can be found come first");
    let counted =
        span.attributes.iter().find(|set| set.key.as_str() == "voyage_gateway.links.dropped");
    assert_eq!(counted.unwrap().value, opentelemetry::Value::I64(72));
    drop(waiting);
}
