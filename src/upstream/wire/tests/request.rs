//! Requests field by field, without fields that the caller did not set.

use super::*;

/// The body of a request for these texts.
fn sent(parameters: &Parameters, texts: &[&str]) -> Value {
    let inputs: Vec<_> = texts.iter().map(|text| Input::Text((*text).to_owned())).collect();
    let inputs: Vec<_> = inputs.iter().collect();
    super::sent(parameters, &inputs)
}

#[test]
fn unset_fields_are_left_out_and_truncation_never_is() {
    let body = sent(&parameters(Dtype::Float, None), &["a", "b"]);
    let expected = json!({
        "input": ["a", "b"],
        "model": "model-of-tomorrow",
        "truncation": true,
        "encoding_format": "base64",
    });
    assert_eq!(body, expected);
}

#[test]
fn set_fields_are_sent_under_voyages_names() {
    let all = Parameters::texts(
        "voyage-4",
        TextParameters {
            vector: VectorParameters {
                input_type: Some(InputType::Query),
                dimension: Some(256),
                dtype: Dtype::Ubinary,
            },
            truncation: false,
        },
    );
    let expected = json!({
        "input": ["a"],
        "model": "voyage-4",
        "input_type": "query",
        "truncation": false,
        "output_dimension": 256,
        "output_dtype": "ubinary",
        "encoding_format": "base64",
    });
    assert_eq!(sent(&all, &["a"]), expected);
    let document = all.changed(|of| of.vector.input_type = Some(InputType::Document));
    assert_eq!(sent(&document, &["a"])["input_type"], "document");
}

#[test]
fn every_dtype_but_float_is_named() {
    let dtype = |dtype| sent(&parameters(dtype, None), &["a"]).get("output_dtype").cloned();
    assert_eq!(dtype(Dtype::Float), None);
    assert_eq!(dtype(Dtype::Int8), Some("int8".into()));
    assert_eq!(dtype(Dtype::Uint8), Some("uint8".into()));
    assert_eq!(dtype(Dtype::Binary), Some("binary".into()));
    assert_eq!(dtype(Dtype::Ubinary), Some("ubinary".into()));
}

#[test]
fn texts_arrive_exactly_as_they_are() {
    let texts = ["\u{0}\"\\\n\t", "e\u{301} \u{e9}", "😀 \u{2028}\u{feff}", " ", "</script>"];
    assert_eq!(sent(&parameters(Dtype::Float, None), &texts)["input"], json!(texts));
}

/// Ours has the documented fields with the documented values; additional fields are written out above.
#[test]
fn the_documented_request_is_part_of_ours() {
    let documented: Value = serde_json::from_slice(include_bytes!(
        "../../../../tests/fixtures/voyage/embeddings_request.json"
    ))
    .unwrap();
    let parameters = Parameters { model: "voyage-3.5".into(), ..parameters(Dtype::Float, None) };
    let mut ours = sent(&parameters, &["Sample text 1", "Sample text 2"]);
    let ours = ours.as_object_mut().unwrap();
    assert_eq!(ours.remove("truncation"), Some(true.into()));
    assert_eq!(ours.remove("encoding_format"), Some("base64".into()));
    assert_eq!(*ours, *documented.as_object().unwrap());
}
