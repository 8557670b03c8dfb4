//! Callers share upstream calls, but neither parameters nor the errors of other callers.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use tokio::task::JoinHandle;
use tonic::Code;
use voyage_gateway::{
    grpc::v1::{self, EmbedRequest, OutputDtype},
    item::InputType,
    model::Dtype,
    simulator::{Fault, Shape, vector},
    units::TimeSpan,
};

use crate::support::{
    Answer, Gateway, USUAL, assert_vectors, details, eventually, fields, metadata, numbered,
    partial, reason, sample, texts,
};

/// Longer than any test: batches are sent when their lane is idle or they are full.
const FOREVER: TimeSpan = TimeSpan::from_secs(3_600);

/// Starts a gateway that holds its first call back; later inputs wait for the next.
async fn busy() -> (Gateway, JoinHandle<Answer>) {
    let gateway = Gateway::holding(|config, _| config.batch.max_in_flight = 1).await;
    let first = gateway.spawn(texts(&["first"])).await;
    gateway.until_calls(1).await;
    (gateway, first)
}

/// Lets callers of one request each wait together; returns them in order.
async fn callers(gateway: &Gateway, requests: Vec<EmbedRequest>) -> Vec<JoinHandle<Answer>> {
    let client = gateway.client().await;
    let count = requests.len() as u64;
    let spawn = |request| {
        let mut client = client.clone();
        tokio::spawn(async move { client.embed(request).await })
    };
    let calls = requests.into_iter().map(spawn).collect();
    // The first, which is held back, is in flight as well.
    gateway.until_in_flight(count + 1).await;
    calls
}

fn one_each(inputs: &[String]) -> Vec<EmbedRequest> {
    inputs.iter().map(|text| texts(&[text])).collect()
}

/// Returns the texts of a call in an order of its own.
fn sorted(inputs: &[String]) -> Vec<String> {
    let mut inputs = inputs.to_vec();
    inputs.sort_unstable();
    inputs
}

#[tokio::test]
async fn callers_gather_while_a_call_is_out() {
    let gateway = Gateway::holding(|config, _| config.batch.max_delay = FOREVER).await;
    let first = gateway.spawn(texts(&["first"])).await;
    gateway.until_calls(1).await;
    let inputs = numbered(0..64);
    let calls = callers(&gateway, one_each(&inputs)).await;
    gateway.release();

    assert!(first.await.unwrap().is_ok());
    for (call, text) in calls.into_iter().zip(&inputs) {
        assert_vectors(call.await.unwrap().unwrap().get_ref(), &[text]);
    }
    let sent = gateway.sent();
    assert_eq!(sent.len(), 2);
    assert_eq!(sorted(&sent[1]), sorted(&inputs));
}

#[tokio::test]
async fn a_full_call_leaves_at_once() {
    let gateway = Gateway::holding(|config, _| {
        config.batch.max_delay = FOREVER;
        config.batch.max_inputs = 16;
    })
    .await;
    let first = gateway.spawn(texts(&["first"])).await;
    gateway.until_calls(1).await;
    let inputs = numbered(0..64);
    let calls = callers(&gateway, one_each(&inputs)).await;
    // All of them while the first is still out.
    gateway.until_calls(5).await;
    gateway.release();

    assert!(join_all(calls).await.into_iter().all(|call| call.unwrap().is_ok()));
    assert!(first.await.unwrap().is_ok());
    assert!(gateway.sent()[1..].iter().all(|inputs| inputs.len() == 16));
    assert_eq!(sorted(&gateway.sent()[1..].concat()), sorted(&inputs));
}

