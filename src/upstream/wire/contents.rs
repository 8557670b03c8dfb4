//! `POST /v1/multimodalembeddings`. Replies are those of texts.

use serde::{Deserialize, Serialize};

use super::vectors::VectorFields;
use crate::{
    item::{ContentParameters, Input, MediaFile, Part},
    upstream::body::RequestBody,
};

/// Voyage's argument that requests base64. The reference and the official SDKs name it differently, and an unknown
/// argument is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum EncodingArgument {
    /// As the official SDKs name it.
    #[default]
    EncodingFormat,
    /// As the API reference names it.
    OutputEncoding,
}

impl EncodingArgument {
    /// Returns the argument's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EncodingFormat => "encoding_format",
            Self::OutputEncoding => "output_encoding",
        }
    }

    /// Returns the other name.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::EncodingFormat => Self::OutputEncoding,
            Self::OutputEncoding => Self::EncodingFormat,
        }
    }
}

/// The fields of a request besides the inputs.
#[derive(Serialize)]
struct Fields<'a> {
    model: &'a str,
    #[serde(flatten)]
    vector: VectorFields,
    /// Always sent: leaving out a `false` would mean `true`.
    truncation: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding_format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_encoding: Option<&'static str>,
}

/// A part without a file.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Segment<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: &'a str },
    VideoUrl { video_url: &'a str },
}

pub(super) fn encode(
    model: &str,
    of: &ContentParameters,
    argument: EncodingArgument,
    inputs: &[&Input],
) -> Option<RequestBody> {
    let base64 = |name| (argument == name).then_some("base64");
    let fields = Fields {
        model,
        vector: VectorFields::of(&of.vector),
        truncation: of.truncation,
        encoding_format: base64(EncodingArgument::EncodingFormat),
        output_encoding: base64(EncodingArgument::OutputEncoding),
    };
    let mut writer = Writer::default();
    let mut before = r#"{"inputs":["#;
    for input in inputs {
        let Input::Content(content) = input else { return None };
        writer.text(before);
        before = ",";
        let mut before = r#"{"content":["#;
        for part in content.parts() {
            writer.text(before);
            writer.part(part)?;
            before = ",";
        }
        writer.text("]}");
    }
    // The object goes on with the other fields.
    writer.text("],");
    let fields = serde_json::to_vec(&fields).ok()?;
    writer.json.extend_from_slice(fields.strip_prefix(b"{")?);
    Some(writer.finish())
}

/// Writes JSON up to the next file.
#[derive(Default)]
struct Writer {
    body: RequestBody,
    json: Vec<u8>,
}

impl Writer {
    fn text(&mut self, text: &str) {
        self.json.extend_from_slice(text.as_bytes());
    }

    fn part(&mut self, part: &Part) -> Option<()> {
        let segment = match part {
            Part::Text(text) => Segment::Text { text },
            Part::ImageUrl(image_url) => Segment::ImageUrl { image_url },
            Part::VideoUrl(video_url) => Segment::VideoUrl { video_url },
            Part::File(file) => {
                self.file(file);
                return Some(());
            }
        };
        serde_json::to_writer(&mut self.json, &segment).ok()
    }

    fn file(&mut self, file: &MediaFile) {
        let format = file.header().format;
        let name = if format.is_video() { "video_base64" } else { "image_base64" };
        let mime = format.mime();
        self.text(&format!(r#"{{"type":"{name}","{name}":"data:{mime};base64,"#));
        self.body.push_json(std::mem::take(&mut self.json));
        self.body.push_file(file.data().clone());
        self.text(r#""}"#);
    }

    fn finish(mut self) -> RequestBody {
        self.body.push_json(self.json);
        self.body
    }
}
