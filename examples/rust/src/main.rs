//! Embeds texts through voyage-gateway, as a Rust service does it: several replicas, a deadline and a credential for each
//! call, retries, and errors that say who must act.
//!
//!     cargo run -- --gateway localhost:50051 "a text" "another"
//!
//! tonic reads no service configuration: balancing and retries are here. `VOYAGE_GATEWAY_TOKEN_FILE` names the file of the
//! bearer token, if the gateway requires one.

use std::{
    collections::{BTreeMap, HashSet},
    env,
    error::Error,
    fs, io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::lookup_host,
    sync::mpsc::Sender,
    task::JoinSet,
    time::{Instant, sleep},
};
use tonic::{
    Code, Request, Status,
    metadata::AsciiMetadataValue,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint, channel::Change},
};
use tonic_types::StatusExt as _;

use v1::{EmbedRequest, EmbedResponse, embedding_service_client::EmbeddingServiceClient};

mod v1 {
    tonic::include_proto!("voyage.gateway.v1");
}

type Client = EmbeddingServiceClient<
    InterceptedService<Channel, fn(Request<()>) -> Result<Request<()>, Status>>,
>;

/// A client for the whole process; several addresses with commas between them. NAME:50051 of a headless service is all
/// replicas.
fn connect(names: String) -> Client {
    let (channel, changes) = Channel::balance_channel(16);
    tokio::spawn(follow(names, changes));
    EmbeddingServiceClient::with_interceptor(channel, bearer)
}

/// Resolves the names periodically, and reports changes.
async fn follow(names: String, changes: Sender<Change<SocketAddr, Endpoint>>) {
    let mut known = HashSet::new();
    loop {
        // A look-up that fails changes nothing.
        if let Ok(found) = look_up(&names).await {
            let gone = known.difference(&found).map(|address| Change::Remove(*address));
            let new = found
                .difference(&known)
                .map(|address| Change::Insert(*address, endpoint(*address)));
            for change in gone.chain(new).collect::<Vec<_>>() {
                if changes.send(change).await.is_err() {
                    return;
                }
            }
            known = found;
        }
        sleep(Duration::from_secs(5)).await;
    }
}

async fn look_up(names: &str) -> std::io::Result<HashSet<SocketAddr>> {
    let mut found = HashSet::new();
    for name in names.split(',') {
        found.extend(lookup_host(name).await?);
    }
    Ok(found)
}

fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint::from_shared(format!("http://{address}"))
        .expect("an address is an authority")
        .connect_timeout(Duration::from_secs(2))
        .http2_keep_alive_interval(Duration::from_secs(60))
        .keep_alive_timeout(Duration::from_secs(20))
}

/// Sends the token; its file is read for every call: the kubelet renews it.
fn bearer(mut request: Request<()>) -> Result<Request<()>, Status> {
    if let Ok(file) = env::var("VOYAGE_GATEWAY_TOKEN_FILE") {
        let token = fs::read_to_string(file).map_err(|_| Status::unauthenticated("no token"))?;
        let value = AsciiMetadataValue::try_from(format!("Bearer {}", token.trim()))
            .map_err(|_| Status::unauthenticated("no token"))?;
        request.metadata_mut().insert("authorization", value);
    }
    Ok(request)
}

/// One call: four attempts at most, within one deadline.
async fn embed(
    client: &Client,
    texts: &[String],
    deadline: Duration,
) -> Result<EmbedResponse, Status> {
    let ends = Instant::now() + deadline;
    let mut wait = Duration::from_millis(100);
    for attempt in 1.. {
        let mut request =
            Request::new(EmbedRequest { inputs: texts.to_vec(), ..Default::default() });
        request.set_timeout(ends.saturating_duration_since(Instant::now()));
        let error = match client.clone().embed(request).await {
            Ok(reply) => return Ok(reply.into_inner()),
            Err(error) => error,
        };
        // The pushback is the time to wait, or -1 if a retry cannot succeed.
        let pushback =
            error.metadata().get("grpc-retry-pushback-ms").and_then(|value| value.to_str().ok());
        let pause =
            pushback.map_or(Some(wait), |value| value.parse().ok().map(Duration::from_millis));
        match pause {
            Some(pause) if attempt < 4 && may_pass(&error) && Instant::now() + pause < ends => {
                sleep(pause).await;
            }
            _ => return Err(error),
        }
        wait *= 2;
    }
    unreachable!("the fourth attempt is the last")
}

/// Whether the same call may succeed on another connection. What tonic says by itself has a source, and no code to rely
/// on: a call that found its connection closing is `CANCELLED`.
fn may_pass(error: &Status) -> bool {
    error.code() == Code::Unavailable || error.source().is_some()
}

/// Says who must act. Programs decide by the reason and its domain, never by the message.
fn explain(error: &Status) -> String {
    error.get_details_error_info().map_or_else(
        || format!("{:?}: {}", error.code(), error.message()),
        |info| {
            format!("{} of {}: {:?}: {}", info.reason, info.domain, error.code(), error.message())
        },
    )
}

/// Keeps so many calls going until standard input ends, and counts their ends.
async fn until_eof(client: Client, workers: usize) {
    let ended = Arc::new(AtomicBool::new(false));
    let mut calls = JoinSet::new();
    for worker in 0..workers {
        let (client, ended) = (client.clone(), Arc::clone(&ended));
        calls.spawn(async move {
            let (mut answered, mut failed) = (0, BTreeMap::new());
            while !ended.load(Ordering::Relaxed) {
                let text = format!("rust {worker} {answered}");
                match embed(&client, &[text], Duration::from_secs(30)).await {
                    Ok(_) => answered += 1,
                    Err(error) => *failed.entry(explain(&error)).or_insert(0) += 1,
                }
                if (worker, answered) == (0, 1) {
                    println!("answered");
                }
            }
            (answered, failed)
        });
    }
    let _ = tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink())).await;
    ended.store(true, Ordering::Relaxed);
    let (mut answered, mut failed) = (0, BTreeMap::new());
    for (calls, failures) in calls.join_all().await {
        answered += calls;
        for (why, times) in failures {
            *failed.entry(why).or_insert(0) += times;
        }
    }
    // Debug writes a map of strings to numbers as JSON does.
    println!("{{\"answered\": {answered}, \"failed\": {failed:?}}}");
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (mut gateway, mut workers, mut texts) = ("localhost:50051".to_owned(), 0, Vec::new());
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--gateway" => gateway = arguments.next().ok_or("--gateway requires a value")?,
            "--until-eof" => {
                workers = arguments.next().ok_or("--until-eof requires a value")?.parse()?
            }
            _ => texts.push(argument),
        }
    }
    let client = connect(gateway);
    if workers > 0 {
        until_eof(client, workers).await;
        return Ok(());
    }
    let reply =
        embed(&client, &texts, Duration::from_secs(10)).await.map_err(|error| explain(&error))?;
    for (text, embedding) in texts.iter().zip(&reply.embeddings) {
        println!(
            "{text}\t{} numbers\t{}",
            embedding.values.len(),
            embedding.cache_status().as_str_name()
        );
    }
    Ok(())
}
