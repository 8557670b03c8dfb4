//! `EmbedMultimodal` over real gRPC: contents are cached by their bytes, checked by their headers, and apart by media.

use bytes::Bytes;
use tonic::{Code, Response, Status};
use voyage_gateway::{
    grpc::v1::{
        CacheMode, CacheStatus, ContentPart, EmbedMultimodalRequest, EmbedMultimodalResponse,
        InputType, Media, MultimodalInput, OutputDtype, RequestOptions, VectorEncoding,
        content_part::Part,
    },
    simulator::{Fault, Options},
};

use crate::support::{Gateway, details, reason};

const PNG: &[u8] = include_bytes!("../fixtures/media/picture.png");
const JPEG: &[u8] = include_bytes!("../fixtures/media/picture.jpg");
const WEBP: &[u8] = include_bytes!("../fixtures/media/picture.webp");
const GIF: &[u8] = include_bytes!("../fixtures/media/picture.gif");
const CLIP: &[u8] = include_bytes!("../fixtures/media/clip.mp4");

impl Gateway {
    pub(crate) async fn contents(
        &self,
        request: EmbedMultimodalRequest,
    ) -> Result<EmbedMultimodalResponse, Status> {
        self.client().await.embed_multimodal(request).await.map(Response::into_inner)
    }
}

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn media(file: impl AsRef<[u8]>) -> Media {
    Media { data: Bytes::copy_from_slice(file.as_ref()), mime_type: String::new() }
}

fn image(file: impl AsRef<[u8]>) -> Part {
    Part::Image(media(file))
}

fn video(file: impl AsRef<[u8]>) -> Part {
    Part::Video(media(file))
}

pub(crate) fn image_url(url: &str) -> Part {
    Part::ImageUrl(url.to_owned())
}

pub(crate) fn contents<const N: usize>(inputs: [Vec<Part>; N]) -> EmbedMultimodalRequest {
    let input = |parts: Vec<Part>| MultimodalInput {
        content: parts.into_iter().map(|part| ContentPart { part: Some(part) }).collect(),
    };
    EmbedMultimodalRequest { inputs: inputs.map(input).into(), ..EmbedMultimodalRequest::default() }
}

/// Returns the fields a status finds fault with, and the reasons.
fn violations(status: &Status) -> Vec<(String, String)> {
    let details = details(status);
    let violations = &details.bad_request().expect("a BadRequest").field_violations;
    violations.iter().map(|one| (one.field.clone(), one.reason.clone())).collect()
}

fn statuses(reply: &EmbedMultimodalResponse) -> Vec<CacheStatus> {
    reply.embeddings.iter().map(voyage_gateway::grpc::wire::Embedding::cache_status).collect()
}

#[tokio::test]
async fn a_content_is_cached_by_its_parts() {
    let gateway = Gateway::start().await;
    let banana = || vec![text("a banana"), image(PNG)];
    let first = gateway.contents(contents([banana(), vec![image(JPEG)]])).await.unwrap();
    assert_eq!((first.model.as_str(), first.dimension), ("voyage-multimodal-3.5", 1024));
    let usage = first.usage.unwrap();
    // 48 x 32 pixels count as 50,000.
    assert_eq!((usage.image_pixels, usage.video_pixels), (100_000, 0));
    assert_eq!((usage.text_tokens, usage.total_tokens), (2, 2 + 2 * 89));

    let turned = vec![image(PNG), text("a banana")];
    let again = gateway.contents(contents([vec![image(JPEG)], turned, banana()])).await.unwrap();
    let (hit, miss) = (CacheStatus::Hit, CacheStatus::Miss);
    assert_eq!(statuses(&again), [hit, miss, hit]);
    assert!(again.embeddings[0].values == first.embeddings[1].values);
    assert!(again.embeddings[2].values == first.embeddings[0].values);
    let calls = gateway.simulator().calls();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[1].path, "/v1/multimodalembeddings");
    let sent = base64_simd::STANDARD.encode_to_string(PNG);
    let content = &calls[1].body["inputs"][0]["content"];
    assert_eq!(content[0]["image_base64"], format!("data:image/png;base64,{sent}"));
    assert_eq!(content[1], serde_json::json!({"type": "text", "text": "a banana"}));
    // The length of a streamed body is announced.
    let length: usize = calls[1].headers["content-length"].to_str().unwrap().parse().unwrap();
    assert!(length > sent.len() && !calls[1].headers.contains_key("transfer-encoding"));
}

