//! Many lanes of several endpoints: every query of a reranking is a lane of its own.

use super::{saturation::calibrate, *};
use crate::item::{
    ChunkParameters, Chunks, Content, ContentParameters, EndpointParameters, LinkedRequest,
    MediaFile, Part, Query, RerankParameters, VectorParameters,
};

const PICTURE: &[u8] = include_bytes!("../../../tests/fixtures/media/picture.png");

/// A request that reranks these documents by a query of its own.
fn rerank(query: &str, documents: &[String]) -> Request {
    let query = Query::new(query);
    let of = EndpointParameters::Pairs(RerankParameters { query, truncation: true });
    Request {
        parameters: Arc::new(Parameters::new(MODEL, of)),
        inputs: documents.iter().map(|text| Ok(Input::Candidate(text.as_str().into()))).collect(),
        ..request::<&str>(&[])
    }
}

/// A request for documents of two chunks each.
fn chunks(texts: &[String], caller: &str) -> Request {
    let of = ChunkParameters { vector: VectorParameters::default(), auto_chunking: None };
    let document = |text: &String| {
        let (one, other) = text.split_at(text.len() / 2);
        Ok(Input::Chunks(Chunks::new(vec![one.to_owned(), other.to_owned()])))
    };
    Request {
        parameters: Arc::new(Parameters::new(MODEL, EndpointParameters::Chunks(of))),
        inputs: texts.iter().map(document).collect(),
        ..bulk::<&str>(&[], caller)
    }
}

/// A request for texts with a picture each: the picture as bytes, by URL, or none, in turn.
fn contents(texts: &[String], caller: &str) -> Request {
    let of = ContentParameters { vector: VectorParameters::default(), truncation: true };
    let (picture, linked) = (MediaFile::new(PICTURE.into()).unwrap(), LinkedRequest::next());
    let content = |(index, text): (usize, &String)| {
        let mut parts = vec![Part::Text(text.clone())];
        match index % 3 {
            0 => parts.push(Part::File(picture.clone())),
            1 => parts.push(Part::ImageUrl("https://example.com/a.png".to_owned())),
            _ => {}
        }
        Ok(Input::Content(Arc::new(Content::new(parts, linked))))
    };
    Request {
        parameters: Arc::new(Parameters::new(MODEL, EndpointParameters::Contents(of))),
        inputs: texts.iter().enumerate().map(content).collect(),
        ..bulk::<&str>(&[], caller)
    }
}

/// Sends one request after another.
async fn send(stage: Stage, request: impl Fn(usize) -> Request) {
    for number in 0.. {
        stage.run(request(number)).await.unwrap();
    }
}

/// Three minutes of texts, documents of chunks, contents with pictures and rerankings, all of them of one model; returns the share of its
/// requests and tokens that were used, in percent.
#[expect(clippy::cast_precision_loss, reason = "counts of a test")]
async fn three_minutes(rpm: u32, tpm: u64, inputs: usize) -> (f64, f64) {
    let fake = Fake { limits: Some((rpm as usize, tpm)), ..Fake::after(millis(200)) };
    let stage = Stage::new(fake, &Settings { limits: limits(rpm, tpm), ..Settings::default() });
    calibrate(&stage, 100);
    let texts = move |kind: &str, number: usize| -> Vec<String> {
        let words = "word ".repeat(100);
        (0..inputs).map(|input| format!("{kind} {number} {input} {words}")).collect()
    };
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..3 {
        let name = format!("caller {caller}");
        tasks.spawn(send(stage.clone(), {
            let name = name.clone();
            move |number| bulk(&texts(&format!("{name} text"), number), &name)
        }));
        tasks.spawn(send(stage.clone(), {
            let name = name.clone();
            move |number| chunks(&texts(&format!("{name} document"), number), &name)
        }));
        tasks.spawn(send(stage.clone(), {
            let name = name.clone();
            move |number| contents(&texts(&format!("{name} content"), number), &name)
        }));
        tasks.spawn(send(stage.clone(), move |number| {
            let pairs = texts(&format!("{name} candidate"), number);
            Request {
                priority: Priority::Batch,
                ..rerank(&format!("query {number} of {name}"), &pairs)
            }
        }));
    }
    tokio::time::sleep(MINUTE * 3).await;
    tasks.shutdown().await;
    assert_eq!(stage.fake.refused(), 0, "429s");
    let (requests, tokens) = stage.fake.counted(MODEL);
    let used = (
        requests as f64 * 100.0 / (f64::from(rpm) * 3.0),
        tokens as f64 * 100.0 / (tpm as f64 * 3.0),
    );
    println!("{:.1} % of the requests, {:.1} % of the tokens", used.0, used.1);
    used
}

#[tokio::test(start_paused = true)]
async fn a_mixed_load_uses_the_tokens_of_one_budget() {
    let (_, tokens) = three_minutes(2_000, 1_000_000, 100).await;
    assert!(tokens >= 95.0, "{tokens} %");
}

#[tokio::test(start_paused = true)]
async fn a_mixed_load_uses_the_requests_of_one_budget() {
    let (requests, _) = three_minutes(300, 3_000_000, 2).await;
    assert!(requests >= 95.0, "{requests} %");
}

#[tokio::test(start_paused = true)]
async fn a_query_counts_once_among_the_bytes_that_wait() {
    let stage = Stage::new(Fake::after(secs(1)), &Settings::default());
    let query = "word ".repeat(2_000);
    let waiting = stage.start(rerank(&query, &numbered("document", 3))).await;
    let (inputs, bytes) = stage.held();
    assert_eq!(inputs, 3);
    assert!((query.len()..2 * query.len()).contains(&bytes), "{bytes} bytes");
    waiting.await.unwrap().unwrap();
    settled().await;
    assert_eq!(stage.held(), (0, 0));
}

/// More lanes than a minute's requests: each gets its turn, in the order of arrival.
#[tokio::test(start_paused = true)]
async fn every_lane_is_served_within_the_limit() {
    const LANES: usize = 400;
    let fake = Fake { limits: Some((300, 3_000_000)), ..Fake::after(millis(100)) };
    let settings = Settings { limits: limits(300, 3_000_000), ..Settings::default() };
    let stage = Stage::new(fake, &settings);
    let mut requests = Vec::new();
    for number in 0..LANES {
        let request = rerank(&format!("query {number}"), &numbered(&format!("{number}"), 2));
        requests.push(stage.start(request).await);
    }
    for request in requests {
        request.await.unwrap().unwrap();
    }
    assert_eq!(stage.fake.refused(), 0, "429s");
    let first =
        |texts: &Vec<String>| -> usize { texts[0].split_once(' ').unwrap().0.parse().unwrap() };
    let served: Vec<usize> = stage.fake.sent().iter().map(first).collect();
    assert_eq!(served, (0..LANES).collect::<Vec<_>>());
}
