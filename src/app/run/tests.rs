//! That the end of a task is noticed, and how a server is stopped.

use std::future::pending;

use super::*;
use crate::{app, config::Config, secret::Secret};

#[tokio::test(start_paused = true)]
async fn a_task_that_ends_or_panics_is_noticed() {
    let returns = Task::start("one that returns", async {});
    let panics = Task::start("one that panics", async { panic!("a canary") });
    let lives = Task::start("one that lives", pending());
    for _ in 0..2 {
        assert_eq!(returns.ended().await, "one that returns");
        assert_eq!(panics.ended().await, "one that panics");
    }
    let waited = tokio::time::timeout(Duration::from_hours(1), lives.ended()).await;
    assert!(waited.is_err());
}

#[test]
fn an_unexpected_end_names_the_task() {
    assert_eq!(RunError("admin port").to_string(), "the admin port ended unexpectedly");
}

#[tokio::test(start_paused = true)]
async fn a_server_has_enough_time() {
    for (takes, taken) in [(1, 1), (5, 5), (20, 10)] {
        let states = watch::Sender::new(PortState::Serving);
        let mut reported = states.subscribe();
        let task = Task::start("server", async move {
            transport::reached(&mut reported, PortState::Draining).await;
            tokio::select! {
                () = sleep(Duration::from_secs(takes)) => {}
                () = transport::reached(&mut reported, PortState::Cut) => {}
            }
        });
        let started = tokio::time::Instant::now();
        let server = Server { task, states };
        server.stop(sleep(Duration::from_secs(10))).await;
        assert_eq!(started.elapsed().as_secs(), taken);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_by_itself_ends_the_gateway_with_an_error() {
    for name in ["gRPC port", "admin port"] {
        let mut config = Config::default();
        config.server.listen.set_port(0);
        config.admin.listen.set_port(0);
        let bound = app::build(&config, Secret::new("key"), app::Parts::default()).await.unwrap();
        let port = if name == "gRPC port" { &bound.grpc } else { &bound.admin };
        // No other task stops ports, so this is an unexpected end.
        port.states.send_replace(PortState::Draining);
        let running = bound.run_until(pending(), pending());
        let ended = tokio::time::timeout(Duration::from_mins(1), running).await.unwrap();
        assert_eq!(ended.unwrap_err().0, name);
    }
}