#[tokio::test]
async fn every_format_dtype_and_encoding_arrives() {
    let gateway = Gateway::start().await;
    for file in [PNG, JPEG, WEBP, GIF] {
        gateway.contents(contents([vec![image(file)]])).await.unwrap();
    }
    let reply = gateway.contents(contents([vec![video(CLIP), text("a clip")]])).await.unwrap();
    let usage = reply.usage.unwrap();
    // 16 frames, each billed as 50,000 pixels.
    assert_eq!((usage.video_pixels, usage.total_tokens), (800_000, 714 + 2));
    for dtype in 1..=5 {
        for encoding in [VectorEncoding::Values, VectorEncoding::Bytes] {
            let request = EmbedMultimodalRequest {
                output_dtype: dtype,
                output_dimension: 256,
                input_type: InputType::Query.into(),
                vector_encoding: encoding.into(),
                ..contents([vec![image(PNG)]])
            };
            let reply = gateway.contents(request).await.unwrap();
            assert_eq!((reply.output_dtype, reply.dimension), (dtype, 256));
            let embedding = &reply.embeddings[0];
            let (bytes, numbers) =
                (embedding.values.len() + embedding.data.len(), embedding.int_values.len());
            let expected = match OutputDtype::try_from(dtype).unwrap() {
                OutputDtype::Float => 1024,
                OutputDtype::Int8 | OutputDtype::Uint8 => 256,
                _ => 32,
            };
            assert_eq!(bytes + numbers, expected, "{dtype} {encoding:?}");
        }
    }
}

#[tokio::test]
async fn media_by_url_and_as_bytes_are_in_calls_of_their_own() {
    let gateway = Gateway::start().await;
    let url = "https://example.com/picture.png";
    let request = contents([
        vec![text("no media")],
        vec![image(PNG)],
        vec![image_url(url)],
        vec![text("more"), image(JPEG)],
        vec![video(CLIP), image_url(url)],
        vec![Part::VideoUrl("https://example.com/clip.mp4".to_owned())],
    ]);
    let reply = gateway.contents(request.clone()).await.unwrap();
    assert_eq!(reply.embeddings.len(), 6);
    let calls = gateway.simulator().calls();
    assert_eq!(calls.len(), 4, "{calls:?}");
    for call in &calls {
        let body = call.body.to_string();
        assert!(
            !(body.contains("\"image_url\"") && body.contains("\"image_base64\"")),
            "{body:.300}"
        );
    }
    // URLs are cached as such.
    let again = gateway.contents(request.clone()).await.unwrap();
    assert_eq!(statuses(&again), [CacheStatus::Hit; 6]);
    let options = RequestOptions { cache_mode: CacheMode::Refresh.into(), ..Default::default() };
    let refreshed = EmbedMultimodalRequest { options: Some(options), ..request };
    gateway.contents(refreshed).await.unwrap();
    assert_eq!(gateway.simulator().calls().len(), 8);
}

/// Requests of mixed contents, divided into small calls: each vector is that of its own content, wherever it stands.
#[tokio::test]
async fn every_vector_belongs_to_its_content() {
    const KINDS: usize = 7;
    let content = |number: usize| {
        let words = format!("words of {number}");
        match number % KINDS {
            0 => vec![text(&words)],
            1 => vec![image(png(40 + u32::try_from(number).unwrap(), 40, 0))],
            2 => vec![text(&words), image(JPEG)],
            3 => vec![image_url(&format!("https://example.com/{number}.png"))],
            4 => vec![video(CLIP), text(&words)],
            5 => vec![image_url("https://example.com/a.png"), text(&words)],
            _ => vec![image(WEBP), text(&words), image(GIF)],
        }
    };
    let small = |config: &mut voyage_gateway::config::Config, _: &mut Options| {
        config.batch.max_inputs = 4;
    };
    let (divided, alone) = (Gateway::with(small).await, Gateway::start().await);
    let input = |number| contents([content(number)]).inputs.remove(0);
    let request = |numbers: &[usize]| EmbedMultimodalRequest {
        inputs: numbers.iter().map(|number| input(*number)).collect(),
        ..EmbedMultimodalRequest::default()
    };
    let mut expected = Vec::new();
    for number in 0..5 * KINDS {
        let reply = alone.contents(request(&[number])).await.unwrap();
        expected.push(reply.embeddings[0].values.clone());
    }
    // Steps that have no divisor in common with the count visit every number; overlapping requests share flights.
    let orders = [1, 4, 11, 24].map(|step| -> Vec<usize> {
        (0..5 * KINDS + 3).map(|place| place * step % (5 * KINDS)).collect()
    });
    let replies = orders.iter().map(|order| divided.contents(request(order)));
    for (order, reply) in orders.iter().zip(futures_util::future::join_all(replies).await) {
        let reply = reply.unwrap();
        assert_eq!(reply.embeddings.len(), order.len());
        for (number, embedding) in order.iter().zip(&reply.embeddings) {
            assert!(embedding.values == expected[*number], "{number} in {order:?}");
        }
    }
}

