//! Token counts by a simple deterministic rule.
//!
//! The provider's tokenizers are byte-level BPE, so a count never exceeds the UTF-8 length. This rule
//! keeps that, and agrees with the documented counts ("" 0, "a" 1, "Hello world." 3).

/// Bytes of a run of letters that make one token.
const BYTES_PER_TOKEN: usize = 6;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Costs nothing and ends a run.
    Space,
    /// ASCII letters and digits: a token for every six bytes of a run.
    Ascii,
    /// Other letters: likewise, in runs of their own.
    Letter,
    /// Punctuation, symbols, emoji, and characters that are words: one token each.
    Single,
}

impl Class {
    fn of(c: char) -> Self {
        if c.is_ascii_alphanumeric() {
            Self::Ascii
        } else if c.is_whitespace() {
            Self::Space
        } else if c.is_ascii() || is_east_asian(c) || !c.is_alphanumeric() {
            Self::Single
        } else {
            Self::Letter
        }
    }
}

/// Returns whether the character is an ideograph, kana or hangul.
fn is_east_asian(c: char) -> bool {
    matches!(u32::from(c),
        0x1100..=0x11FF | 0x2E80..=0x9FFF | 0xAC00..=0xD7AF | 0xF900..=0xFAFF | 0xFF66..=0xFF9F | 0x2_0000..=0x3_FFFF)
}

/// Returns the simulator's token count of a text: at most its UTF-8 bytes.
pub fn count_tokens(text: &str) -> u64 {
    cut(text, u64::MAX).1
}

/// Returns the longest beginning of the text that has at most `limit` tokens, and its tokens.
pub(super) fn cut(text: &str, limit: u64) -> (&str, u64) {
    let mut tokens = 0;
    let mut last = Class::Space;
    let mut run = 0;
    for (start, c) in text.char_indices() {
        let class = Class::of(c);
        if class != last {
            run = 0;
        }
        let cost = match class {
            Class::Space => 0,
            Class::Single => 1,
            Class::Ascii | Class::Letter => {
                let before = run;
                run += c.len_utf8();
                u64::from(run.div_ceil(BYTES_PER_TOKEN) > before.div_ceil(BYTES_PER_TOKEN))
            }
        };
        if tokens + cost > limit {
            return (&text[..start], tokens);
        }
        tokens += cost;
        last = class;
    }
    (text, tokens)
}
