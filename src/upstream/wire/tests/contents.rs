//! Contents of texts, images and videos, in both directions.

use std::sync::Arc;

use super::*;
use crate::item::{Content, ContentParameters, LinkedRequest, MediaFile, Part};

const PICTURE: &[u8] = include_bytes!("../../../../tests/fixtures/media/picture.jpg");
const CLIP: &[u8] = include_bytes!("../../../../tests/fixtures/media/clip.mp4");

fn of(input_type: Option<InputType>) -> Parameters {
    let vector = VectorParameters { input_type, ..VectorParameters::default() };
    let of = ContentParameters { vector, truncation: true };
    Parameters::new("voyage-multimodal-3.5", EndpointParameters::Contents(of))
}

fn content(parts: Vec<Part>) -> Input {
    Input::Content(Arc::new(Content::new(parts, LinkedRequest::next())))
}

fn file(bytes: &'static [u8]) -> Part {
    Part::File(MediaFile::new(bytes.into()).unwrap())
}

fn data_url(mime: &str, file: &[u8]) -> String {
    format!("data:{mime};base64,{}", base64_simd::STANDARD.encode_to_string(file))
}

#[test]
fn the_documented_request_is_part_of_ours() {
    let banana = content(vec![Part::Text("This is a banana.".to_owned()), file(PICTURE)]);
    let mut ours = sent(&of(Some(InputType::Document)), &[&banana]);
    let ours = ours.as_object_mut().unwrap();
    assert_eq!(ours.remove("truncation"), Some(true.into()));
    assert_eq!(ours.remove("encoding_format"), Some("base64".into()));
    let documented =
        include_str!("../../../../tests/fixtures/voyage/multimodalembeddings_request.json");
    let documented =
        documented.replace("data:image/jpeg;base64,/9j/4AAQ...", &data_url("image/jpeg", PICTURE));
    let documented: Value = serde_json::from_str(&documented).unwrap();
    assert_eq!(*ours, *documented.as_object().unwrap());
}

#[test]
fn parts_stay_in_their_order() {
    let texts = content(vec![Part::Text("\"quoted\"".to_owned())]);
    let mixed = content(vec![
        Part::VideoUrl("https://example.com/clip.mp4".to_owned()),
        file(CLIP),
        Part::Text("between".to_owned()),
        file(PICTURE),
    ]);
    let linked = content(vec![Part::ImageUrl("https://example.com/a.png".to_owned())]);
    let ours = sent(&of(None), &[&texts, &mixed, &linked]);
    assert_eq!(
        ours["inputs"],
        json!([
            {"content": [{"type": "text", "text": "\"quoted\""}]},
            {"content": [
                {"type": "video_url", "video_url": "https://example.com/clip.mp4"},
                {"type": "video_base64", "video_base64": data_url("video/mp4", CLIP)},
                {"type": "text", "text": "between"},
                {"type": "image_base64", "image_base64": data_url("image/jpeg", PICTURE)},
            ]},
            {"content": [{"type": "image_url", "image_url": "https://example.com/a.png"}]},
        ])
    );
    assert!(ours.get("input_type").is_none());
}

#[test]
fn base64_is_requested_by_either_name() {
    for (argument, other) in
        [("encoding_format", "output_encoding"), ("output_encoding", "encoding_format")]
    {
        let parsed = serde_json::from_value(argument.into()).unwrap();
        let ours = sent_with(parsed, &of(None), &[&content(vec![file(PICTURE)])]);
        assert_eq!((&ours[argument], ours.get(other)), (&json!("base64"), None));
    }
}

#[test]
fn the_documented_reply_is_read() {
    let reply = include_bytes!("../../../../tests/fixtures/voyage/multimodalembeddings_reply.json");
    let mut parameters = of(None);
    parameters.model = "model-of-tomorrow".into();
    let input = content(vec![file(PICTURE)]);
    let decoded = decode(&parameters, &[&input], reply).unwrap();
    let usage = Usage { tokens: 3_576, text_tokens: 5, image_pixels: 2_000_000, video_pixels: 0 };
    assert_eq!(decoded.usage, Some(usage));
    let first = bytes(decoded.answers).remove(0);
    assert_eq!(first[..8], little_endian(&[0.027_587_89, -0.021_240_234]));
}
