//! The numbers of a vector, in base64 and as a list.

use proptest::prelude::*;

use super::*;

const NOT_FINITE: &str = "a vector holds NaN or an infinity";
const NOT_BASE64: &str = "a vector is not base64";
const OUT_OF_RANGE: &str = "a number of a vector is out of its dtype's range";

#[test]
fn what_is_not_finite_is_refused() {
    let negative_nan = f32::from_bits(0xffc0_0001);
    let signalling_nan = f32::from_bits(0x7f80_0001);
    for float in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, negative_nan, signalling_nan] {
        let embedding = base64(&little_endian(&[1.0, float]));
        assert_eq!(decode_one(Dtype::Float, embedding), Err(wrong(NOT_FINITE)), "{float}");
    }
    // Finite as JSON, infinite as a 32-bit float.
    for number in [1e39, -1e39] {
        assert_eq!(decode_one(Dtype::Float, json!([1.0, number])), Err(wrong(NOT_FINITE)));
    }
}

#[test]
fn every_finite_float_keeps_its_bits() {
    let floats = [0.0, -0.0, f32::MIN_POSITIVE, f32::from_bits(1), -f32::from_bits(1), f32::MAX];
    let bytes = little_endian(&floats);
    assert_eq!(decode_one(Dtype::Float, base64(&bytes)), Ok(bytes.clone()));
    assert_eq!(decode_one(Dtype::Float, json!(floats.map(f64::from))), Ok(bytes));
}

/// The exponent that makes a float infinite means nothing in a vector of bytes.
#[test]
fn bytes_are_not_looked_at_as_floats() {
    for dtype in [Dtype::Int8, Dtype::Uint8, Dtype::Binary, Dtype::Ubinary] {
        let bytes = vec![0x00, 0x00, 0x80, 0x7f, 0xff];
        assert_eq!(decode_one(dtype, base64(&bytes)), Ok(bytes), "{dtype:?}");
    }
}

#[test]
fn lists_of_numbers_are_read_for_every_dtype() {
    let signed = json!([-128, -1, 0, 1, 127]);
    let unsigned = json!([0, 1, 127, 128, 255]);
    for dtype in [Dtype::Int8, Dtype::Binary] {
        assert_eq!(decode_one(dtype, signed.clone()), Ok(vec![0x80, 0xff, 0, 1, 0x7f]));
    }
    for dtype in [Dtype::Uint8, Dtype::Ubinary] {
        assert_eq!(decode_one(dtype, unsigned.clone()), Ok(vec![0, 1, 0x7f, 0x80, 0xff]));
    }
    assert_eq!(decode_one(Dtype::Float, json!([1, -2])), Ok(little_endian(&[1.0, -2.0])));
    // A whole number may be written with a point.
    assert_eq!(decode_one(Dtype::Int8, json!([5.0, -0.0])), Ok(vec![5, 0]));
}

#[test]
fn integers_out_of_range_and_fractions_are_refused() {
    let cases = [
        (Dtype::Int8, json!([128])),
        (Dtype::Int8, json!([-129])),
        (Dtype::Binary, json!([128])),
        (Dtype::Uint8, json!([256])),
        (Dtype::Uint8, json!([-1])),
        (Dtype::Ubinary, json!([256])),
        (Dtype::Ubinary, json!([1e300])),
        (Dtype::Int8, json!([0.5])),
        (Dtype::Uint8, json!([254.999_999])),
        (Dtype::Uint8, json!([18_446_744_073_709_551_615_u64])),
    ];
    for (dtype, list) in cases {
        let shown = list.to_string();
        assert_eq!(decode_one(dtype, list), Err(wrong(OUT_OF_RANGE)), "{dtype:?} {shown}");
    }
}

#[test]
fn bad_base64_is_refused() {
    // Without its padding, URL-safe, with white space, cut, and with bits that belong to no byte.
    for text in
        ["AACAPw", "__-_-w==", "AACA Pw==", "AACAPw==\n", "AACAP===", "A", "=", "AACAPx==", "😀"]
    {
        assert_eq!(decode_one(Dtype::Int8, text.into()), Err(wrong(NOT_BASE64)), "{text}");
    }
}

#[test]
fn escaped_base64_is_read_like_any_other() {
    let body = br#"{"data":[{"embedding":"\/\/\/\u002f","index":0}]}"#;
    let (answers, _) = decode_texts(&parameters(Dtype::Uint8, Some(3)), 1, body).unwrap();
    assert_eq!(bytes(answers), [[0xff, 0xff, 0xff]]);
}

proptest! {
    #[test]
    fn base64_and_a_list_of_the_same_floats_are_the_same_vector(
        floats in proptest::collection::vec(proptest::num::f32::NORMAL | proptest::num::f32::SUBNORMAL | proptest::num::f32::ZERO, 1..64),
    ) {
        let list: Vec<f64> = floats.iter().map(|float| f64::from(*float)).collect();
        let expected = Ok(little_endian(&floats));
        prop_assert_eq!(decode_one(Dtype::Float, base64(&little_endian(&floats))), expected.clone());
        prop_assert_eq!(decode_one(Dtype::Float, json!(list)), expected);
    }

    /// Every decoded vector is finite and whole.
    #[test]
    fn an_accepted_vector_is_made_of_finite_floats(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let (floats, rest) = bytes.as_chunks::<4>();
        let finite = floats.iter().all(|float| f32::from_le_bytes(*float).is_finite());
        let acceptable = finite && rest.is_empty() && !bytes.is_empty();
        prop_assert_eq!(decode_one(Dtype::Float, base64(&bytes)).is_ok(), acceptable);
    }
}

#[test]
fn base64_is_borrowed_from_the_body() {
    let body = reply(&[(json!(0), base64(&[1, 2, 3, 4]))]).to_string();
    let parsed: Reply<'_, texts::Entry<'_>> = Reply::parse(body.as_bytes()).expect("a valid reply");
    assert!(matches!(
        parsed.data[0].embedding,
        Elements::Base64(std::borrow::Cow::Borrowed("AQIDBA=="))
    ));
}
