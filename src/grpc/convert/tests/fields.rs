//! Every field: its conversion and its violations.

use super::*;

fn texts(texts: &[&str]) -> EmbedRequest {
    EmbedRequest { inputs: texts.iter().map(|text| (*text).to_owned()).collect(), ..hi() }
}

#[test]
fn only_inputs_are_needed() {
    let deadline = Instant::now();
    let (request, shape) = embed_request(
        hi(),
        &RequestModels::usual(),
        CallTerms { caller: Caller::anonymous(), deadline },
    )
    .unwrap();
    let expected = Parameters::texts("voyage-4", TextParameters::default());
    assert_eq!(*request.parameters, expected);
    assert_eq!(request.inputs, [Ok(Input::Text("hi".to_owned()))]);
    assert_eq!(request.cache_mode, CacheMode::ReadWrite);
    assert!(!request.allow_partial);
    assert_eq!(request.deadline, deadline);
    assert_eq!((shape.dtype, shape.encoding), (Dtype::Float, VectorEncoding::Values));
    assert_eq!(shape.max_bytes, 4_194_304);
}

#[test]
fn texts_are_taken_exactly_as_they_are() {
    let exact = [" ", "\0", "e\u{301}", "\u{e9}", "a", "a"];
    let (request, _) = convert(texts(&exact)).unwrap();
    let expected: Vec<_> = exact.iter().map(|text| Ok(Input::Text((*text).to_owned()))).collect();
    assert_eq!(request.inputs, expected);
}

#[test]
fn model_names_are_open_but_bounded() {
    let model = |name: &str| EmbedRequest { model: name.to_owned(), ..hi() };
    assert_eq!(parameters(model("")).model, "voyage-4".into());
    let longest = "m".repeat(128);
    for name in ["voyage-4-lite", "voyage-9", "a/b:c@d", &longest] {
        assert_eq!(parameters(model(name)).model, name.into());
    }
    let too_long = "m".repeat(129);
    for name in [" ", "two words", "voyage-4\n", "\0", "modèle", "😀", &too_long] {
        assert_eq!(only(model(name)), ("model".to_owned(), "INVALID_MODEL"), "{name:?}");
    }
}

#[test]
fn input_types_are_read() {
    let input_type = |input_type| EmbedRequest { input_type, ..hi() };
    assert_eq!(parameters(input_type(1)).vector().unwrap().input_type, Some(InputType::Query));
    assert_eq!(parameters(input_type(2)).vector().unwrap().input_type, Some(InputType::Document));
    for number in [3, -1, i32::MAX, i32::MIN] {
        let expected = ("input_type".to_owned(), "UNKNOWN_ENUM_VALUE");
        assert_eq!(only(input_type(number)), expected, "{number}");
    }
    let description = &violations(input_type(3))[0].description;
    let names = "INPUT_TYPE_UNSPECIFIED, INPUT_TYPE_QUERY, INPUT_TYPE_DOCUMENT";
    assert_eq!(*description, format!("must be one of {names}"));
}

#[test]
fn truncation_is_on_unless_it_is_off() {
    let truncation =
        |truncation| parameters(EmbedRequest { truncation, ..hi() }).max_input_tokens().is_some();
    assert!(truncation(None));
    assert!(truncation(Some(true)));
    assert!(!truncation(Some(false)));
}

#[test]
fn a_listed_model_offers_its_dimensions_only() {
    let of = |model: &str, output_dimension| EmbedRequest {
        model: model.to_owned(),
        output_dimension,
        ..hi()
    };
    for offered in [256_i32, 512, 2048] {
        let expected = Some(offered.unsigned_abs());
        assert_eq!(parameters(of("voyage-4", offered)).vector().unwrap().dimension, expected);
    }
    let refused = ("output_dimension".to_owned(), "DIMENSION_NOT_OFFERED");
    for number in [1, 7, 1023, 4096, i32::MAX] {
        assert_eq!(only(of("voyage-4", number)), refused, "{number}");
    }
    assert_eq!(only(of("voyage-law-2", 256)), refused);
    let description = &violations(of("voyage-4", 7))[0].description;
    assert_eq!(
        description,
        "must be one of 1024, 256, 512, 2048, or 0 for the default of voyage-4"
    );
}

#[test]
fn an_explicit_default_dimension_is_none() {
    for (model, default) in [("voyage-4", 1024), ("voyage-law-2", 1024), ("voyage-code-2", 1536)] {
        for output_dimension in [0, default] {
            let request = EmbedRequest { model: model.to_owned(), output_dimension, ..hi() };
            assert_eq!(
                parameters(request).vector().unwrap().dimension,
                None,
                "{model} {output_dimension}"
            );
        }
    }
}

