//! How long a connection has had nothing to do.

use std::{future::pending, time::Duration};

use http::Response;
use http_body_util::BodyExt as _;
use tokio::{sync::watch, time::timeout};
use tonic::body::Body;

/// The requests of one connection that are not answered whole.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests(watch::Sender<usize>);

/// One of them; it ends when this goes.
#[derive(Debug)]
pub(super) struct Open(watch::Sender<usize>);

impl Requests {
    /// Counts a request, as long as what this returns is kept.
    pub(super) fn open(&self) -> Open {
        self.0.send_modify(|open| *open += 1);
        Open(self.0.clone())
    }

    /// Waits until there has been none for `idle`; `None` is for ever.
    pub(super) async fn idle(&self, idle: Option<Duration>) {
        let Some(idle) = idle else { return pending().await };
        let mut open = self.0.subscribe();
        loop {
            // The sender is here.
            let _ = open.wait_for(|open| *open == 0).await;
            if timeout(idle, open.changed()).await.is_err() {
                return;
            }
        }
    }
}

impl Open {
    /// Has the request last until the reply's last byte, or its end without one.
    pub(super) fn until_end_of(self, reply: Response<Body>) -> Response<Body> {
        reply.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let _kept = &self;
                frame
            }))
        })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, sleep};

    #[tokio::test(start_paused = true)]
    async fn idle_begins_with_the_end_of_the_last_request() {
        let (requests, started) = (Requests::default(), Instant::now());
        let (first, second) = (requests.open(), requests.open());
        tokio::spawn(async move {
            sleep(Duration::from_secs(50)).await;
            drop(first);
            sleep(Duration::from_secs(200)).await;
            drop(second);
        });
        requests.idle(Some(Duration::from_mins(1))).await;
        assert_eq!(started.elapsed().as_secs(), 310);
        let never = timeout(Duration::from_hours(1), requests.idle(None)).await;
        assert!(never.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_comes_and_goes_begins_it_anew() {
        let (requests, started) = (Requests::default(), Instant::now());
        let busy = requests.clone();
        tokio::spawn(async move {
            for _ in 0..3 {
                sleep(Duration::from_secs(40)).await;
                drop(busy.open());
            }
        });
        requests.idle(Some(Duration::from_mins(1))).await;
        assert_eq!(started.elapsed().as_secs(), 180);
    }
}