/// Every combination of parameters that have lanes of their own, and its vectors.
fn combinations() -> Vec<(EmbedRequest, Shape<'static>)> {
    let mut all = Vec::new();
    for (asked, input_type) in [
        (v1::InputType::Unspecified, None),
        (v1::InputType::Query, Some(InputType::Query)),
        (v1::InputType::Document, Some(InputType::Document)),
    ] {
        for model in ["voyage-4", "voyage-4-lite"] {
            for (output_dimension, dimension) in [(0, 1024), (256, 256)] {
                for (output_dtype, dtype) in
                    [(OutputDtype::Float, Dtype::Float), (OutputDtype::Int8, Dtype::Int8)]
                {
                    let request = EmbedRequest {
                        model: model.to_owned(),
                        input_type: asked as i32,
                        output_dimension,
                        output_dtype: output_dtype as i32,
                        vector_encoding: v1::VectorEncoding::Bytes as i32,
                        ..EmbedRequest::default()
                    };
                    all.push((request, Shape { model, input_type, dimension, dtype }));
                }
            }
        }
    }
    all
}

#[tokio::test]
async fn a_call_never_mixes_parameters() {
    let (gateway, first) = busy().await;
    // Three callers of each combination, and every combination has the same texts.
    let inputs = numbered(0..3);
    let combinations = combinations();
    let requests = inputs.iter().flat_map(|text| {
        combinations
            .iter()
            .map(|(request, _)| EmbedRequest { inputs: vec![text.clone()], ..request.clone() })
    });
    let calls = callers(&gateway, requests.collect()).await;
    gateway.release();

    assert!(first.await.unwrap().is_ok());
    let shapes = combinations.iter().map(|(_, shape)| shape).cycle();
    for ((number, call), shape) in calls.into_iter().enumerate().zip(shapes) {
        let reply = call.await.unwrap().unwrap().into_inner();
        let text = &inputs[number / combinations.len()];
        assert_eq!(reply.embeddings.len(), 1);
        assert!(reply.embeddings[0].data == vector(text, shape), "caller {number}");
    }
    let calls = gateway.simulator().calls();
    assert_eq!(calls.len(), 1 + combinations.len(), "one call for each combination");
    let bodies: BTreeSet<String> = calls[1..]
        .iter()
        .map(|call| {
            assert_eq!(sorted(&call.inputs), inputs);
            let mut body = call.body.clone();
            body["input"] = serde_json::Value::Null;
            body.to_string()
        })
        .collect();
    assert_eq!(bodies.len(), combinations.len());
}

#[tokio::test]
async fn a_poisoned_text_fails_its_caller_only() {
    let (gateway, first) = busy().await;
    gateway.simulator().script().on_text("poison", Fault::TooLong);
    let inputs = numbered(0..10);
    let mut requests = one_each(&inputs);
    requests.insert(5, texts(&["own", "poison"]));
    let mut calls = callers(&gateway, requests).await;
    gateway.release();

    let status = calls.remove(5).await.unwrap().err().unwrap();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::InvalidArgument, "INPUT_TOO_LONG")
    );
    assert_eq!(fields(&status), ["inputs[1]"]);
    for (call, text) in calls.into_iter().zip(&inputs) {
        assert_vectors(call.await.unwrap().unwrap().get_ref(), &[text]);
    }
    assert!(first.await.unwrap().is_ok());
    let sent = gateway.sent();
    assert_eq!(sent[1].len(), 12, "all travelled together");
    let refused = gateway.simulator().calls().into_iter().filter(|call| call.status == Some(400));
    assert_eq!(refused.count(), 1);
}

