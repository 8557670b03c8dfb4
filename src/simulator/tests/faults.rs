//! Every fault's shape on the wire, the script's order, and the command line's grammar.

use std::{io, time::Duration};

use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::client::{Reply, post, simulator, texts};
use crate::simulator::{Fault, FaultRule, Script, Simulator};

async fn met(simulator: &Simulator, fault: Fault) -> io::Result<Reply> {
    simulator.script().clear();
    simulator.script().always(fault);
    post(simulator, &texts(&["a", "b", "c"])).await
}

async fn spoilt(simulator: &Simulator, fault: Fault) -> Value {
    let reply = met(simulator, fault).await.unwrap();
    assert_eq!(reply.status, 200);
    reply.json()
}

fn indices(reply: &Value) -> Vec<Option<u64>> {
    reply["data"].as_array().unwrap().iter().map(|element| element["index"].as_u64()).collect()
}

fn vector(reply: &Value, position: usize) -> Vec<u8> {
    base64_simd::STANDARD
        .decode_to_vec(reply["data"][position]["embedding"].as_str().unwrap())
        .unwrap()
}

#[tokio::test]
async fn a_status_is_sent_as_written() {
    let simulator = simulator().await;
    let fault = Fault::status(503).with_header("retry-after", "2").with_detail("over capacity");
    let reply = met(&simulator, fault).await.unwrap();
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("2")));
    assert_eq!(reply.json(), json!({ "detail": "over capacity" }));
    assert!(reply.header("x-request-id").is_some());
    assert_eq!(met(&simulator, Fault::status(502)).await.unwrap().detail(), "Bad Gateway");

    let html = Fault::Status {
        status: 504,
        headers: vec![("Content-Type".into(), "text/html".into())],
        body: "<html>".into(),
    };
    let reply = met(&simulator, html).await.unwrap();
    assert_eq!(
        (reply.header("content-type"), reply.body.as_slice()),
        (Some("text/html"), &b"<html>"[..])
    );
    let last = simulator.calls().pop().unwrap();
    assert_eq!((last.status, last.tokens), (Some(504), 0));
}

