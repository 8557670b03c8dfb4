//! Vectors with the properties of embeddings: deterministic, of unit length, similar for similar texts.
//!
//! A vector is a sum of features, each of which adds a few signed values at hashed positions: the words
//! of the text, the character trigrams of its words, and small ones for the exact bytes, the model and
//! the input type, so that different requests have different vectors. A smaller dimension is the
//! beginning of the largest one, scaled to unit length.

use sha2::{Digest as _, Sha256};

use super::random::{SplitMix, hash};
use crate::{item::InputType, model::Dtype};

/// The parameters that shape a vector, besides the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape<'a> {
    /// The model's name.
    pub model: &'a str,
    /// The input type, if the request has one.
    pub input_type: Option<InputType>,
    /// The number of elements; at most 2048.
    pub dimension: u32,
    /// The elements' number type.
    pub dtype: Dtype,
}

const FULL: usize = crate::model::MAX_DIMENSION as usize;

/// Positions each feature adds to, in groups of four.
const WORD_GROUPS: usize = 8;
const TRIGRAM_GROUPS: usize = 4;
const MARK_GROUPS: usize = 16;

/// The length a word's own feature has, and that of all its trigrams together.
const WORD: f32 = 1.0;
const STOP_WORD: f32 = 0.1;
const TRIGRAMS: f32 = 0.6;

/// Lengths relative to the text's features: large enough to change every number type.
const EXACT_TEXT: f32 = 0.15;
const PARAMETER: f32 = 0.1;

/// Words that say little about what a text is about, sorted.
pub(super) const STOP_WORDS: &[&str] = &[
    "a", "about", "an", "and", "are", "as", "at", "be", "but", "by", "can", "do", "does", "for",
    "from", "had", "has", "have", "how", "i", "if", "in", "into", "is", "it", "its", "me", "my",
    "no", "not", "of", "on", "or", "our", "should", "so", "than", "that", "the", "their", "them",
    "then", "there", "these", "they", "this", "to", "was", "we", "were", "what", "when", "where",
    "which", "who", "why", "will", "with", "you", "your",
];

/// Returns the vector of a text as the little-endian bytes the simulator answers with.
///
/// Binary kinds hold `dimension / 8` bytes, `int8` and `uint8` one byte an element, `float` four.
pub fn vector(text: &str, shape: &Shape<'_>) -> Vec<u8> {
    scaled(&features(text, text.as_bytes(), shape), shape)
}

/// Returns the vector of a content: of what it shows in words, and exactly.
pub(super) fn vector_of_content(shown: &str, exact: &[u8], shape: &Shape<'_>) -> Vec<u8> {
    scaled(&features(shown, exact, shape), shape)
}

/// Returns the beginning of a sum of features, scaled to unit length.
fn scaled(full: &[f32], shape: &Shape<'_>) -> Vec<u8> {
    let elements = &full[..FULL.min(shape.dimension as usize)];
    let length = norm(elements);
    let scale = if length > 0.0 { length.recip() } else { 0.0 };
    encode(elements, scale, shape.dtype)
}

/// How much the rest of a document adds to the vector of a chunk.
const CONTEXT: f32 = 0.4;

/// Returns the vectors of a document's chunks: each has its own features, some of its whole document, and its place.
pub(super) fn vectors_in_context(document: &[String], shape: &Shape<'_>) -> Vec<Vec<u8>> {
    let whole = document.join("\u{1f}");
    let whole = features(&whole, whole.as_bytes(), shape);
    let length = norm(&whole).max(f32::MIN_POSITIVE);
    let vector = |(index, chunk): (u64, &String)| {
        let mut own = features(chunk, chunk.as_bytes(), shape);
        let ratio = CONTEXT * norm(&own) / length;
        for (element, context) in own.iter_mut().zip(&whole) {
            *element += context * ratio;
        }
        let place = norm(&own) * PARAMETER;
        add(&mut own, index, MARK_GROUPS, place);
        scaled(&own, shape)
    };
    (0..).zip(document).map(vector).collect()
}

/// Returns the relevance of a document to a query, from 0 to 1: the cosine of their features, to eight digits.
pub(super) fn similarity(query: &str, document: &str, model: &str) -> f64 {
    let shape = Shape { model, input_type: None, dimension: 2_048, dtype: Dtype::Float };
    let (query, document) = (
        features(query, query.as_bytes(), &shape),
        features(document, document.as_bytes(), &shape),
    );
    let dot: f32 = query.iter().zip(&document).map(|(one, other)| one * other).sum();
    let lengths = norm(&query) * norm(&document);
    let cosine = if lengths > 0.0 { f64::from(dot / lengths) } else { 0.0 };
    (cosine.clamp(0.0, 1.0) * 1e8).round() / 1e8
}