#[test]
fn an_unlisted_model_may_have_any_dimension() {
    for number in [1_i32, 7, 1024, 100_000] {
        let request = EmbedRequest {
            model: "voyage-9".to_owned(),
            output_dimension: number,
            output_dtype: OutputDtype::Binary as i32,
            ..hi()
        };
        assert_eq!(parameters(request).vector().unwrap().dimension, Some(number.unsigned_abs()));
    }
    for model in ["voyage-4", "voyage-9"] {
        for number in [-1, i32::MIN] {
            let request =
                EmbedRequest { model: model.to_owned(), output_dimension: number, ..hi() };
            assert_eq!(only(request), ("output_dimension".to_owned(), "NEGATIVE"), "{model}");
        }
    }
}

#[test]
fn dtypes_are_read_and_a_listed_model_must_offer_them() {
    let of =
        |model: &str, output_dtype| EmbedRequest { model: model.to_owned(), output_dtype, ..hi() };
    let all = [
        (0, Dtype::Float),
        (1, Dtype::Float),
        (2, Dtype::Int8),
        (3, Dtype::Uint8),
        (4, Dtype::Binary),
        (5, Dtype::Ubinary),
    ];
    for (number, dtype) in all {
        for model in ["voyage-4", "voyage-9"] {
            assert_eq!(parameters(of(model, number)).vector().unwrap().dtype, dtype, "{model}");
            assert_eq!(convert(of(model, number)).unwrap().1.dtype, dtype, "{model}");
        }
    }
    for number in 2..=5 {
        let expected = ("output_dtype".to_owned(), "DTYPE_NOT_OFFERED");
        assert_eq!(only(of("voyage-law-2", number)), expected);
    }
    assert_eq!(parameters(of("voyage-law-2", 1)).vector().unwrap().dtype, Dtype::Float);
    for number in [6, -1, i32::MAX] {
        let expected = ("output_dtype".to_owned(), "UNKNOWN_ENUM_VALUE");
        assert_eq!(only(of("voyage-law-2", number)), expected, "{number}");
    }
}

#[test]
fn vector_encodings_are_read() {
    let of = |vector_encoding| EmbedRequest { vector_encoding, ..hi() };
    for (number, encoding) in
        [(0, VectorEncoding::Values), (1, VectorEncoding::Values), (2, VectorEncoding::Bytes)]
    {
        assert_eq!(convert(of(number)).unwrap().1.encoding, encoding);
    }
    for number in [3, -1] {
        assert_eq!(only(of(number)), ("vector_encoding".to_owned(), "UNKNOWN_ENUM_VALUE"));
    }
}

#[test]
fn cache_modes_are_read() {
    let of = |cache_mode| with_options(RequestOptions { cache_mode, ..Default::default() });
    let modes = [
        (0, CacheMode::ReadWrite),
        (1, CacheMode::ReadWrite),
        (2, CacheMode::ReadOnly),
        (3, CacheMode::Refresh),
        (4, CacheMode::Bypass),
        (5, CacheMode::OnlyIfCached),
    ];
    for (number, mode) in modes {
        assert_eq!(convert(of(number)).unwrap().0.cache_mode, mode);
    }
    for number in [6, -1] {
        assert_eq!(only(of(number)), ("options.cache_mode".to_owned(), "UNKNOWN_ENUM_VALUE"));
    }
}

#[test]
fn the_other_options_are_checked() {
    for priority in 0..=2 {
        assert!(convert(with_options(RequestOptions { priority, ..Default::default() })).is_ok());
    }
    for priority in [3, -1] {
        let request = with_options(RequestOptions { priority, ..Default::default() });
        assert_eq!(only(request), ("options.priority".to_owned(), "UNKNOWN_ENUM_VALUE"));
    }

    let waiting = |seconds, nanos| {
        let max_queue_wait = Some(Duration { seconds, nanos });
        with_options(RequestOptions { max_queue_wait, ..Default::default() })
    };
    for (seconds, nanos) in [(0, 0), (0, 999_999_999), (315_576_000_000, 0)] {
        assert!(convert(waiting(seconds, nanos)).is_ok(), "{seconds} {nanos}");
    }
    let expected = ("options.max_queue_wait".to_owned(), "INVALID_DURATION");
    for (seconds, nanos) in [
        (-1, 0),
        (0, -1),
        (1, -1),
        (0, 1_000_000_000),
        (0, i32::MIN),
        (315_576_000_001, 0),
        (i64::MAX, 0),
        (i64::MIN, 0),
        (i64::MIN, i32::MIN),
        (i64::MAX, i32::MAX),
    ] {
        assert_eq!(only(waiting(seconds, nanos)), expected, "{seconds} {nanos}");
    }

    let receiving = |max_response_bytes| {
        with_options(RequestOptions { max_response_bytes, ..Default::default() })
    };
    assert_eq!(convert(receiving(0)).unwrap().1.max_bytes, 4_194_304);
    assert_eq!(convert(receiving(5000)).unwrap().1.max_bytes, 5000);
    assert_eq!(convert(receiving(i32::MAX)).unwrap().1.max_bytes, 2_147_483_647);
    let expected = ("options.max_response_bytes".to_owned(), "NEGATIVE");
    for number in [-1, i32::MIN] {
        assert_eq!(only(receiving(number)), expected);
    }
}