#[tokio::test]
async fn a_refusal_that_names_no_input_fails_the_caller_of_the_rejected_one_only() {
    let refusals = [
        (Fault::status(400).with_detail("One of them."), "UPSTREAM_INVALID_REQUEST"),
        (Fault::status(413), "UPSTREAM_PAYLOAD_TOO_LARGE"),
    ];
    for (fault, expected) in refusals {
        let (gateway, first) = busy().await;
        gateway.simulator().script().on_text("guilty", fault);
        let mut inputs = numbered(0..16);
        inputs[11] = "guilty".to_owned();
        let calls = callers(&gateway, one_each(&inputs)).await;
        gateway.release();

        assert!(first.await.unwrap().is_ok());
        for (number, (call, text)) in calls.into_iter().zip(&inputs).enumerate() {
            match call.await.unwrap() {
                Ok(reply) => assert_vectors(reply.get_ref(), &[text]),
                Err(status) => assert_eq!((number, reason(&status).as_str()), (11, expected)),
            }
        }
        let calls = gateway.simulator().calls();
        let refused = calls.iter().filter(|call| call.tokens == 0).count();
        assert!((1..=5).contains(&refused), "log2 of 16, and one: {refused}");
        let good = calls.iter().filter(|call| call.tokens > 0).map(|call| call.inputs.len());
        assert_eq!(good.sum::<usize>(), 16, "each good text is paid for once, and the first");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_good_text_is_answered_though_voyage_falters() {
    let gateway = Gateway::with(|config, simulator| {
        config.batch.max_inputs = 8;
        // So many that no call fails in all of them, in any order of the calls.
        config.retry.max_attempts = 6;
        simulator.script.on_text("poison", Fault::TooLong);
        simulator.script.at_rate(0.05, Fault::status(503));
        simulator.script.at_rate(0.02, Fault::CutBody);
    })
    .await;
    let lanes: Vec<_> = (0..10).collect();
    let mixed = join_all(lanes.into_iter().map(async |worker: usize| {
        let mut client = gateway.client().await;
        let mut poisoned = 0;
        for round in 0..30 {
            let number = round * 10 + worker;
            // Some texts are shared with others, some are its own, and every hundredth call is poisoned.
            let mut inputs = numbered(number..number + 1 + number % 4);
            if number % 100 == 7 {
                inputs.insert(0, "poison".to_owned());
            }
            let input_type = [v1::InputType::Query, v1::InputType::Document][number % 2];
            let request = EmbedRequest {
                input_type: input_type as i32,
                vector_encoding: v1::VectorEncoding::Bytes as i32,
                ..partial(texts(&inputs))
            };
            let reply = client.embed(request).await.unwrap().into_inner();
            let asked = [InputType::Query, InputType::Document][number % 2];
            let shape = Shape { input_type: Some(asked), ..USUAL };
            for embedding in &reply.embeddings {
                let text = &inputs[usize::try_from(embedding.index).unwrap()];
                assert!(embedding.data == vector(text, &shape), "another's vector");
            }
            for error in &reply.errors {
                assert_eq!((error.index, error.reason.as_str()), (0, "INPUT_TOO_LONG"));
            }
            assert_eq!(reply.embeddings.len() + reply.errors.len(), inputs.len());
            assert_eq!(reply.errors.len(), usize::from(inputs[0] == "poison"));
            poisoned += reply.errors.len();
        }
        poisoned
    }));
    assert_eq!(mixed.await.into_iter().sum::<usize>(), 3);
    let retries = sample(&gateway.metrics().await, "voyage_gateway_retries_total", &[]);
    assert!(retries > 0, "nothing went wrong");
}

#[tokio::test]
async fn what_callers_pay_is_what_voyage_charged() {
    let (gateway, first) = busy().await;
    gateway.simulator().script().on_text("poison", Fault::TooLong);
    gateway.simulator().script().on_call(3, Fault::status(503));
    let requests = vec![
        texts(&["one", "two words", "one"]),
        texts(&["two words", "and three words"]),
        texts(&["a stranger's text"]),
        partial(texts(&["poison", "beside it"])),
        texts(&["こんにちは世界", "🦀🦀🦀"]),
    ];
    let mut calls = vec![first];
    calls.extend(callers(&gateway, requests).await);
    gateway.release();
    // The second call is refused for the poison, the third fails; the fourth has all that is left.
    let mut paid = 0;
    for call in calls {
        let usage = call.await.unwrap().unwrap().into_inner().usage.unwrap();
        paid += u64::try_from(usage.total_tokens).unwrap();
    }
    let charged = || gateway.simulator().calls().iter().map(|call| call.tokens).sum::<u64>();
    assert_eq!(paid, charged());
    assert_eq!(sample(&gateway.metrics().await, "voyage_gateway_tokens_total", &[]), charged());
    assert_eq!(gateway.simulator().calls().len(), 4);
}

#[tokio::test]
async fn abandoned_inputs_are_billed_to_no_caller() {
    let gateway = Gateway::holding(|_, _| ()).await;
    let texts_of = |name: &str| texts(&[format!("{name} and shared"), "shared".to_owned()]);
    let stays = gateway.spawn(texts_of("stays")).await;
    gateway.until_calls(1).await;
    let leaves = gateway.spawn(texts(&["a text of its own", "and another"])).await;
    gateway.until_calls(2).await;
    leaves.abort();
    gateway.until_in_flight(1).await;
    gateway.release();

    let usage = stays.await.unwrap().unwrap().into_inner().usage.unwrap();
    let paid = u64::try_from(usage.total_tokens).unwrap();
    let charged: Vec<u64> = {
        eventually(async || gateway.simulator().calls().iter().all(|call| call.tokens > 0)).await;
        gateway.simulator().calls().iter().map(|call| call.tokens).collect()
    };
    assert_eq!(paid, charged[0]);
    let billed = async |labels: &[(&str, &str)]| {
        sample(&gateway.metrics().await, "voyage_gateway_tokens_total", labels)
    };
    eventually(async || billed(&[("billed_to", "abandoned")]).await == charged[1]).await;
    assert_eq!(billed(&[]).await, charged.iter().sum::<u64>());
}

#[tokio::test]
async fn texts_of_callers_who_left_are_not_sent() {
    let (gateway, first) = busy().await;
    let inputs = numbered(0..20);
    let calls = callers(&gateway, one_each(&inputs)).await;
    let (leaving, staying): (Vec<_>, Vec<_>) =
        calls.into_iter().enumerate().partition(|(number, _)| number.is_multiple_of(2));
    for (_, call) in leaving {
        call.abort();
    }
    gateway.until_in_flight(11).await;
    gateway.release();

    assert!(first.await.unwrap().is_ok());
    for (number, call) in staying {
        assert_vectors(call.await.unwrap().unwrap().get_ref(), &[&inputs[number]]);
    }
    let wanted: Vec<String> = inputs.iter().skip(1).step_by(2).cloned().collect();
    assert_eq!(gateway.sent().len(), 2);
    assert_eq!(sorted(&gateway.sent()[1]), sorted(&wanted));
}

#[tokio::test]
async fn a_full_queue_sends_callers_elsewhere() {
    let gateway = Gateway::holding(|config, _| {
        config.batch.max_in_flight = 1;
        config.batch.max_waiting_inputs = 4;
    })
    .await;
    let first = gateway.spawn(texts(&["first"])).await;
    gateway.until_calls(1).await;
    let queued = callers(&gateway, one_each(&numbered(0..3))).await;

    let status = gateway.embed(texts(&["one too many"])).await.err().unwrap();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "OVERLOADED"));
    assert_eq!(details(&status).error_info().unwrap().domain, "voyage-gateway");
    assert!(details(&status).retry_info().is_some());
    assert_eq!(metadata(&status, "httpStatus"), None);
    assert_eq!(sample(&gateway.metrics().await, "voyage_gateway_shed_total", &[]), 1);
    // Joining costs no place.
    let joiner = gateway.spawn(texts(&["text number 1"])).await;
    gateway.until_in_flight(5).await;
    gateway.release();

    for call in queued.into_iter().chain([first, joiner]) {
        assert!(call.await.unwrap().is_ok());
    }
    let reply = gateway.embed(texts(&["one too many"])).await.unwrap();
    assert_vectors(reply.get_ref(), &["one too many"]);
}
