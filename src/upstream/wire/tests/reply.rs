//! The reply around the vectors: order, count, indices, usage, and bodies that are no reply.

use proptest::prelude::*;

use super::*;

/// The vector of the input at `index`: no two are alike.
#[expect(clippy::cast_precision_loss, reason = "small indices are exact floats")]
fn vector_of(index: usize) -> Vec<u8> {
    little_endian(&[index as f32, 1.0])
}

/// A reply to inputs whose vectors come in this order.
fn ordered(indices: &[usize]) -> Value {
    let vectors: Vec<_> =
        indices.iter().map(|index| ((*index).into(), base64(&vector_of(*index)))).collect();
    reply(&vectors)
}

fn refusal(count: usize, body: &Value) -> BadResponse {
    decode_texts(&parameters(Dtype::Float, Some(2)), count, body.to_string().as_bytes())
        .unwrap_err()
}

fn tokens(usage: &str) -> Option<u64> {
    let body = format!(r#"{{"data":[{{"embedding":[1.0],"index":0}}]{usage}}}"#);
    let (answers, tokens) =
        decode_texts(&parameters(Dtype::Float, None), 1, body.as_bytes()).unwrap();
    assert_eq!(bytes(answers), [little_endian(&[1.0])], "{usage}");
    tokens
}

#[test]
fn the_documented_reply_is_read() {
    let parameters = Parameters { model: "voyage-3.5".into(), ..parameters(Dtype::Float, Some(8)) };
    let (answers, tokens) = decode_texts(&parameters, 2, REPLY).unwrap();
    let first =
        [-0.016_709_786, 0.026_996_31, -0.027_496_673, 0.015_625, -0.031_25, 0.007_812_5, 0.062_5];
    let second =
        [0.003_613_521, 0.026_428_3, -0.009_491_397, 0.015_625, -0.031_25, 0.007_812_5, 0.062_5];
    let expected = [(first, -0.012_125_067), (second, -0.028_471_239)]
        .map(|(most, last)| little_endian(&[&most[..], &[last]].concat()));
    assert_eq!(bytes(answers), expected);
    assert_eq!(tokens, Some(8));
}

#[test]
fn a_listed_models_reply_must_have_its_default_dimension() {
    let parameters = Parameters { model: "voyage-3.5".into(), ..parameters(Dtype::Float, None) };
    let bad = decode_texts(&parameters, 2, REPLY).unwrap_err();
    assert_eq!((bad.expected, bad.got), (Some(4096), Some(32)));
}

proptest! {
    #[test]
    fn answers_are_put_in_the_order_of_the_inputs(
        indices in (1..40_usize).prop_flat_map(|n| Just((0..n).collect::<Vec<_>>()).prop_shuffle()),
    ) {
        let body = ordered(&indices).to_string();
        let parameters = parameters(Dtype::Float, Some(2));
        let (answers, _) = decode_texts(&parameters, indices.len(), body.as_bytes()).unwrap();
        let expected: Vec<_> = (0..indices.len()).map(vector_of).collect();
        prop_assert_eq!(bytes(answers), expected);
    }

    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..300), count in 0..5_usize) {
        let _ = decode_texts(&parameters(Dtype::Float, None), count, &body);
    }

    /// Close to a reply is where a panic would hide.
    #[test]
    fn no_damage_to_a_reply_makes_it_panic(at in 0..REPLY.len(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut body = REPLY.to_vec();
        body[at] = byte;
        if cut {
            body.truncate(at);
        }
        for dtype in [Dtype::Float, Dtype::Int8, Dtype::Ubinary] {
            if let Ok((answers, _)) = decode_texts(&parameters(dtype, None), 2, &body) {
                prop_assert_eq!(answers.len(), 2);
            }
        }
    }
}

#[test]
fn the_number_of_vectors_is_the_number_of_inputs() {
    for indices in [&[0_usize][..], &[0, 1, 2], &[]] {
        let bad = refusal(2, &ordered(indices));
        let got = indices.len() as u64;
        assert_eq!(
            bad,
            BadResponse { why: "the number of answers", expected: Some(2), got: Some(got) }
        );
    }
}

#[test]
fn every_index_comes_once_and_is_in_range() {
    let twice = refusal(2, &ordered(&[1, 1]));
    assert_eq!(twice, BadResponse { why: "an index came twice", expected: Some(2), got: Some(1) });
    for index in [2, usize::MAX] {
        let beyond = refusal(2, &ordered(&[0, index]));
        let got = Some(index as u64);
        assert_eq!(beyond, BadResponse { why: "an index is out of range", expected: Some(2), got });
    }
}

#[test]
fn an_index_is_a_whole_number_and_never_missing() {
    let vector = base64(&vector_of(0));
    let missing = json!({"data": [{"embedding": vector}]});
    assert_eq!(refusal(1, &missing), wrong("an answer has no index"));
    assert_eq!(
        refusal(1, &reply(&[(Value::Null, vector.clone())])),
        wrong("an answer has no index")
    );
    for index in [json!(-1), json!(0.5), json!("0"), json!([0]), json!(1e300)] {
        let bad = refusal(1, &reply(&[(index.clone(), vector.clone())]));
        assert_eq!(bad, wrong("the body is not the documented JSON"), "{index}");
    }
}

