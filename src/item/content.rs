//! `POST /multimodalembeddings`: contents of texts, images and videos, each with one vector.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::{
    CallGroup, Encoder, HeaderError, MAX_INPUT_TOKENS, Media, MediaHeader, VectorParameters,
};

/// The parameters of `POST /multimodalembeddings`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentParameters {
    /// The parameters of the vectors.
    pub vector: VectorParameters,
    /// Whether over-long contents are cut.
    pub truncation: bool,
}

impl ContentParameters {
    pub(super) fn encode(&self, encoder: &mut Encoder<impl FnMut(&[u8])>) {
        let Self { vector, truncation } = self;
        vector.encode(encoder);
        encoder.tag((*truncation).into());
    }
}

/// Memory of a part besides its payload, in bytes.
const PART_OVERHEAD: usize = 128;

/// The parts of one input in their order.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    parts: Vec<Part>,
    media: Media,
    group: CallGroup,
}

/// A part of a content.
#[derive(Clone, PartialEq, Eq)]
pub enum Part {
    /// A text, exactly as the caller sent it.
    Text(String),
    /// An image by its URL, which Voyage downloads.
    ImageUrl(String),
    /// A video by its URL, which Voyage downloads.
    VideoUrl(String),
    /// An image or a video.
    File(MediaFile),
}

/// An image or a video with the facts of its header.
#[derive(Clone, PartialEq, Eq)]
pub struct MediaFile {
    data: Bytes,
    header: MediaHeader,
    /// SHA-256 of the data, hashed once: a file is large, and its key is derived more than once.
    digest: [u8; 32],
}

impl MediaFile {
    /// Reads the header of a file, and hashes the file: about a millisecond a megabyte.
    ///
    /// # Errors
    ///
    /// As [`MediaHeader::read`].
    pub fn new(data: Bytes) -> Result<Self, HeaderError> {
        let header = MediaHeader::read(&data)?;
        let digest = Sha256::digest(&data).into();
        Ok(Self { data, header, digest })
    }

    /// Returns the file; cloning it copies nothing.
    pub const fn data(&self) -> &Bytes {
        &self.data
    }

    /// Returns the facts of the header.
    pub const fn header(&self) -> &MediaHeader {
        &self.header
    }
}

/// The requests with media by URL.
#[derive(Clone, Copy, Debug)]
pub struct LinkedRequest(u64);

impl LinkedRequest {
    /// Returns the number of a further request.
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Shows the numbers only: no content reaches a log.
impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Content({} parts of {} bytes)", self.parts.len(), self.bytes())
    }
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Part({} bytes)", self.bytes())
    }
}

impl std::fmt::Debug for MediaFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MediaFile({} bytes, {:?})", self.data.len(), self.header)
    }
}

impl Content {
    /// Takes the parts of an input of a request.
    pub fn new(parts: Vec<Part>, request: LinkedRequest) -> Self {
        let mut media: Media = parts.iter().map(Part::media).sum();
        if !media.is_exact {
            // Voyage cuts or refuses what is longer.
            media.tokens = media.tokens.min(MAX_INPUT_TOKENS);
        }
        let has_urls =
            parts.iter().any(|part| matches!(part, Part::ImageUrl(_) | Part::VideoUrl(_)));
        let has_files = parts.iter().any(|part| matches!(part, Part::File(_)));
        let group = match (has_urls, has_files) {
            (false, false) => CallGroup::Any,
            (false, true) => CallGroup::InlineMedia,
            // One call may not have images of both kinds, so that contents with both are apart.
            (true, _) => CallGroup::LinkedMedia(request.0 * 2 + u64::from(has_files)),
        };
        Self { parts, media, group }
    }

    /// Returns the parts.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Returns the texts among the parts.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    pub(super) const fn media(&self) -> Media {
        self.media
    }

    pub(super) const fn group(&self) -> CallGroup {
        self.group
    }

    /// Returns the size of the parts in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.parts.iter().map(Part::bytes).sum()
    }

    /// Returns the memory of the parts in bytes.
    pub(super) fn footprint(&self) -> usize {
        self.bytes() + self.parts.len() * PART_OVERHEAD
    }

    pub(super) fn encode(&self, encoder: &mut Encoder<impl FnMut(&[u8])>) {
        encoder.number(self.parts.len() as u64);
        for part in &self.parts {
            let (tag, bytes) = match part {
                Part::Text(text) => (0, text.as_bytes()),
                Part::ImageUrl(url) => (1, url.as_bytes()),
                Part::VideoUrl(url) => (2, url.as_bytes()),
                Part::File(file) => (3, file.digest.as_slice()),
            };
            encoder.tag(tag);
            encoder.bytes(bytes);
        }
    }
}

impl Part {
    /// Returns the pixels of the part, and their tokens.
    pub fn media(&self) -> Media {
        match self {
            Self::Text(_) => Media::NONE,
            Self::ImageUrl(_) => Media::UNKNOWN_IMAGE,
            Self::VideoUrl(_) => Media::UNKNOWN_VIDEO,
            Self::File(file) => file.header.media(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) | Self::ImageUrl(text) | Self::VideoUrl(text) => text.len(),
            Self::File(file) => file.data.len(),
        }
    }
}
