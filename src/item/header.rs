//! The facts of images and videos from their headers. Nothing is decoded.

mod image;
mod video;

use super::Media;

/// Voyage's limit of pixels in an image.
pub const MAX_IMAGE_PIXELS: u64 = 16_000_000;

/// Voyage's limit of an image or a video: 20 MB, read as 20 MiB, so that no file is refused that Voyage may accept.
pub const MAX_MEDIA_BYTES: usize = 20 << 20;

/// The pixels that are billed for a smaller image, or a smaller frame of a video.
const LEAST_PIXELS: u64 = 50_000;

/// The pixels that are billed for a larger image, or a larger frame of a video.
const MOST_PIXELS: u64 = 2_000_000;

/// Pixels of an image that are billed as one token.
const IMAGE_PIXELS_A_TOKEN: u64 = 560;

/// Pixels of a video that are billed as one token.
const VIDEO_PIXELS_A_TOKEN: u64 = 1_120;

/// The context of Voyage's multimodal models in tokens.
pub(super) const MAX_INPUT_TOKENS: u32 = 32_000;

/// The formats that Voyage accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// `image/png`.
    Png,
    /// `image/jpeg`.
    Jpeg,
    /// `image/webp`.
    Webp,
    /// `image/gif`.
    Gif,
    /// `video/mp4`.
    Mp4,
}

impl MediaType {
    const ALL: [Self; 5] = [Self::Png, Self::Jpeg, Self::Webp, Self::Gif, Self::Mp4];

    /// Returns the MIME type.
    pub const fn mime(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
            Self::Gif => "image/gif",
            Self::Mp4 => "video/mp4",
        }
    }

    /// Returns the format of a MIME type, in any case of letters; also of `image/jpg`, which is common and not registered.
    pub fn of_mime(mime: &str) -> Option<Self> {
        let is = |name: &str| mime.eq_ignore_ascii_case(name);
        Self::ALL
            .into_iter()
            .find(|format| is(format.mime()))
            .or(is("image/jpg").then_some(Self::Jpeg))
    }

    /// Returns whether it is a video.
    pub const fn is_video(self) -> bool {
        matches!(self, Self::Mp4)
    }

    /// Returns the format that a file's first bytes show.
    fn of_file(file: &[u8]) -> Option<Self> {
        match file {
            [0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A, ..] => Some(Self::Png),
            [0xFF, 0xD8, 0xFF, ..] => Some(Self::Jpeg),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::Webp),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some(Self::Mp4),
            _ => None,
        }
    }
}

/// Why a file is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The first bytes are of no format that Voyage accepts.
    #[error("must be a PNG, JPEG, WebP or GIF image or an MP4 video")]
    Unknown,
    /// The file ends early, or its header is invalid.
    #[error("must be a complete {} file: it is cut off or damaged", .0.mime())]
    Damaged(MediaType),
    /// A GIF with more frames than any picture has.
    #[error("must have at most {} frames", image::MAX_FRAMES)]
    TooManyFrames,
}

/// The facts of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaHeader {
    /// The format.
    pub format: MediaType,
    /// The width in pixels.
    pub width: u32,
    /// The height in pixels.
    pub height: u32,
    /// The number of a video's frames; 0: its header does not have it. 1 for images, also moving ones.
    pub frames: u32,
}

impl MediaHeader {
    /// Reads the header of a file.
    ///
    /// # Errors
    ///
    /// The file has another format than [`MediaType`], is cut off, or has an invalid header.
    pub fn read(file: &[u8]) -> Result<Self, HeaderError> {
        let format = MediaType::of_file(file).ok_or(HeaderError::Unknown)?;
        let header = match format {
            MediaType::Mp4 => video::read(file).ok_or(HeaderError::Damaged(format))?,
            _ => image::read(format, file)?,
        };
        let has_pixels = header.width > 0 && header.height > 0;
        if has_pixels { Ok(header) } else { Err(HeaderError::Damaged(format)) }
    }

    /// Returns the pixels of the image, or of each frame.
    pub fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// Returns the pixels and tokens that Voyage bills (docs.voyageai.com/docs/multimodal-embeddings). Of videos, the
    /// bounds of a frame are not documented: those of images are assumed.
    pub fn media(&self) -> Media {
        let pixels = self.pixels().clamp(LEAST_PIXELS, MOST_PIXELS);
        if !self.format.is_video() {
            return Media::of_image(pixels);
        }
        match u64::from(self.frames & !1) {
            0 => Media::UNKNOWN_VIDEO,
            frames => Media::of_video(frames * pixels),
        }
    }
}

impl Media {
    /// The upper bound of an image whose pixels are unknown.
    pub const UNKNOWN_IMAGE: Self = Self { is_exact: false, ..Self::of_image(MOST_PIXELS) };

    /// The upper bound of a video whose pixels are unknown.
    pub const UNKNOWN_VIDEO: Self = Self::of_video(u64::MAX);

    const fn of_image(pixels: u64) -> Self {
        let tokens = tokens(pixels, IMAGE_PIXELS_A_TOKEN);
        Self { tokens, image_pixels: pixels, ..Self::NONE }
    }

    /// No video costs more than the model's context.
    const fn of_video(pixels: u64) -> Self {
        let most = MAX_INPUT_TOKENS as u64 * VIDEO_PIXELS_A_TOKEN;
        let pixels = if pixels < most { pixels } else { most };
        let tokens = tokens(pixels, VIDEO_PIXELS_A_TOKEN);
        Self { tokens, video_pixels: pixels, is_exact: false, ..Self::NONE }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "at most 32,000")]
const fn tokens(pixels: u64, pixels_a_token: u64) -> u32 {
    (pixels / pixels_a_token) as u32
}

#[cfg(test)]
mod tests;