#[tokio::test]
async fn the_example_that_is_too_long_is_named() {
    let simulator = simulator().await;
    simulator.script().on_text("b", Fault::TooLong);
    let reply = post(&simulator, &texts(&["a", "b", "c"])).await.unwrap();
    assert_eq!(reply.status, 400);
    assert!(
        reply.detail().starts_with(
            "Request to model 'voyage-4' failed. The example at index 1 in your batch"
        )
    );
    assert!(reply.detail().contains("context window of 32000 tokens."));
    assert_eq!(post(&simulator, &texts(&["a", "c"])).await.unwrap().status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_call_is_read_and_never_answered() {
    let simulator = simulator().await;
    simulator.script().always(Fault::Hang);
    let body = texts(&["a"]);
    let mut call = std::pin::pin!(post(&simulator, &body));
    while simulator.calls().is_empty() {
        tokio::select! {
            biased;
            _ = &mut call => panic!("answered"),
            () = tokio::task::yield_now() => {}
        }
    }
    assert!(timeout(Duration::from_hours(1), call).await.is_err());
    assert_eq!(simulator.calls()[0].status, None);
}

#[tokio::test]
async fn a_reset_is_a_reset() {
    let simulator = simulator().await;
    let error = met(&simulator, Fault::Reset).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(simulator.calls()[0].status, None);
}

#[tokio::test(start_paused = true)]
async fn slow_answers_are_proper_answers() {
    let simulator = simulator().await;
    let proper = post(&simulator, &texts(&["a", "b", "c"])).await.unwrap();

    let start = Instant::now();
    let late = met(&simulator, Fault::Delay(Duration::from_secs(7))).await.unwrap();
    assert_eq!((late.status, start.elapsed().as_secs()), (200, 7));
    assert_eq!(late.body, proper.body);

    let start = Instant::now();
    let dripping = Fault::SlowDrip { chunk: 1_000, pause: Duration::from_secs(1) };
    let slow = met(&simulator, dripping).await.unwrap();
    assert_eq!((&slow.body, slow.announced()), (&proper.body, Some(proper.body.len())));
    assert!(start.elapsed().as_secs() >= proper.body.len().div_ceil(1_000) as u64);
}

#[tokio::test]
async fn a_cut_body_is_announced_in_full_and_ends_midway() {
    let simulator = simulator().await;
    let reply = met(&simulator, Fault::CutBody).await.unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(reply.announced().map(|announced| announced / 2), Some(reply.body.len()));
    assert_eq!(simulator.calls()[0].tokens, 3, "the provider has done its work");
}

#[tokio::test]
async fn bodies_can_be_unreadable() {
    let simulator = simulator().await;
    let parses = |reply: &Reply| serde_json::from_slice::<Value>(&reply.body).is_ok();

    let reply = met(&simulator, Fault::BadJson).await.unwrap();
    assert!(!parses(&reply) && reply.announced() == Some(reply.body.len()));
    let reply = met(&simulator, Fault::HtmlBody).await.unwrap();
    assert!(reply.body.starts_with(b"<!DOCTYPE html>"));
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/html")));
    let reply = met(&simulator, Fault::InvalidUtf8).await.unwrap();
    assert!(!parses(&reply));
    assert!(serde_json::from_str::<Value>(&String::from_utf8_lossy(&reply.body)).is_ok());

    let reply = met(&simulator, Fault::HugeBody(3_000_000)).await.unwrap();
    assert_eq!((reply.body.len(), reply.announced()), (3_000_000, None));
    assert!(parses(&reply));
}

#[tokio::test]
async fn data_can_be_of_the_wrong_form() {
    let simulator = simulator().await;
    assert_eq!(spoilt(&simulator, Fault::WrongType).await["data"], 7);
    assert!(spoilt(&simulator, Fault::NoUsage).await.get("usage").is_none());
    assert_eq!(indices(&spoilt(&simulator, Fault::WrongCount(2)).await).len(), 5);
    assert_eq!(indices(&spoilt(&simulator, Fault::WrongCount(-1)).await), [Some(0), Some(1)]);
    assert_eq!(
        indices(&spoilt(&simulator, Fault::DuplicateIndex).await),
        [Some(0), Some(1), Some(0)]
    );
    assert_eq!(indices(&spoilt(&simulator, Fault::MissingIndex).await), [Some(0), Some(1), None]);
    assert_eq!(
        indices(&spoilt(&simulator, Fault::IndexOutOfRange).await),
        [Some(0), Some(1), Some(3)]
    );
    let bad = spoilt(&simulator, Fault::BadBase64).await;
    assert!(
        base64_simd::STANDARD.decode_to_vec(bad["data"][2]["embedding"].as_str().unwrap()).is_err()
    );
    let lists = spoilt(&simulator, Fault::FloatLists).await;
    assert_eq!(lists["data"][0]["embedding"].as_array().unwrap().len(), 1_024);
}

#[tokio::test]
async fn vectors_can_be_wrong() {
    let simulator = simulator().await;
    let proper = post(&simulator, &texts(&["a", "b", "c"])).await.unwrap().json();
    let shuffled = spoilt(&simulator, Fault::ShuffledIndex).await;
    assert_eq!(indices(&shuffled), [Some(2), Some(1), Some(0)]);
    assert_eq!(vector(&shuffled, 0), vector(&proper, 2));

    assert_eq!(
        vector(&spoilt(&simulator, Fault::WrongLength).await, 2),
        vector(&proper, 2)[..4_092]
    );
    assert!(vector(&spoilt(&simulator, Fault::EmptyEmbedding).await, 2).is_empty());
    let first = |reply: &Value| f32::from_le_bytes(*vector(reply, 2).first_chunk().unwrap());
    assert!(first(&spoilt(&simulator, Fault::NotANumber).await).is_nan());
    assert!(first(&spoilt(&simulator, Fault::Infinite).await).is_infinite());
}

#[tokio::test]
async fn what_the_provider_refuses_is_refused_all_the_same() {
    let simulator = simulator().await;
    simulator.script().always(Fault::HtmlBody);
    let reply = post(&simulator, &json!({})).await.unwrap();
    assert_eq!((reply.status, reply.header("content-type")), (400, Some("application/json")));
}

#[test]
fn the_first_rule_that_applies_decides() {
    let script = Script::default();
    script.on_call(2, Fault::Hang);
    script.next_calls(2, Fault::Reset);
    script.on_text("poison", Fault::TooLong);
    let inputs = [vec!["a".to_owned()], vec!["poison".to_owned()]];
    let chosen: Vec<_> = (1..=5).map(|number| script.choose(number, &inputs)).collect();
    let expected = [Fault::Reset, Fault::Hang, Fault::Reset]
        .map(|fault| Some((fault, 0)))
        .into_iter()
        .chain([Some((Fault::TooLong, 1)), Some((Fault::TooLong, 1))]);
    assert_eq!(chosen, expected.collect::<Vec<_>>());
    assert_eq!(script.choose(6, &[]), None);
    script.clear();
    assert_eq!(script.choose(7, &inputs), None);
}

#[test]
fn chances_are_about_as_likely_as_said_and_the_same_in_every_run() {
    let struck = || {
        let script = Script::default();
        script.at_rate(0.1, Fault::CutBody);
        (0..2_000).map(|number| script.choose(number, &[]).is_some()).collect::<Vec<_>>()
    };
    let first = struck();
    assert_eq!(first, struck());
    let count = first.iter().filter(|struck| **struck).count();
    assert!((150..250).contains(&count), "{count}");

    let (never, always) = (Script::default(), Script::default());
    never.at_rate(0.0, Fault::Hang);
    always.at_rate(1.0, Fault::Hang);
    assert!(
        (0..100)
            .all(|number| never.choose(number, &[]).is_none()
                && always.choose(number, &[]).is_some())
    );
}

#[test]
fn rules_are_read_from_the_command_line() {
    let script = Script::default();
    for rule in [
        "hang@1",
        "429@2",
        "wrong-count=-1@3",
        "delay=250ms@4",
        "poison=a:b@c",
        "503:0%",
        "cut-body:100%",
    ] {
        script.add(rule.parse().unwrap());
    }
    let chosen = |number| script.choose(number, &[]).unwrap().0;
    assert_eq!(chosen(1), Fault::Hang);
    assert_eq!(chosen(2), Fault::status(429));
    assert_eq!(chosen(3), Fault::WrongCount(-1));
    assert_eq!(chosen(4), Fault::Delay(Duration::from_millis(250)));
    assert_eq!(chosen(5), Fault::CutBody);
    assert_eq!(script.choose(6, &[vec!["a:b@c".to_owned()]]), Some((Fault::TooLong, 0)));
    assert_eq!(format!("{script:?}"), "Script(7 rules)");

    let refusals = [
        ("explode", "unknown fault `explode`: expected an HTTP status or one of hang,"),
        ("hang=1", "unknown fault `hang=1`"),
        ("99", "an HTTP status is a number from 200 to 599"),
        ("600@1", "an HTTP status is a number from 200 to 599"),
        ("503:5", "after `:` comes a probability"),
        ("503:101%", "after `:` comes a probability"),
        ("hang@0", "after `@` comes the number of a call"),
        ("delay=5", "fault `delay` is written `delay=250ms`"),
        ("huge-body", "fault `huge-body` is written `huge-body=100000000`"),
    ];
    for (rule, message) in refusals {
        let refusal = rule.parse::<FaultRule>().unwrap_err();
        assert!(refusal.starts_with(message), "{rule}: {refusal}");
    }
}

#[test]
fn every_named_fault_can_be_read() {
    for name in FaultRule::names().split(", ") {
        let rule = name.replace("TIME", "1s").replace("DELTA", "1").replace("BYTES", "9");
        assert!(rule.parse::<FaultRule>().is_ok(), "{name}");
    }
}
