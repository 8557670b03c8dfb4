use super::{
    super::measure::{ACCENTS, ALPHABETS, BLANKS, DIGITS, IDEOGRAPHS, LETTERS, MARKS, RARE, WORDS},
    *,
};

/// The classes that the text has any of.
fn counts(text: &str) -> Vec<(usize, u32)> {
    Measure::estimate(text).counts.into_iter().enumerate().filter(|(_, count)| *count > 0).collect()
}

#[test]
fn kinds_of_characters_are_distinguished() {
    assert_eq!(counts(""), []);
    assert_eq!(counts("abc x"), [(LETTERS, 4), (WORDS, 2)]);
    assert_eq!(counts("42"), [(DIGITS, 2)]);
    assert_eq!(counts("(\0);"), [(MARKS, 4)]);
    assert_eq!(counts("«—→»"), [(ACCENTS, 4)]);
    assert_eq!(counts("и α ע ب"), [(ALPHABETS, 4), (WORDS, 4)]);
    assert_eq!(counts("漢かカ한、"), [(IDEOGRAPHS, 5)]);
    assert_eq!(counts("👍ไह𠀀"), [(RARE, 4)]);
}

#[test]
fn only_the_space_between_words_is_free() {
    assert_eq!(counts(" ; ; "), [(MARKS, 2)]);
    assert_eq!(counts(";  ;"), [(MARKS, 2), (BLANKS, 1)]);
    assert_eq!(counts("\n    ;\t"), [(MARKS, 1), (BLANKS, 6)]);
}

#[test]
fn words_begin_where_a_tokenizer_would_begin_them() {
    let words = |text: &str| {
        counts(text).into_iter().find(|(class, _)| *class == WORDS).map_or(0, |(_, count)| count)
    };
    assert_eq!(words("getHTTPResponse snake_case"), 4);
    assert_eq!(words("naïve größe слово"), 3);
    assert_eq!(words("don\u{2019}t"), 2);
    assert_eq!(words(&"x".repeat(16)), 1);
    assert_eq!(words(&"x".repeat(17)), 2);
    assert_eq!(words(&"ж".repeat(33)), 3);
}

#[test]
fn long_texts_overflow_no_lane() {
    let text = "a1;  ж漢👍 ".repeat(1_000);
    let each: Vec<u32> = counts(&text).into_iter().map(|(_, count)| count).collect();
    assert_eq!(each, [1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 2_000]);
}

#[test]
fn a_measure_is_small() {
    assert_eq!(size_of::<Measure>(), 52);
}