#[tokio::test]
async fn a_caller_that_leaves_hurts_no_other_and_its_content_is_cached() {
    let gateway = Gateway::with(|_, simulator| {
        simulator.latency.base = std::time::Duration::from_millis(100);
    })
    .await;
    let banana = || contents([vec![text("a banana"), image(PNG)]]);
    let mut leaving = gateway.client().await;
    let left = tokio::spawn(async move { leaving.embed_multimodal(banana()).await });
    gateway.until_calls(1).await;
    let joined = gateway.contents(banana());
    left.abort();
    assert_eq!(joined.await.unwrap().embeddings.len(), 1);
    let again = gateway.contents(banana()).await.unwrap();
    assert_eq!(statuses(&again), [CacheStatus::Hit]);
    assert_eq!(gateway.simulator().calls().len(), 1);
}

/// The most is reserved for a video by URL: more than a minute of an account without a payment method.
#[tokio::test]
async fn a_video_by_url_is_sent_within_a_small_budget() {
    let gateway = Gateway::with(|config, _| {
        (config.limits.rpm, config.limits.tpm) = (Some(3), Some(10_000));
    })
    .await;
    let video = |name: &str| Part::VideoUrl(format!("https://example.com/{name}.mp4"));
    let request = EmbedMultimodalRequest {
        truncation: Some(false),
        ..contents([vec![video("a"), video("b"), text("two clips")]])
    };
    let reply = gateway.contents(request).await;
    assert_eq!(reply.unwrap().embeddings.len(), 1);
}

#[tokio::test]
async fn a_file_is_sent_again_as_a_whole_after_a_failure() {
    let gateway = Gateway::start().await;
    // Several pieces of base64.
    let large = png(100, 100, 1_000_000);
    for fault in [Fault::status(503), Fault::Reset, Fault::CutBody] {
        gateway.simulator().script().next_calls(1, fault);
    }
    let request = |mode: CacheMode| EmbedMultimodalRequest {
        options: Some(RequestOptions { cache_mode: mode.into(), ..RequestOptions::default() }),
        ..contents([vec![image(&large), text("a large picture")]])
    };
    for mode in [CacheMode::Bypass, CacheMode::ReadWrite] {
        gateway.contents(request(mode)).await.unwrap();
    }
    let calls = gateway.simulator().calls();
    assert_eq!(calls.len(), 5);
    assert!(calls.iter().all(|call| call.body == calls[0].body));
}

#[tokio::test]
async fn the_argument_for_base64_is_learnt_once() {
    let (known, unknown) = ("output_encoding", "encoding_format");
    let gateway =
        Gateway::with(|_, simulator: &mut Options| simulator.unknown_argument = Some(unknown))
            .await;
    for number in 0..3 {
        gateway.contents(contents([vec![text(&format!("text {number}"))]])).await.unwrap();
    }
    let calls = gateway.simulator().calls();
    let statuses: Vec<_> = calls.iter().map(|call| call.status.unwrap()).collect();
    assert_eq!(statuses, [400, 200, 200, 200]);
    assert!(calls[1..].iter().all(|call| call.body[known] == "base64"));
    // Texts have one name only.
    gateway.embed(crate::support::texts(&["a text"])).await.unwrap_err();
}

/// A PNG of a size, cut after what a header reader needs; its end is there.
fn png(width: u32, height: u32, bytes: usize) -> Vec<u8> {
    let mut file = PNG.to_vec();
    file[16..20].copy_from_slice(&width.to_be_bytes());
    file[20..24].copy_from_slice(&height.to_be_bytes());
    file.resize(bytes.max(file.len()), 0);
    file
}

/// A GIF of one pixel with so many frames of a width.
fn gif(frames: usize, width: u16) -> Vec<u8> {
    let [low, high] = width.to_le_bytes();
    let frame = [0x2c, 0, 0, 0, 0, low, high, 1, 0, 0, 2, 2, 0x44, 1, 0];
    let header = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff".as_slice();
    [header, &frame.repeat(frames), &[0x3b]].concat()
}

