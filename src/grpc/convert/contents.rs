//! `EmbedMultimodal`: contents of texts, images and videos.

use std::sync::Arc;

use super::{
    CallTerms, Options, ReplyShape, Violations, check_count, model_name, refuse_or_add,
    texts::embed_response,
    vectors::{VectorFields, VectorRequest},
};
use crate::{
    error::Error,
    grpc::{
        RequestModels,
        v1::{
            EmbedMultimodalRequest, EmbedMultimodalResponse, EmbedResponse, Media, MultimodalInput,
            content_part,
        },
    },
    item::{
        Content, ContentParameters, EndpointParameters, Input, LinkedRequest, MAX_IMAGE_PIXELS,
        MAX_MEDIA_BYTES, MediaFile, MediaType, Parameters, Part,
    },
    model::{Kind, Model},
    pipeline::{Request, Response},
};

/// Name of the RPC in the rules of callers.
pub(super) const RPC: &str = "EmbedMultimodal";

/// Limit of a URL in bytes.
const MAX_URL_BYTES: usize = 8 * 1024;

/// Returns the bytes of a request's files.
pub(in crate::grpc) fn file_bytes(request: &EmbedMultimodalRequest) -> usize {
    let parts = request.inputs.iter().flat_map(|input| &input.content);
    let bytes = parts.map(|part| match &part.part {
        Some(content_part::Part::Image(media) | content_part::Part::Video(media)) => {
            media.data.len()
        }
        _ => 0,
    });
    bytes.sum()
}

/// Converts a request; an error lists all of its violations. Files are hashed, which takes about a millisecond a megabyte.
pub(in crate::grpc) fn embed_multimodal_request(
    request: EmbedMultimodalRequest,
    models: &RequestModels,
    terms: CallTerms,
) -> Result<(Request, ReplyShape), Error> {
    let mut violations = Violations::default();
    let model = model_name(&request.model, Kind::Multimodal, models, &mut violations);
    let fields = VectorFields {
        input_type: request.input_type,
        output_dimension: request.output_dimension,
        output_dtype: request.output_dtype,
        vector_encoding: request.vector_encoding,
    };
    let listed = model.listed_as(Kind::Multimodal);
    let vector = fields.read(listed, &mut violations);
    let options = Options::read(request.options, vector.usual_priority(), &mut violations);
    let truncation = request.truncation.unwrap_or(true);
    let rules = ContentRules {
        listed,
        truncation,
        allow_partial: options.allow_partial,
        request: LinkedRequest::next(),
    };
    let count = request.inputs.len();
    let inputs = rules.inputs(request.inputs, &mut violations);
    violations.into_result()?;
    terms.check(RPC, &model)?;

    let VectorRequest { parameters: vector, encoding } = vector;
    let of = ContentParameters { vector, truncation };
    let parameters = Parameters::new(model, EndpointParameters::Contents(of));
    let shape = ReplyShape {
        dtype: vector.dtype,
        encoding,
        dimension: parameters.expected_dimension(),
        allow_partial: options.allow_partial,
        max_bytes: options.max_bytes,
    };
    let reply_bytes = shape.check_size(shape.predicted_dimension(), count)?;
    Ok((options.request(parameters, inputs, reply_bytes, terms), shape))
}

/// The rules for the inputs of a request.
#[derive(Clone, Copy, Debug)]
struct ContentRules {
    listed: Option<&'static Model>,
    truncation: bool,
    allow_partial: bool,
    request: LinkedRequest,
}

impl ContentRules {
    fn inputs(
        self,
        inputs: Vec<MultimodalInput>,
        violations: &mut Violations,
    ) -> Vec<Result<Input, Error>> {
        if !check_count("inputs", "input", inputs.len(), violations) {
            return Vec::new();
        }
        let inputs = inputs.into_iter().enumerate();
        let inputs = inputs.map(|(index, input)| match self.content(index, input) {
            Ok(content) => Ok(Input::Content(Arc::new(content))),
            Err(error) => refuse_or_add(error, self.allow_partial, violations),
        });
        inputs.collect()
    }

    fn content(self, index: usize, input: MultimodalInput) -> Result<Content, Error> {
        let field = format!("inputs[{index}].content");
        if input.content.is_empty() {
            return Err(Error::violation(field, "EMPTY_LIST", "must have at least one part"));
        }
        let parts = input.content.into_iter().enumerate();
        let parts = parts.map(|(at, part)| self.part(&format!("{field}[{at}]"), part.part));
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        let is_url = |part: &Part| matches!(part, Part::ImageUrl(_));
        let is_file =
            |part: &Part| matches!(part, Part::File(file) if !file.header().format.is_video());
        if parts.iter().any(is_url) && parts.iter().any(is_file) {
            let description = "must have its images all by URL or all as bytes";
            return Err(Error::violation(field, "MIXED_IMAGES", description));
        }
        let content = Content::new(parts, self.request);
        self.check_images(field, &content)?;
        Ok(content)
    }

