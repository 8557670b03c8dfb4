//! The size of inputs and calls, and what calls cost.

use std::ops::{AddAssign, SubAssign};

/// The size of an input or of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Inputs.
    pub inputs: u64,
    /// Chunks of documents; a text counts as one.
    pub chunks: u64,
    /// Tokens to reserve.
    pub tokens: u64,
    /// Bytes of texts and media.
    pub bytes: u64,
}

impl Size {
    /// Returns whether `more` can be added without exceeding a bound.
    pub const fn fits(&self, more: &Self, bounds: &Self) -> bool {
        self.inputs + more.inputs <= bounds.inputs
            && self.chunks + more.chunks <= bounds.chunks
            && self.tokens + more.tokens <= bounds.tokens
            && self.bytes + more.bytes <= bounds.bytes
    }

    /// Returns whether a bound of inputs, chunks or tokens is reached.
    pub const fn fills(&self, bounds: &Self) -> bool {
        self.inputs >= bounds.inputs || self.chunks >= bounds.chunks || self.tokens >= bounds.tokens
    }

    /// Returns the largest ratio to a bound, at most 1.
    #[expect(clippy::cast_precision_loss, reason = "nothing depends on the last digits")]
    pub fn fill(&self, bounds: &Self) -> f64 {
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        share(self.inputs, bounds.inputs)
            .max(share(self.chunks, bounds.chunks))
            .max(share(self.tokens, bounds.tokens))
            .max(share(self.bytes, bounds.bytes))
            .min(1.0)
    }
}

impl AddAssign for Size {
    fn add_assign(&mut self, more: Self) {
        self.inputs += more.inputs;
        self.chunks += more.chunks;
        self.tokens += more.tokens;
        self.bytes += more.bytes;
    }
}

impl SubAssign for Size {
    fn sub_assign(&mut self, less: Self) {
        self.inputs -= less.inputs;
        self.chunks -= less.chunks;
        self.tokens -= less.tokens;
        self.bytes -= less.bytes;
    }
}

/// The pixels of an input's images and videos.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Media {
    /// Their tokens.
    pub tokens: u32,
    /// Pixels of images.
    pub image_pixels: u64,
    /// Pixels of videos.
    pub video_pixels: u64,
    /// Whether these are the numbers that Voyage bills, rather than an upper bound of them.
    pub is_exact: bool,
}

impl Media {
    /// No images, no videos.
    pub const NONE: Self = Self { tokens: 0, image_pixels: 0, video_pixels: 0, is_exact: true };
}

impl std::iter::Sum for Media {
    fn sum<I: Iterator<Item = Self>>(media: I) -> Self {
        media.fold(Self::NONE, |sum, one| Self {
            tokens: sum.tokens.saturating_add(one.tokens),
            image_pixels: sum.image_pixels.saturating_add(one.image_pixels),
            video_pixels: sum.video_pixels.saturating_add(one.video_pixels),
            is_exact: sum.is_exact && one.is_exact,
        })
    }
}

/// What Voyage bills for a call, or a share of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All tokens.
    pub tokens: u64,
    /// The tokens of texts, where media have tokens as well; otherwise 0.
    pub text_tokens: u64,
    /// Pixels of images.
    pub image_pixels: u64,
    /// Pixels of videos.
    pub video_pixels: u64,
}

impl Usage {
    /// Returns the usage of texts alone.
    pub const fn of_tokens(tokens: u64) -> Self {
        Self { tokens, text_tokens: 0, image_pixels: 0, video_pixels: 0 }
    }

    /// Returns the pixels of images and videos.
    pub const fn pixels(&self) -> u64 {
        self.image_pixels.saturating_add(self.video_pixels)
    }

    /// Returns this usage `count` times.
    #[must_use]
    pub const fn times(&self, count: u64) -> Self {
        Self {
            tokens: self.tokens.saturating_mul(count),
            text_tokens: self.text_tokens.saturating_mul(count),
            image_pixels: self.image_pixels.saturating_mul(count),
            video_pixels: self.video_pixels.saturating_mul(count),
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, more: Self) {
        self.tokens = self.tokens.saturating_add(more.tokens);
        self.text_tokens = self.text_tokens.saturating_add(more.text_tokens);
        self.image_pixels = self.image_pixels.saturating_add(more.image_pixels);
        self.video_pixels = self.video_pixels.saturating_add(more.video_pixels);
    }
}

impl std::iter::Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(usages: I) -> Self {
        usages.fold(Self::default(), |mut sum, usage| {
            sum += usage;
            sum
        })
    }
}