#[test]
fn vectors_have_the_requested_dimension() {
    for floats in [&[][..], &[1.0], &[1.0, 2.0, 3.0]] {
        for embedding in [base64(&little_endian(floats)), json!(floats)] {
            let bad = refusal(1, &reply(&[(0.into(), embedding)]));
            let got = Some(floats.len() as u64 * 4);
            let why = "the length of a vector in bytes";
            assert_eq!(bad, BadResponse { why, expected: Some(8), got });
        }
    }
}

#[test]
fn without_a_known_dimension_all_vectors_are_equally_long_and_none_is_empty() {
    let of = |lengths: &[usize]| {
        let vectors: Vec<_> = lengths
            .iter()
            .enumerate()
            .map(|(index, length)| (index.into(), base64(&vec![0; *length])))
            .collect();
        let body = reply(&vectors).to_string();
        decode_texts(&parameters(Dtype::Float, None), lengths.len(), body.as_bytes())
    };
    assert!(of(&[8, 8, 8]).is_ok());
    let bad = of(&[8, 8, 12]).unwrap_err();
    assert_eq!((bad.expected, bad.got), (Some(8), Some(12)));
    assert_eq!(of(&[0]).unwrap_err().why, "the length of a vector in bytes");
    // Five bytes are no floats, even if all vectors have five.
    assert_eq!(of(&[5, 5]).unwrap_err().why, "the length of a vector in bytes");
}

#[test]
fn usage_is_what_voyage_says_or_unknown_and_never_costs_the_vectors() {
    assert_eq!(tokens(r#","usage":{"total_tokens":7}"#), Some(7));
    assert_eq!(tokens(r#","usage":{"total_tokens":0}"#), Some(0));
    assert_eq!(tokens(r#","usage":{"total_tokens":7,"prompt_tokens":3}"#), Some(7));
    assert_eq!(tokens(r#","usage":{"total_tokens":7,"cost":1e400}"#), Some(7));
    assert_eq!(tokens(r#","usage": { "total_tokens" : 7 } "#), Some(7));
    for unknown in [
        "",
        r#","usage":null"#,
        r#","usage":{}"#,
        r#","usage":{"total_tokens":null}"#,
        r#","usage":{"total_tokens":-1}"#,
        r#","usage":{"total_tokens":1.5}"#,
        r#","usage":{"total_tokens":"8"}"#,
        r#","usage":{"total_tokens":1e30}"#,
        r#","usage":{"total_tokens":1e400}"#,
        r#","usage":{"total_tokens":18446744073709551616}"#,
        r#","usage":{"total_tokens":{"a":[1e400]}}"#,
        r#","usage":1e400"#,
        r#","usage":8"#,
        r#","usage":[8]"#,
    ] {
        assert_eq!(tokens(unknown), None, "{unknown}");
    }
}

#[test]
fn fields_may_be_added_anywhere() {
    let body = r#"{"id":"x","extra":{"deep":[1,{"a":null}]},"data":[{"embedding":"AACAPw==","index":0,
        "text":"t","embedding_type":[]}],"usage":{"total_tokens":1},"chunker_version":"1.0.0"}"#;
    let (answers, tokens) =
        decode_texts(&parameters(Dtype::Float, Some(1)), 1, body.as_bytes()).unwrap();
    assert_eq!((bytes(answers), tokens), (vec![little_endian(&[1.0])], Some(1)));
}

#[test]
fn what_is_not_the_documented_json_is_refused() {
    let deep = format!(r#"{{"data":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let ignored = format!(r#"{{"data":[],"x":{}}}"#, "[".repeat(100_000));
    let bodies: &[&[u8]] = &[
        b"",
        b" ",
        b"null",
        b"[]",
        b"{}",
        b"true",
        b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>",
        b"{\"data\":[{\"embedding\":\"\xff\xfe\",\"index\":0}]}",
        b"\xff\xfe",
        br#"{"data":null}"#,
        br#"{"data":{"embedding":[1.0],"index":0}}"#,
        br#"{"data":[{"index":0}]}"#,
        br#"{"data":[{"embedding":null,"index":0}]}"#,
        br#"{"data":[{"embedding":1.0,"index":0}]}"#,
        br#"{"data":[{"embedding":{"0":1.0},"index":0}]}"#,
        br#"{"data":[{"embedding":["1.0"],"index":0}]}"#,
        br#"{"data":[{"embedding":[null],"index":0}]}"#,
        br#"{"data":[{"embedding":[[1.0]],"index":0}]}"#,
        br#"{"data":[{"embedding":[NaN],"index":0}]}"#,
        br#"{"data":[{"embedding":[Infinity],"index":0}]}"#,
        br#"{"data":[{"embedding":[1e400],"index":0}]}"#,
        br#"{"data":[{"embedding":[1.0],"index":0}]} trailing"#,
        br#"{"data":[{"embedding":[1.0],"index":0}"#,
        br#"{"detail":"Provided API key is invalid."}"#,
        deep.as_bytes(),
        ignored.as_bytes(),
    ];
    for body in bodies {
        let bad = decode_texts(&parameters(Dtype::Float, None), 1, body).unwrap_err();
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]);
        assert_eq!(bad, wrong("the body is not the documented JSON"), "{shown}");
    }
}

#[test]
fn an_empty_list_takes_no_memory() {
    // A reply within its limit has room for a million of them.
    let reply: Reply<'_, texts::Entry<'_>> =
        Reply::parse(br#"{"data":[{"embedding":[]}]}"#).unwrap();
    let Elements::Numbers(numbers) = &reply.data[0].embedding else { panic!("a list") };
    assert_eq!(numbers.capacity(), 0);
}