#[test]
fn there_is_at_least_one_text_and_none_is_empty() {
    assert_eq!(only(texts(&[])), ("inputs".to_owned(), "EMPTY_LIST"));
    assert_eq!(only(texts(&["a", "", "b"])), ("inputs[1]".to_owned(), "EMPTY_TEXT"));
    let expected = [("inputs[0]".to_owned(), "EMPTY_TEXT"), ("inputs[2]".to_owned(), "EMPTY_TEXT")];
    assert_eq!(found(texts(&["", "b", ""])), expected);
}

#[test]
fn there_are_at_most_16384_texts() {
    let of = |count| EmbedRequest {
        inputs: vec!["a".to_owned(); count],
        output_dimension: 256,
        output_dtype: OutputDtype::Binary as i32,
        ..hi()
    };
    assert_eq!(convert(of(16_384)).unwrap().0.inputs.len(), 16_384);
    assert_eq!(only(of(16_385)), ("inputs".to_owned(), "TOO_MANY_INPUTS"));
}

#[test]
fn with_allow_partial_an_empty_text_fails_alone() {
    let partial = |request: EmbedRequest| {
        let options = RequestOptions { allow_partial: true, ..Default::default() };
        EmbedRequest { options: Some(options), ..request }
    };
    let (request, _) = convert(partial(texts(&["a", "", "b", ""]))).unwrap();
    assert!(request.allow_partial);
    let empty = |field| Err(Error::violation(field, "EMPTY_TEXT", "must not be empty"));
    let text = |text: &str| Ok(Input::Text(text.to_owned()));
    assert_eq!(request.inputs, [text("a"), empty("inputs[1]"), text("b"), empty("inputs[3]")]);

    // Violations of the call itself fail the call.
    assert_eq!(only(partial(texts(&[]))), ("inputs".to_owned(), "EMPTY_LIST"));
    let wrong = EmbedRequest { input_type: 9, ..texts(&["", "a"]) };
    assert_eq!(only(partial(wrong)), ("input_type".to_owned(), "UNKNOWN_ENUM_VALUE"));
    let many = vec![""; 16_385];
    assert_eq!(only(partial(texts(&many))), ("inputs".to_owned(), "TOO_MANY_INPUTS"));
}

/// A request with everything wrong that can be, and so many empty texts.
fn all_wrong(empty: usize) -> EmbedRequest {
    EmbedRequest {
        inputs: vec![String::new(); empty],
        model: "two words".to_owned(),
        input_type: 9,
        truncation: None,
        output_dimension: -1,
        output_dtype: 9,
        vector_encoding: 9,
        options: Some(RequestOptions {
            cache_mode: 9,
            priority: 9,
            allow_partial: false,
            max_response_bytes: -1,
            max_queue_wait: Some(Duration { seconds: -1, nanos: 0 }),
            invalid_text: 9,
        }),
    }
}

#[test]
fn all_violations_are_listed_at_once_and_inputs_last() {
    let fields: Vec<_> = found(all_wrong(2)).into_iter().map(|(field, _)| field).collect();
    let expected = [
        "model",
        "input_type",
        "output_dimension",
        "output_dtype",
        "vector_encoding",
        "options.cache_mode",
        "options.priority",
        "options.max_queue_wait",
        "options.max_response_bytes",
        "options.invalid_text",
        "inputs[0]",
        "inputs[1]",
    ];
    assert_eq!(fields, expected);
}

#[test]
fn at_most_sixteen_violations_are_listed() {
    let fields: Vec<_> = found(all_wrong(16_384)).into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields.len(), 16);
    assert_eq!(fields[8..10], ["options.max_response_bytes", "options.invalid_text"]);
    assert_eq!(fields[15], "inputs[5]");
}

/// A reply too large is no violation: nothing is predicted for a request that cannot be.
#[test]
fn violations_come_before_the_size() {
    let request = EmbedRequest { input_type: 9, inputs: vec!["a".to_owned(); 16_384], ..hi() };
    assert_eq!(only(request), ("input_type".to_owned(), "UNKNOWN_ENUM_VALUE"));
}

#[test]
fn nothing_of_a_text_is_in_a_violation() {
    let request =
        EmbedRequest { input_type: 9, model: "a canary".to_owned(), ..texts(&["", "canary"]) };
    let shown = format!("{:?}", violations(request));
    assert!(!shown.contains("canary"), "{shown}");
}
