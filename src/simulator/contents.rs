//! `POST /v1/multimodalembeddings`.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    entries::{Accepted, Entries, Pixels},
    error_reply::ErrorReply,
    request::{self, Reader},
    tokens::cut,
    vectors::{Shape, vector_of_content},
};
use crate::{
    item::{MAX_IMAGE_PIXELS, MAX_MEDIA_BYTES, MediaHeader, MediaType},
    model::{Kind, Model},
};

const FIELDS: &[&str] = &[
    "inputs",
    "model",
    "input_type",
    "truncation",
    "output_dimension",
    "output_dtype",
    "encoding_format",
    "output_encoding",
];

/// The types of segments; each has a field of the same name.
const SEGMENTS: &[&str] = &["text", "image_url", "image_base64", "video_url", "video_base64"];

/// The pixels of everything that has a URL: nothing is downloaded.
const LINKED_IMAGE: u64 = 1_000_000;
const LINKED_VIDEO: u64 = 16 * 1_280 * 720;

/// A request for contents of texts, images and videos.
pub(super) struct Contents {
    pub(super) model: &'static Model,
    inputs: Vec<Vec<Segment>>,
    shape: Shape<'static>,
    truncation: bool,
    base64: bool,
}

enum Segment {
    Text(String),
    Media(Media),
}

/// An image or a video.
struct Media {
    pixels: Pixels,
    tokens: u64,
    /// What the model sees.
    shown: String,
    /// A digest of the file or of the URL.
    digest: [u8; 32],
}

impl Contents {
    pub(super) fn read(mut reader: Reader<'_>) -> Result<Self, ErrorReply> {
        let inputs = read_inputs(&mut reader);
        let name = reader.model_name();
        let vectors = reader.vectors();
        let truncation = reader.truncation();
        let base64 = reader.base64("encoding_format") | reader.base64("output_encoding");
        let has_video = segments(&reader)
            .any(|segment| segment["type"].as_str().is_some_and(|name| name.starts_with("video")));
        if has_video && name == "voyage-multimodal-3" {
            reader.wrong("inputs", "Value error, Video inputs are not supported by this model");
        }
        reader.finish(FIELDS)?;
        let model = request::model(name, Kind::Multimodal)?;
        Ok(Self { model, inputs, shape: vectors.shape(model)?, truncation, base64 })
    }

    /// Cuts the contents at the model's context, or refuses the first that is longer. An image that does not fit is left
    /// out whole.
    pub(super) fn accept(&self) -> Result<Accepted, ErrorReply> {
        let Self { model, inputs, shape, truncation, base64 } = self;
        let (mut vectors, mut total) = (Vec::with_capacity(inputs.len()), 0);
        let mut pixels = Pixels::default();
        for (index, segments) in inputs.iter().enumerate() {
            let mut content = Content::new(model.context_tokens.into());
            for segment in segments {
                content.add(segment);
            }
            if content.is_cut && !truncation {
                return Err(ErrorReply::example_too_long(model, index));
            }
            total += content.tokens;
            pixels.text_tokens += content.pixels.text_tokens;
            pixels.images += content.pixels.images;
            pixels.videos += content.pixels.videos;
            vectors.push(vector_of_content(&content.shown, &content.exact, shape));
        }
        if total > u64::from(model.max_request_tokens) {
            return Err(ErrorReply::batch_too_large(model, total));
        }
        Ok(Accepted {
            model,
            tokens: total,
            pixels: Some(pixels),
            dtype: shape.dtype,
            base64: *base64,
            entries: Entries::Vectors(vectors),
        })
    }
}

/// What the model reads of one input.
struct Content {
    room: u64,
    tokens: u64,
    pixels: Pixels,
    shown: String,
    exact: Vec<u8>,
    is_cut: bool,
}

impl Content {
    fn new(room: u64) -> Self {
        let pixels = Pixels::default();
        Self { room, tokens: 0, pixels, shown: String::new(), exact: Vec::new(), is_cut: false }
    }

    fn add(&mut self, segment: &Segment) {
        let (shown, exact) = match segment {
            Segment::Text(text) => {
                let (text_cut, tokens) = cut(text, self.room - self.tokens);
                self.is_cut |= text_cut.len() < text.len();
                self.tokens += tokens;
                self.pixels.text_tokens += tokens;
                (text_cut, text_cut.as_bytes())
            }
            Segment::Media(media) if self.tokens + media.tokens > self.room => {
                self.is_cut = true;
                return;
            }
            Segment::Media(media) => {
                self.tokens += media.tokens;
                self.pixels.images += media.pixels.images;
                self.pixels.videos += media.pixels.videos;
                (media.shown.as_str(), media.digest.as_slice())
            }
        };
        self.shown.push_str(shown);
        self.shown.push('\n');
        self.exact.extend_from_slice(exact);
        self.exact.push(0);
    }
}

/// Returns the segments of all inputs.
fn segments<'a>(reader: &Reader<'a>) -> impl Iterator<Item = &'a Value> {
    let inputs = reader.fields.get("inputs").unwrap_or(&Value::Null);
    request::list(inputs).iter().flat_map(|input| request::list(&input["content"]))
}

