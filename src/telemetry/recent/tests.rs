use tokio::time::advance;

use super::*;
use crate::{error::Fault, item::Endpoint};

fn rpc(millis: u64) -> SlowRpc {
    SlowRpc {
        method: "voyage.gateway.v1.EmbeddingService/Embed",
        took: Duration::from_millis(millis),
        outcome: RpcOutcome::Ok,
        caller: None,
        request_id: millis.to_string(),
        trace_id: TraceId::from(u128::from(millis)).to_string(),
        ended: Instant::now(),
    }
}

fn kept(recent: &Recent) -> Vec<u128> {
    let rpcs = recent.slow_rpcs(Instant::now());
    rpcs.iter().map(|rpc| rpc.took.as_millis()).collect()
}

fn failure(status: u16) -> Upstream {
    Upstream {
        fault: Fault::Unavailable { retry_after: None },
        endpoint: Endpoint::Embeddings,
        model: "voyage-4".into(),
        status: Some(status),
        attempts: 1,
        tokens: 0,
        request_id: None,
        key: "default".into(),
    }
}

#[tokio::test(start_paused = true)]
async fn the_slowest_are_kept() {
    let recent = Recent::default();
    for millis in [100, 99, 0] {
        recent.slow_rpc(rpc(millis));
    }
    assert!(kept(&recent).is_empty());
    for millis in 101..=200 {
        recent.slow_rpc(rpc(millis));
    }
    for millis in (101..=200).rev() {
        recent.slow_rpc(rpc(millis));
    }
    let slowest = kept(&recent);
    assert_eq!(slowest.len(), MAX_RPCS);
    assert_eq!(slowest[..4], [200, 200, 199, 199]);
}

#[tokio::test(start_paused = true)]
async fn old_ones_make_room() {
    let recent = Recent::default();
    for millis in 1001..=1032 {
        recent.slow_rpc(rpc(millis));
    }
    advance(KEPT.checked_sub(Duration::from_secs(1)).unwrap()).await;
    recent.slow_rpc(rpc(500));
    assert_eq!(kept(&recent).len(), MAX_RPCS);
    assert!(!kept(&recent).contains(&500));
    advance(Duration::from_secs(1)).await;
    assert!(kept(&recent).is_empty());
    recent.slow_rpc(rpc(500));
    assert_eq!(kept(&recent), [500]);
}

#[tokio::test(start_paused = true)]
async fn the_last_errors_are_kept() {
    let recent = Recent::default();
    for status in 500..600 {
        recent.upstream_error(&failure(status), None);
    }
    let statuses: Vec<_> =
        recent.upstream_errors().iter().filter_map(|error| error.status).collect();
    assert_eq!(statuses, (568..600).rev().collect::<Vec<_>>());
    assert_eq!(statuses.len(), MAX_ERRORS);
    assert_eq!(recent.upstream_errors()[0].reason, "UPSTREAM_UNAVAILABLE");
    assert_eq!(recent.upstream_errors()[0].blame, Blame::Upstream);
}
