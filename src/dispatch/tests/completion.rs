//! Submitted items complete, even if the dispatch is dropped, and in any order of commands.

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::*;

/// A text and its result.
type Completed = (String, Result<Answer, Error>);

/// The owner of a flight without a pipeline.
#[derive(Debug)]
struct Owner {
    text: String,
    /// The highest priority of its waiters.
    priority: Priority,
    completed: UnboundedSender<Completed>,
}

impl FlightOwner for Owner {
    fn demand(&self) -> Option<Demand> {
        let until = Instant::now() + HOUR;
        let priority = self.priority;
        Some(Demand { until, priority, least_patience: until, most_patience: until })
    }

    fn send(&self, _send_info: &Arc<SendInfo>) -> bool {
        true
    }

    fn requeue(&self) {}

    fn reject_late(&self, _until: Instant, _refusal: &Error) {}

    fn cancel(self: Box<Self>, _wasted: u64) {
        panic!("{} was cancelled", self.text);
    }

    fn complete(self: Box<Self>, result: Result<Answer, Error>, _bill: Bill) {
        let _ = self.completed.send((self.text, result));
    }
}

/// Returns the items of these texts and the receiver of their results. They have batch priority; those in `lifted` have
/// an interactive waiter.
fn items(texts: &[String], lifted: &[&str]) -> (Vec<Item>, UnboundedReceiver<Completed>) {
    let (sender, completed) = unbounded_channel();
    let items = texts.iter().zip(0..).map(|(text, id)| {
        let is_lifted = lifted.contains(&text.as_str());
        let priority = if is_lifted { Priority::Interactive } else { Priority::Batch };
        let owner = Owner { text: text.clone(), priority, completed: sender.clone() };
        Item {
            id,
            request: 0,
            input: Input::Text(text.clone()),
            priority: Priority::Batch,
            caller: Caller::anonymous(),
            measure: None,
            owner: Box::new(owner),
        }
    });
    (items.collect(), completed)
}

#[tokio::test(start_paused = true)]
async fn queued_items_complete_after_the_dispatch_is_dropped() {
    let limited = Fault::RateLimited { retry_after: Some(secs(20)), free_tier: false };
    let settings =
        Settings { batch: batches(2, 1), limits: limits(3, 100_000), ..Settings::default() };
    // One call is in flight and will be requeued, four wait for it and for budget.
    let stage = Stage::new(Fake::failing([Some(limited)]), &settings);
    let texts = numbered("text", 10);
    let (items, mut completed) = items(&texts, &[]);
    let fake = Arc::clone(&stage.fake);
    stage.dispatch.submit(&parameters(), items);
    settled().await;
    assert_eq!(fake.calls().len(), 1);
    let shared = stage.close();
    for text in &texts {
        let (completed_text, result) = completed.recv().await.unwrap();
        assert_eq!(result, Ok(vector_of(&completed_text)), "{text}");
    }
    assert!(completed.recv().await.is_none());
    assert_eq!(fake.sent().len(), 6);
    settled().await;
    assert!(shared.upgrade().is_none(), "the scheduler is still there");
}

#[tokio::test(start_paused = true)]
async fn joining_an_item_that_is_still_counted_raises_its_priority() {
    let stage = Stage::new(
        Fake::after(millis(10)),
        &Settings { batch: batches(1, 1), ..Settings::default() },
    );
    let (items, mut completed) = items(&numbered("text", 20), &["text 15"]);
    // The item's tokens are still being counted on another thread.
    stage.dispatch.joined(&parameters(), 15, Priority::Interactive);
    settled().await;
    stage.dispatch.submit(&parameters(), items);
    assert_eq!(completed.recv().await.unwrap().0, "text 15");
    assert_eq!(completed.recv().await.unwrap().0, "text 0");
}

#[tokio::test(start_paused = true)]
async fn joining_a_batch_that_waits_to_be_sent_again_raises_its_priority() {
    let settings =
        Settings { batch: batches(1, 1), limits: limits(100, 100_000), ..Settings::default() };
    let busy = Fault::Unavailable { retry_after: None };
    let script = std::iter::repeat_n(None, 96).chain([Some(busy)]);
    let stage = Stage::new(Fake::failing(script), &settings);
    let (items, mut completed) = items(&numbered("text", 97), &[]);
    stage.dispatch.submit(&parameters(), items);
    for _ in 0..96 {
        assert!(completed.recv().await.unwrap().1.is_ok());
    }
    // The last call has failed, and the other requests of the minute are reserved for interactive items.
    tokio::time::sleep(secs(5)).await;
    assert!(completed.try_recv().is_err());
    let joined = Instant::now();
    stage.dispatch.joined(&parameters(), 96, Priority::Interactive);
    assert!(completed.recv().await.unwrap().1.is_ok());
    assert!(joined.elapsed() < secs(1), "{:?}", joined.elapsed());
}