/// Returns the texts and URLs of an input, and the types of its files.
pub(super) fn texts(input: &Value) -> Vec<String> {
    let text = |segment: &Value| {
        let name = segment["type"].as_str().unwrap_or_default();
        let text = segment[name].as_str().unwrap_or_default();
        if name.ends_with("base64") { name } else { text }.to_owned()
    };
    request::list(&input["content"]).iter().map(text).collect()
}

fn read_inputs(reader: &mut Reader<'_>) -> Vec<Vec<Segment>> {
    let Some(inputs) = reader.fields.get("inputs") else {
        reader.missing();
        return Vec::new();
    };
    let Some(contents) = contents(inputs) else {
        reader.wrong("inputs", "Input should be a valid list of objects with a list 'content'");
        return Vec::new();
    };
    if contents.is_empty() || contents.iter().any(|content| content.is_empty()) {
        reader.wrong("inputs", "Value error, Inputs and contents cannot be empty");
    }
    reader.check_count("inputs", contents.len());
    let types: Vec<&str> = contents
        .iter()
        .flat_map(|content| content.iter())
        .filter_map(|s| s["type"].as_str())
        .collect();
    if types.contains(&"image_url") && types.contains(&"image_base64") {
        let problem = "Value error, Images must be all URLs or all base64 within a request";
        reader.wrong("inputs", problem);
    }
    let read = |content: &&Vec<Value>| content.iter().map(segment).collect();
    match contents.iter().map(read).collect::<Result<_, String>>() {
        Ok(inputs) => inputs,
        Err(problem) => {
            reader.wrong("inputs", &format!("Value error, {problem}"));
            Vec::new()
        }
    }
}

/// Returns the contents of the inputs; `None`: they are not lists of objects with a list.
fn contents(inputs: &Value) -> Option<Vec<&Vec<Value>>> {
    let contents = inputs.as_array()?.iter().map(|input| {
        let fields = input.as_object().filter(|fields| fields.len() == 1)?;
        fields.get("content")?.as_array()
    });
    contents.collect()
}

/// Reads one segment; the error is the problem.
fn segment(value: &Value) -> Result<Segment, String> {
    let name = value["type"].as_str().filter(|name| SEGMENTS.contains(name));
    let name = name.ok_or(
        "A content's type must be text, image_url, image_base64, video_url or video_base64",
    )?;
    let fields = value.as_object().map_or(0, serde_json::Map::len);
    let text = value[name].as_str().filter(|text| fields == 2 && !text.is_empty());
    let text = text
        .ok_or_else(|| format!("A content of type '{name}' must have '{name}' and nothing else"))?;
    let is_video = name.starts_with("video");
    Ok(match name {
        "text" => Segment::Text(text.to_owned()),
        "image_url" | "video_url" => {
            if !text.starts_with("http://") && !text.starts_with("https://") {
                return Err(format!("Invalid URL in '{name}'"));
            }
            Segment::Media(Media::new(is_video, None, text.to_owned(), text.as_bytes()))
        }
        _ => Segment::Media(file(is_video, text)?),
    })
}

fn file(is_video: bool, data_url: &str) -> Result<Media, String> {
    let (mime, data) = data_url
        .strip_prefix("data:")
        .and_then(|rest| rest.split_once(";base64,"))
        .ok_or("Media must be data URLs: data:<mediatype>;base64,<data>")?;
    let file = base64_simd::STANDARD.decode_to_vec(data).map_err(|_| "Invalid base64")?;
    if file.len() > MAX_MEDIA_BYTES {
        return Err("The size limit of an image or a video is 20 MB".to_owned());
    }
    let header = MediaHeader::read(&file).map_err(|_| "Cannot identify the image or video file")?;
    if header.format.mime() != mime || header.format.is_video() != is_video {
        return Err(format!("The file is not of the media type {mime}"));
    }
    if !is_video && header.pixels() > MAX_IMAGE_PIXELS {
        return Err("The limit of pixels of an image is 16 million".to_owned());
    }
    let shown = description(header.format, &file).unwrap_or_default();
    Ok(Media::new(is_video, Some(&header), shown, &file))
}

impl Media {
    /// Voyage's rule of pixels and tokens, written a second time: the gateway's may be wrong.
    fn new(is_video: bool, header: Option<&MediaHeader>, shown: String, exact: &[u8]) -> Self {
        let clamped = |header: &MediaHeader| header.pixels().clamp(50_000, 2_000_000);
        let (pixels, tokens) = if is_video {
            let frames = |header: &MediaHeader| u64::from(header.frames / 2 * 2).max(2);
            let videos = header.map_or(LINKED_VIDEO, |of| frames(of) * clamped(of));
            (Pixels { videos, ..Pixels::default() }, videos / 1_120)
        } else {
            let images = header.map_or(LINKED_IMAGE, clamped);
            (Pixels { images, ..Pixels::default() }, images / 560)
        };
        Self { pixels, tokens, shown, digest: Sha256::digest(exact).into() }
    }
}

/// Returns the description in a PNG's `tEXt` chunk: what the model sees in the picture.
fn description(format: MediaType, file: &[u8]) -> Option<String> {
    const KEY: &[u8] = b"tEXtDescription\0";
    if format != MediaType::Png {
        return None;
    }
    let at = file.windows(KEY.len()).position(|window| window == KEY)?;
    let length = file[..at].last_chunk().map(|length| u32::from_be_bytes(*length))? as usize;
    let text = file.get(at + KEY.len()..at + 4 + length)?;
    Some(String::from_utf8_lossy(text).into_owned())
}
