//! What was taken over lands, whatever happens to the dispatch and in whatever order it hears of things.

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::*;

/// A text, and what became of it.
type Landed = (String, Result<Answer, Error>);

/// Waits for one text without a pipeline.
#[derive(Debug)]
struct Note {
    text: String,
    /// Of the most urgent of those whom it stands for.
    priority: Priority,
    landed: UnboundedSender<Landed>,
}

impl FlightOwner for Note {
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
        panic!("somebody waits for {}", self.text);
    }

    fn complete(self: Box<Self>, result: Result<Answer, Error>, _bill: Bill) {
        let _ = self.landed.send((self.text, result));
    }
}

/// The items of these texts, and where it is heard how they landed. They are all of a batch; those in `lifted` were
/// joined by somebody in a hurry.
fn items(texts: &[String], lifted: &[&str]) -> (Vec<Item>, UnboundedReceiver<Landed>) {
    let (sender, landed) = unbounded_channel();
    let items = texts.iter().zip(0..).map(|(text, id)| {
        let is_lifted = lifted.contains(&text.as_str());
        let priority = if is_lifted { Priority::Interactive } else { Priority::Batch };
        let note = Note { text: text.clone(), priority, landed: sender.clone() };
        Item {
            id,
            input: Input::Text(text.clone()),
            priority: Priority::Batch,
            caller: Caller::anonymous(),
            measure: None,
            owner: Box::new(note),
        }
    });
    (items.collect(), landed)
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_when_the_dispatch_is_dropped_still_lands() {
    let limited = Fault::RateLimited { retry_after: Some(secs(20)), free_tier: false };
    let settings =
        Settings { batch: batches(2, 1), limits: limits(3, 100_000), ..Settings::default() };
    // One call is out and will come back, four wait for it and for budget.
    let stage = Stage::new(Fake::failing([Some(limited)]), &settings);
    let texts = numbered("text", 10);
    let (items, mut landed) = items(&texts, &[]);
    let fake = Arc::clone(&stage.fake);
    stage.dispatch.submit(&parameters(), items);
    settled().await;
    assert_eq!(fake.calls().len(), 1);
    let shared = stage.close();
    for text in &texts {
        let (landed, result) = landed.recv().await.unwrap();
        assert_eq!(result, Ok(vector_of(&landed)), "{text}");
    }
    assert!(landed.recv().await.is_none());
    assert_eq!(fake.sent().len(), 6);
    settled().await;
    assert!(shared.upgrade().is_none(), "the scheduler is still there");
}

#[tokio::test(start_paused = true)]
async fn whoever_joins_an_item_that_is_still_being_counted_lifts_it() {
    let stage = Stage::new(
        Fake::after(millis(10)),
        &Settings { batch: batches(1, 1), ..Settings::default() },
    );
    let (items, mut landed) = items(&numbered("text", 20), &["text 15"]);
    // The item's tokens are counted on a thread of their own meanwhile.
    stage.dispatch.joined(&parameters(), 15, Priority::Interactive);
    settled().await;
    stage.dispatch.submit(&parameters(), items);
    assert_eq!(landed.recv().await.unwrap().0, "text 15");
    assert_eq!(landed.recv().await.unwrap().0, "text 0");
}
