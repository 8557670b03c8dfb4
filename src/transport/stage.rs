//! How far a port is on its way out.

use tokio::sync::watch;

/// How far a port is on its way out; later stages are greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Connections and calls are taken.
    #[default]
    Serving,
    /// Connections are refused, peers are told to go away, and calls in flight may finish.
    Draining,
    /// What is left is cut off.
    Cut,
}

/// Waits until the port is at `stage` or beyond. A sender that is gone will not say more: that is the end as well.
pub async fn reached(stages: &mut watch::Receiver<Stage>, stage: Stage) {
    let _ = stages.wait_for(|now| *now >= stage).await;
}
