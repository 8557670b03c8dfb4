//! The file is read exactly or not at all, and no token that could be guessed gets into it.

use proptest::prelude::*;

use super::*;

const FORM: &str = "expected NAME sha256:HEX, with 64 hexadecimal digits";

/// SHA-256 of `abc`, from FIPS 180-4.
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// A token as `openssl rand -base64 32` makes them.
const STRONG: &str = "n3q0Wm1bKcVw0s3a8pJ2yH5uTgXe9LrZfD4oQi7BvYk=";

fn parse(text: &str) -> Result<Tokens, String> {
    Tokens::parse(text.as_bytes())
}

#[test]
fn a_file_is_read() {
    let other = "0".repeat(64);
    let upper = ABC.to_uppercase();
    let text = format!(
        "# callers\n\n  search\tsha256:{upper}  # since May\r\n\nsearch sha256:{other}\nsearch sha256:{ABC}"
    );
    let tokens = parse(&text).unwrap();
    assert_eq!(tokens.name_of("abc").map(|name| &**name), Some("search"));
    assert_eq!(tokens.name_of("abd"), None);
    assert_eq!(format!("{tokens:?}"), "Tokens { entries: 2 }");
}

#[test]
fn a_bad_line_is_named_and_not_quoted() {
    for line in [
        "canary",
        "canary sha256:",
        &format!("canary {ABC}"),
        &format!("canary sha512:{ABC}"),
        &format!("canary sha256:{}", &ABC[1..]),
        &format!("canary sha256:{ABC}0"),
        &format!("canary sha256:{}g", &ABC[1..]),
        &format!("canary sha256:{}é", &ABC[2..]),
        &format!("canary sha256:+{}", &ABC[1..]),
        &format!("canary sha256:{ABC} canary"),
        &format!("sha256:{ABC}"),
    ] {
        let reported = parse(&format!("# one\n\n{line}\n")).unwrap_err();
        assert_eq!(reported, format!("line 3: {FORM}"), "{line}");
    }
    for name in ["anonymous", "default", "abandoned", "café", "a\u{1}", &"n".repeat(257)] {
        let reported = parse(&format!("{name} sha256:{ABC}")).unwrap_err();
        assert_eq!(reported, format!("line 1: {NAME_FORM}"), "{name}");
    }
    assert_eq!(Tokens::parse(b"caf\xe9 sha256:00").unwrap_err(), format!("line 1: {FORM}"));
    for empty in ["", "\n", "# nobody"] {
        assert_eq!(parse(empty).unwrap_err(), "the file has no entry");
    }
}

#[test]
fn a_token_has_one_owner() {
    let text = format!("\none sha256:{ABC}\none sha256:{ABC}\ntwo sha256:{ABC}\n");
    let reported = parse(&text).unwrap_err();
    assert_eq!(reported, "line 4: the token of line 2 belongs to another name");
}

#[test]
fn an_entry_is_what_the_file_takes() {
    let line = entry("system:serviceaccount:shop:search", STRONG).unwrap();
    let tokens = parse(&line).unwrap();
    let name = tokens.name_of(STRONG).unwrap();
    assert_eq!(&**name, "system:serviceaccount:shop:search");
    assert!(!line.contains(STRONG));
}

#[test]
fn what_could_be_guessed_gets_no_entry() {
    let hex = "9f86d081884c7d659a2feaa0c55ad015";
    let strong = [STRONG, hex, &STRONG.repeat(2)[..60]];
    for token in strong {
        assert!(entry("a", token).is_ok(), "{token}");
    }
    let repeated = hex.repeat(3);
    for (token, why) in [
        ("", NoEntry::Short),
        ("secret", NoEntry::Short),
        (&STRONG[..31], NoEntry::Short),
        (&"a".repeat(200), NoEntry::Regular),
        (&"ab".repeat(100), NoEntry::Regular),
        (&repeated, NoEntry::Regular),
        ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabcdefg", NoEntry::Regular),
        ("abcdefghijklmnopqrstuvwxyz0123456789", NoEntry::Regular),
        ("ZYXWVUTSRQPONMLKJIHGFEDCBA9876543210", NoEntry::Regular),
        (&format!("{STRONG} "), NoEntry::Form),
        (&format!("{STRONG}\n{STRONG}"), NoEntry::Form),
        (&format!("{STRONG}é"), NoEntry::Form),
        (&STRONG.repeat(200), NoEntry::Form),
    ] {
        assert_eq!(entry("a", token), Err(why), "{token}");
        assert!(token.is_empty() || !why.to_string().contains(token));
    }
    for name in ["", "two words", "a#b", "default", "anonymous", "abandoned", "é", &"n".repeat(257)]
    {
        assert_eq!(entry(name, STRONG), Err(NoEntry::Name), "{name}");
    }
}

proptest! {
    #[test]
    fn foreign_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Err(reported) = Tokens::parse(&bytes) {
            prop_assert!(reported.starts_with("line ") || reported == "the file has no entry");
        }
    }

    #[test]
    fn lines_that_are_nearly_entries_are_read_or_refused(
        text in "([a-z#]{0,3}[ \t]{0,2}(sha256:)?[0-9a-fA-F]{62,66}[ \r]?(#[^\n]*)?\n?){0,4}",
    ) {
        let _ = parse(&text);
    }

    #[test]
    fn random_tokens_get_their_entry(token in "[A-Za-z0-9+/]{43}=") {
        // One in very many is refused: then another is made.
        if let Ok(line) = entry("a", &token) {
            prop_assert!(parse(&line).unwrap().name_of(&token).is_some());
        } else {
            prop_assert!(bits(token.as_bytes()) < MIN_BITS + 40.0);
        }
    }
}
