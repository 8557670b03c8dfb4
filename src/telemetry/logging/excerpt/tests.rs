//! Excerpts of callers' bytes in a line are short and escaped.

use super::*;

#[test]
fn it_is_short_and_visible() {
    for (said, shown) in [
        (b"".as_slice(), ""),
        (b"application/json; charset=utf-8", "application/json; charset=utf-8"),
        (b"a \"b\"\r\n\x1b[2J\\", r#"a \"b\"\r\n\x1b[2J\\"#),
        ("d\u{e9}j\u{e0}".as_bytes(), r"d\xc3\xa9j\xc3\xa0"),
    ] {
        assert_eq!(Excerpt(said).to_string(), shown);
    }
    assert_eq!(Excerpt(&[b'x'; 100]).to_string(), "x".repeat(100));
    assert_eq!(Excerpt(&[b'x'; 101]).to_string(), format!("{}...", "x".repeat(100)));
    // However it is escaped, it stays bounded.
    assert_eq!(Excerpt(&[0; 16_384]).to_string().len(), 4 * 100 + 3);
}