    /// Without truncation, Voyage refuses an input of more tokens than the model's context. Those of images are known.
    fn check_images(self, field: String, content: &Content) -> Result<(), Error> {
        let Some(model) = self.listed.filter(|_| !self.truncation) else { return Ok(()) };
        let media = content.parts().iter().map(Part::media).filter(|media| media.is_exact);
        let tokens: u64 = media.map(|media| u64::from(media.tokens)).sum();
        let limit = u64::from(model.context_tokens);
        if tokens <= limit {
            return Ok(());
        }
        let description = format!(
            "has images of {tokens} tokens, the limit is {limit}; leave out some, or set truncation"
        );
        Err(Error::violation(field, "INPUT_TOO_LONG", description))
    }

    fn part(self, field: &str, part: Option<content_part::Part>) -> Result<Part, Error> {
        let violation = |field: String, reason, description: &str| {
            Err(Error::violation(field, reason, description.to_owned()))
        };
        match part {
            None => {
                let description = "must have a text, an image or a video";
                violation(field.to_owned(), "EMPTY_PART", description)
            }
            Some(content_part::Part::Text(text)) if text.is_empty() => {
                violation(format!("{field}.text"), "EMPTY_TEXT", "must not be empty")
            }
            Some(content_part::Part::Text(text)) => Ok(Part::Text(text)),
            Some(content_part::Part::ImageUrl(url)) => {
                check_url(&url, format!("{field}.image_url"))?;
                Ok(Part::ImageUrl(url))
            }
            Some(content_part::Part::VideoUrl(url)) => {
                self.check_video(format!("{field}.video_url"))?;
                check_url(&url, format!("{field}.video_url"))?;
                Ok(Part::VideoUrl(url))
            }
            Some(content_part::Part::Image(media)) => {
                file(&format!("{field}.image"), media, false).map(Part::File)
            }
            Some(content_part::Part::Video(media)) => {
                self.check_video(format!("{field}.video"))?;
                file(&format!("{field}.video"), media, true).map(Part::File)
            }
        }
    }

    fn check_video(self, field: String) -> Result<(), Error> {
        match self.listed {
            Some(model) if !model.takes_videos() => {
                let description = format!("must not be set: {} takes no videos", model.name);
                Err(Error::violation(field, "VIDEO_NOT_OFFERED", description))
            }
            _ => Ok(()),
        }
    }
}

/// Checks what is certain without a request to the URL, which is Voyage's part.
fn check_url(url: &str, field: String) -> Result<(), Error> {
    let rest = ["http://", "https://"].iter().find_map(|scheme| {
        let (start, rest) = url.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    let has_host = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', '?', '#']));
    let is_one_word = !url.contains(|c: char| c.is_whitespace() || c.is_control());
    if has_host && is_one_word && url.len() <= MAX_URL_BYTES {
        return Ok(());
    }
    let description = format!(
        "must be an http or https URL of at most {MAX_URL_BYTES} bytes; send files as bytes, in image or video"
    );
    Err(Error::violation(field, "INVALID_URL", description))
}

/// Checks a file by its header.
fn file(field: &str, media: Media, is_video: bool) -> Result<MediaFile, Error> {
    let Media { data, mime_type } = media;
    let violation = |name: &str, reason, description| {
        Error::violation(format!("{field}.{name}"), reason, description)
    };
    if data.is_empty() {
        return Err(violation("data", "EMPTY_FILE", "must not be empty".to_owned()));
    }
    if data.len() > MAX_MEDIA_BYTES {
        let description =
            format!("must have at most {MAX_MEDIA_BYTES} bytes, and has {}", data.len());
        return Err(violation("data", "FILE_TOO_LARGE", description));
    }
    let file = MediaFile::new(data)
        .map_err(|error| violation("data", "INVALID_FILE", error.to_string()))?;
    let header = file.header();
    let found = header.format.mime();
    if !mime_type.is_empty() && MediaType::of_mime(&mime_type) != Some(header.format) {
        let description = format!("must be {found}, as the file is, or empty");
        return Err(violation("mime_type", "WRONG_MEDIA_TYPE", description));
    }
    if header.format.is_video() != is_video {
        let wanted = if is_video { "a video" } else { "an image" };
        let description = format!("must be {wanted}, and is {found}");
        return Err(violation("data", "WRONG_MEDIA_TYPE", description));
    }
    if !is_video && header.pixels() > MAX_IMAGE_PIXELS {
        let (width, height) = (header.width, header.height);
        let description =
            format!("must have at most {MAX_IMAGE_PIXELS} pixels, and has {width} x {height}");
        return Err(violation("data", "TOO_MANY_PIXELS", description));
    }
    Ok(file)
}

/// Builds the reply to an `EmbedMultimodal`, which has the fields of one to `Embed`.
pub(in crate::grpc) fn embed_multimodal_response(
    response: Response,
    shape: ReplyShape,
    model: &str,
) -> EmbedMultimodalResponse {
    let EmbedResponse { embeddings, model, dimension, output_dtype, usage, cache, errors } =
        embed_response(response, shape, model);
    EmbedMultimodalResponse { embeddings, model, dimension, output_dtype, usage, cache, errors }
}
