//! The measure of an input: tokens that are known, and character counts from which the others are estimated.

use crate::item::Media;

/// The number of character classes, which tokenizers treat differently.
pub(super) const CLASSES: usize = 9;

/// The number of characters of each class.
pub(super) type Counts = [u32; CLASSES];

// The first eight are counted together, each in a byte of one integer.
pub(super) const LETTERS: usize = 0;
pub(super) const DIGITS: usize = 1;
/// ASCII punctuation, symbols and control characters.
pub(super) const MARKS: usize = 2;
/// ASCII white space, apart from the single space between words, which belongs to the word after it.
pub(super) const BLANKS: usize = 3;
/// U+0080 to U+024F and U+2000 to U+2FFF: accented Latin letters, typographic punctuation, symbols.
pub(super) const ACCENTS: usize = 4;
/// The other letters of two bytes: Greek, Cyrillic, Hebrew, Arabic.
pub(super) const ALPHABETS: usize = 5;
/// U+3000 to U+DFFF and U+F000 to U+FFFF: ideographs, kana, hangul and their punctuation.
pub(super) const IDEOGRAPHS: usize = 6;
/// All the rest: emoji, the scripts of India and South East Asia, rare ideographs.
pub(super) const RARE: usize = 7;
/// Runs of letters of one or two bytes. `camelCase` is two, and a run ends after sixteen: no tokenizer knows
/// longer words.
pub(super) const WORDS: usize = 8;

/// The measure of an input, without the input; 52 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    /// The UTF-8 length of the texts. A byte-level tokenizer never produces more tokens.
    pub(super) bytes: u32,
    /// The tokens of texts that the model's own tokenizer counted.
    pub(super) exact: u32,
    /// The characters of the other texts, from which their tokens are estimated.
    pub(super) counts: Counts,
    /// The tokens of media, which their pixels determine.
    pub(super) media: u32,
    /// Whether the tokens of media are an upper bound.
    has_unknown_media: bool,
}

impl Measure {
    /// Counts the characters of a text.
    pub(super) fn estimate(text: &str) -> Self {
        let mut counts = count(text);
        if counts == [0; CLASSES] && !text.is_empty() {
            // A single space is free between words, and a token alone.
            counts[BLANKS] = 1;
        }
        Self { bytes: saturate(text.len()), counts, ..Self::default() }
    }

    /// Keeps the tokenizer's count.
    pub(super) fn exact(text: &str, tokens: usize) -> Self {
        Self { bytes: saturate(text.len()), exact: saturate(tokens), ..Self::default() }
    }

    /// Adds the tokens of media.
    #[must_use]
    pub fn with_media(self, media: &Media) -> Self {
        Self {
            media: self.media.saturating_add(media.tokens),
            has_unknown_media: self.has_unknown_media || !media.is_exact,
            ..self
        }
    }

    /// Returns the tokens if none are estimated.
    pub fn exact_tokens(&self) -> Option<u64> {
        let exact = u64::from(self.exact) + u64::from(self.media);
        (!self.is_estimated() && !self.has_unknown_media).then_some(exact)
    }

    /// Returns whether some tokens of texts are estimated.
    pub(super) fn is_estimated(&self) -> bool {
        self.counts != [0; CLASSES]
    }
}

/// The measure of several texts.
impl std::ops::Add for Measure {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            exact: self.exact.saturating_add(other.exact),
            counts: std::array::from_fn(|class| {
                self.counts[class].saturating_add(other.counts[class])
            }),
            media: self.media.saturating_add(other.media),
            has_unknown_media: self.has_unknown_media || other.has_unknown_media,
        }
    }
}

/// Lossless: a message is at most 1 GiB.
fn saturate(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// For the first byte of a character, a one in the lane of its class; 0 for the other bytes.
const UNITS: [u64; 256] = units();

const fn units() -> [u64; 256] {
    let mut units = [0; 256];
    let mut byte = 0_u8;
    loop {
        let class = match byte {
            b'a'..=b'z' | b'A'..=b'Z' => Some(LETTERS),
            b'0'..=b'9' => Some(DIGITS),
            _ if is_blank(byte) => Some(BLANKS),
            ..0x80 => Some(MARKS),
            0xC2..=0xC9 | 0xE2 => Some(ACCENTS),
            0xCA..=0xDF => Some(ALPHABETS),
            0xE3..=0xED | 0xEF => Some(IDEOGRAPHS),
            _ if is_inside(byte) => None,
            _ => Some(RARE),
        };
        if let Some(class) = class {
            units[byte as usize] = 1 << (8 * class);
        }
        if byte == u8::MAX {
            return units;
        }
        byte += 1;
    }
}

// The properties of a byte that decide where words begin, a bit each.
const LETTER: u32 = 0;
const UPPER: u32 = 1;
const LOWER: u32 = 2;
const INSIDE: u32 = 3;
const BLANK: u32 = 4;

const TRAITS: [u8; 256] = traits();

const fn traits() -> [u8; 256] {
    let mut traits = [0; 256];
    let mut byte = 0_u8;
    loop {
        let is_letter = byte.is_ascii_alphabetic() || matches!(byte, 0xC3..=0xDF);
        traits[byte as usize] = (is_letter as u8) << LETTER
            | (byte.is_ascii_uppercase() as u8) << UPPER
            | (byte.is_ascii_lowercase() as u8) << LOWER
            | (is_inside(byte) as u8) << INSIDE
            | (is_blank(byte) as u8) << BLANK;
        if byte == u8::MAX {
            return traits;
        }
        byte += 1;
    }
}

/// Counts the classes by first bytes alone, which identify the script well enough without decoding.
/// There are no branches, because the CPU would predict none of them.
fn count(text: &str) -> Counts {
    let mut counts = [0; CLASSES];
    let (mut last, mut run, mut words, mut lone_spaces) = (0, 0_u32, 0, 0);
    // A lane holds at most 255.
    for chunk in text.as_bytes().chunks(255) {
        let mut lanes = 0_u64;
        for &byte in chunk {
            lanes += UNITS[usize::from(byte)];
            let traits = u32::from(TRAITS[usize::from(byte)]);
            let is_letter = traits >> LETTER & 1;
            let is_hump = traits >> UPPER & last >> LOWER & 1;
            let goes_on = is_letter & !is_hump | traits >> INSIDE & 1;
            run = (run & goes_on.wrapping_neg()) + is_letter;
            words += is_letter & u32::from(run % 16 == 1);
            lone_spaces += u32::from(byte == b' ') & !(last >> BLANK);
            last = traits;
        }
        for (count, lane) in counts.iter_mut().zip(lanes.to_le_bytes()) {
            *count += u32::from(lane);
        }
    }
    counts[BLANKS] -= lone_spaces;
    counts[WORDS] = words;
    counts
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Returns whether the byte is not the first of its character.
const fn is_inside(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}