#[tokio::test]
async fn invalid_contents_are_violations_and_nothing_is_sent() {
    let gateway = Gateway::start().await;
    let part = |part| contents([vec![text("fine")], vec![text("fine"), part]]);
    let named = |file, mime: &str| Media { mime_type: mime.to_owned(), ..media(file) };
    let with_truncation_off = EmbedMultimodalRequest {
        truncation: Some(false),
        ..contents([vec![image(png(4_000, 4_000, 0)); 9]])
    };
    let no_part = EmbedMultimodalRequest {
        inputs: vec![MultimodalInput { content: vec![ContentPart { part: None }] }],
        ..EmbedMultimodalRequest::default()
    };
    let old_model = EmbedMultimodalRequest {
        model: "voyage-multimodal-3".to_owned(),
        ..contents([vec![video(CLIP)]])
    };
    let second = "inputs[1].content[1]";
    let cases = [
        (contents([]), "inputs".to_owned(), "EMPTY_LIST"),
        (contents([vec![]]), "inputs[0].content".to_owned(), "EMPTY_LIST"),
        (no_part, "inputs[0].content[0]".to_owned(), "EMPTY_PART"),
        (part(text("")), format!("{second}.text"), "EMPTY_TEXT"),
        (part(image(b"")), format!("{second}.image.data"), "EMPTY_FILE"),
        (part(image(&PNG[..PNG.len() - 20])), format!("{second}.image.data"), "INVALID_FILE"),
        (part(image(&JPEG[..700])), format!("{second}.image.data"), "INVALID_FILE"),
        (part(image(b"<svg></svg>")), format!("{second}.image.data"), "INVALID_FILE"),
        (part(image(gif(1, u16::MAX))), format!("{second}.image.data"), "INVALID_FILE"),
        (part(image(gif(10_001, 1))), format!("{second}.image.data"), "INVALID_FILE"),
        (part(video(b"no video, but text")), format!("{second}.video.data"), "INVALID_FILE"),
        (part(video(PNG)), format!("{second}.video.data"), "WRONG_MEDIA_TYPE"),
        (part(image(CLIP)), format!("{second}.image.data"), "WRONG_MEDIA_TYPE"),
        (
            part(Part::Image(named(PNG, "image/jpeg"))),
            format!("{second}.image.mime_type"),
            "WRONG_MEDIA_TYPE",
        ),
        (part(image(png(48, 32, 25_000_000))), format!("{second}.image.data"), "FILE_TOO_LARGE"),
        (part(image(png(17_000, 1_000, 0))), format!("{second}.image.data"), "TOO_MANY_PIXELS"),
        (part(image_url("ftp://example.com/a.png")), format!("{second}.image_url"), "INVALID_URL"),
        (part(image_url("https://")), format!("{second}.image_url"), "INVALID_URL"),
        (part(Part::VideoUrl("clip.mp4".to_owned())), format!("{second}.video_url"), "INVALID_URL"),
        (
            contents([vec![image(PNG), image_url("https://example.com/a.png")]]),
            "inputs[0].content".to_owned(),
            "MIXED_IMAGES",
        ),
        (with_truncation_off, "inputs[0].content".to_owned(), "INPUT_TOO_LONG"),
        (old_model, "inputs[0].content[0].video".to_owned(), "VIDEO_NOT_OFFERED"),
    ];
    for (request, field, expected) in cases {
        let error = gateway.contents(request).await.unwrap_err();
        assert_eq!(
            (error.code(), reason(&error)),
            (Code::InvalidArgument, "INVALID_REQUEST".into())
        );
        assert_eq!(violations(&error), [(field, expected.to_owned())], "{error}");
    }
    assert!(gateway.simulator().calls().is_empty());
}

#[tokio::test]
async fn with_allow_partial_an_invalid_content_fails_alone() {
    let gateway = Gateway::start().await;
    let options = RequestOptions { allow_partial: true, ..RequestOptions::default() };
    let request = EmbedMultimodalRequest {
        options: Some(options),
        ..contents([vec![image(&PNG[..100])], vec![image(PNG)]])
    };
    let reply = gateway.contents(request).await.unwrap();
    assert_eq!(reply.embeddings.len(), 1);
    assert_eq!((reply.embeddings[0].index, reply.errors[0].index), (1, 0));
    assert!(reply.errors[0].message.contains("image.data"), "{}", reply.errors[0].message);
}

#[tokio::test]
async fn a_content_that_voyage_refuses_is_named() {
    let gateway = Gateway::start().await;
    gateway.simulator().script().on_text("b", Fault::TooLong);
    let request = EmbedMultimodalRequest {
        truncation: Some(false),
        ..contents([vec![text("a")], vec![text("b")]])
    };
    let error = gateway.contents(request).await.unwrap_err();
    assert_eq!((error.code(), reason(&error)), (Code::InvalidArgument, "INPUT_TOO_LONG".into()));
    assert!(error.message().contains("inputs[1]"), "{error}");
}