/// Returns the sum of the features of a text and of its exact bytes in the largest dimension, not yet scaled.
fn features(text: &str, exact: &[u8], shape: &Shape<'_>) -> Vec<f32> {
    let mut sum = vec![0.0; FULL];
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        add_word(&mut sum, &word.to_lowercase());
    }
    let length = norm(&sum);
    // A text without words has the direction of its exact bytes.
    let unit = if length > 0.0 { length } else { 1.0 };
    let digest = Sha256::digest(exact);
    add(&mut sum, hash(digest), MARK_GROUPS, unit * EXACT_TEXT);
    add(&mut sum, hash(shape.model.bytes()), MARK_GROUPS, unit * PARAMETER);
    if let Some(input_type) = shape.input_type {
        add(&mut sum, hash(input_type.as_str().bytes()), MARK_GROUPS, unit * PARAMETER);
    }
    sum
}

fn add_word(sum: &mut [f32], word: &str) {
    let seed = hash(word.bytes());
    if STOP_WORDS.binary_search(&word).is_ok() {
        return add(sum, seed, WORD_GROUPS, STOP_WORD);
    }
    add(sum, seed, WORD_GROUPS, WORD);
    let letters: Vec<char> = std::iter::once('^').chain(word.chars()).chain(['$']).collect();
    let trigrams = letters.windows(3);
    let length = TRIGRAMS / root(trigrams.len());
    for trigram in trigrams {
        let packed =
            trigram.iter().fold(0, |packed, &letter| packed << 21 | u64::from(u32::from(letter)));
        add(sum, packed, TRIGRAM_GROUPS, length);
    }
}

/// Adds a feature of the given length: `groups` times four signed values at positions drawn from its seed.
///
/// Every second position is below 256, so that the smallest dimension already separates texts.
fn add(sum: &mut [f32], seed: u64, groups: usize, length: f32) {
    let step = length / root(groups * 4);
    let mut draws = SplitMix::new(seed);
    for _ in 0..groups {
        let draw = draws.draw();
        for bits in [draw, draw >> 32] {
            sum[(bits & 0xFF) as usize] += signed(step, bits >> 8);
            sum[(bits >> 9 & 0x7FF) as usize] += signed(step, bits >> 20);
        }
    }
}

fn signed(step: f32, bits: u64) -> f32 {
    if bits & 1 == 0 { step } else { -step }
}

fn norm(elements: &[f32]) -> f32 {
    elements.iter().fold(0.0, |sum, x| sum + x * x).sqrt()
}

#[expect(clippy::cast_precision_loss, reason = "small counts are exact in a float")]
fn root(count: usize) -> f32 {
    (count as f32).sqrt()
}

/// Writes scaled elements in a number type.
pub(super) fn encode(elements: &[f32], scale: f32, dtype: Dtype) -> Vec<u8> {
    match dtype {
        Dtype::Float => {
            let mut bytes = Vec::with_capacity(elements.len() * 4);
            for x in elements {
                bytes.extend_from_slice(&(x * scale).to_le_bytes());
            }
            bytes
        }
        Dtype::Int8 => elements.iter().map(|x| quantised(x * scale).cast_unsigned()).collect(),
        // Flipping the highest bit moves a signed byte by 128 into the unsigned range, and back.
        Dtype::Uint8 => {
            elements.iter().map(|x| quantised(x * scale).cast_unsigned() ^ 0x80).collect()
        }
        Dtype::Ubinary => elements.chunks_exact(8).map(packed).collect(),
        Dtype::Binary => elements.chunks_exact(8).map(|eight| packed(eight) ^ 0x80).collect(),
    }
}

/// Spreads the usual range of elements, a quarter around zero, over a signed byte.
#[expect(clippy::cast_possible_truncation, reason = "clamped to the range of the target")]
fn quantised(x: f32) -> i8 {
    (x * 127.0 * 4.0).round().clamp(-128.0, 127.0) as i8
}

/// Packs signs, the first in the highest bit.
fn packed(eight: &[f32]) -> u8 {
    eight.iter().fold(0, |byte, &x| byte << 1 | u8::from(x > 0.0))
}
