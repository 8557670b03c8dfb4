//! A panic in the dispatch fails its waiters and blocks no key.

use super::{fake::vector_of, *};

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_call_frees_the_keys_and_fails_the_waiters() {
    let fake = Fake::with(|fake| fake.panics = ["boom".to_owned()].into());
    let pipeline = pipeline(&fake);
    let opener = started(&pipeline, request(&["boom", "bystander"])).await;
    let joiner = started(&pipeline, request(&["bystander"])).await;
    for task in [opener, joiner] {
        assert!(matches!(task.await.unwrap(), Err(Error::Internal { .. })));
    }
    // The key is free: the next request is served.
    let response = pipeline.answer(request(&["bystander"])).await.unwrap();
    assert_eq!(answer(&response, 0), &vector_of("bystander"));
    // The place among the calls is free as well: `max_in_flight` is 8, and this makes nine panics.
    for _ in 0..8 {
        pipeline.answer(request(&["boom"])).await.unwrap_err();
    }
    pipeline.answer(request(&["still served"])).await.unwrap();
}
