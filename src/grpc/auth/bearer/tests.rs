//! One header, one scheme, one token.

use http::HeaderValue;

use super::*;

fn headers(values: &[&[u8]]) -> HeaderMap {
    let values = values.iter().map(|value| HeaderValue::from_bytes(value).unwrap());
    values.map(|value| (AUTHORIZATION, value)).collect()
}

#[test]
fn a_token_is_found() {
    for value in ["Bearer a.b-c_d~e+f/g=", "bearer a.b-c_d~e+f/g=", "BEARER   a.b-c_d~e+f/g= "] {
        assert_eq!(token(&headers(&[value.as_bytes()])), Ok("a.b-c_d~e+f/g="), "{value}");
    }
    let longest = format!("Bearer {}", "t".repeat(MAX_TOKEN_BYTES));
    assert_eq!(token(&headers(&[longest.as_bytes()])).map(str::len), Ok(MAX_TOKEN_BYTES));
}

#[test]
fn what_is_no_token_is_refused() {
    assert_eq!(token(&headers(&[])), Err(AuthFailure::MISSING));
    let too_long = format!("Bearer {}", "t".repeat(MAX_TOKEN_BYTES + 1));
    for value in [
        b"".as_slice(),
        b"Bearer",
        b"Bearer ",
        b"Bearer  ",
        b"Bearer\ttoken",
        b"Bearertoken",
        b"Bearer two tokens",
        b"Bearer caf\xc3\xa9",
        b"Bearer \xff",
        b"Basic dXNlcjpwYXNz",
        b"token",
        too_long.as_bytes(),
    ] {
        assert_eq!(token(&headers(&[value])), Err(AuthFailure::MALFORMED), "{value:?}");
    }
    // The same twice is two as well.
    assert_eq!(token(&headers(&[b"Bearer a", b"Bearer a"])), Err(AuthFailure::MALFORMED));
}
