//! The order of inputs when one upstream call is allowed at a time.

use tokio::task::JoinHandle;
use voyage_gateway::grpc::v1::{EmbedRequest, InputType, Priority, RequestOptions};

use crate::support::{Answer, Gateway, assert_vectors, texts, with_options};

/// Starts a gateway that holds its only call back, and sends so many texts a call.
async fn busy(max_inputs: u32) -> (Gateway, JoinHandle<Answer>) {
    let gateway = Gateway::holding(|config, _| {
        config.batch.max_in_flight = 1;
        config.batch.max_inputs = max_inputs;
    })
    .await;
    let first = gateway.spawn(texts(&["first"])).await;
    gateway.until_calls(1).await;
    (gateway, first)
}

fn urgent(request: EmbedRequest, priority: Priority) -> EmbedRequest {
    let options = RequestOptions { priority: priority as i32, ..RequestOptions::default() };
    with_options(request, options)
}

async fn all_answered(calls: Vec<JoinHandle<Answer>>) {
    for call in calls {
        assert!(call.await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn an_interactive_call_overtakes_bulk_that_waits() {
    let (gateway, first) = busy(1).await;
    let bulk = urgent(texts(&["bulk 1", "bulk 2", "bulk 3"]), Priority::Batch);
    let bulk = gateway.spawn(bulk).await;
    gateway.until_in_flight(2).await;
    let query = gateway.spawn(urgent(texts(&["query"]), Priority::Interactive)).await;
    gateway.until_in_flight(3).await;
    gateway.release();
    all_answered(vec![first, bulk, query]).await;
    assert_eq!(gateway.sent().concat(), ["first", "query", "bulk 1", "bulk 2", "bulk 3"]);
}

#[tokio::test]
async fn documents_give_way_to_queries_of_another_lane() {
    let (gateway, first) = busy(1_000).await;
    let asked = |input_type: InputType, text: &str| EmbedRequest {
        input_type: input_type as i32,
        ..texts(&[text])
    };
    let document = gateway.spawn(asked(InputType::Document, "document")).await;
    gateway.until_in_flight(2).await;
    // This document has a waiter.
    let shown = EmbedRequest { output_dimension: 256, ..asked(InputType::Document, "shown") };
    let shown = gateway.spawn(urgent(shown, Priority::Interactive)).await;
    gateway.until_in_flight(3).await;
    let query = gateway.spawn(asked(InputType::Query, "query")).await;
    gateway.until_in_flight(4).await;
    gateway.release();
    all_answered(vec![first, document, shown, query]).await;
    assert_eq!(gateway.sent().concat(), ["first", "shown", "query", "document"]);
}

#[tokio::test]
async fn an_interactive_joiner_lifts_what_it_joins() {
    let (gateway, first) = busy(1).await;
    let bulk = ["bulk 1", "bulk 2", "bulk 3"];
    let waiting = gateway.spawn(urgent(texts(&bulk), Priority::Batch)).await;
    gateway.until_in_flight(2).await;
    let joiner = gateway.spawn(urgent(texts(&["bulk 3"]), Priority::Interactive)).await;
    gateway.until_in_flight(3).await;
    gateway.release();
    assert_vectors(joiner.await.unwrap().unwrap().get_ref(), &["bulk 3"]);
    assert_vectors(waiting.await.unwrap().unwrap().get_ref(), &bulk);
    assert!(first.await.unwrap().is_ok());
    assert_eq!(gateway.sent().concat(), ["first", "bulk 3", "bulk 1", "bulk 2"]);
}
