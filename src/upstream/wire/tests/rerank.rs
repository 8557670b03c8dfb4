//! Reranking, in both directions.

use proptest::prelude::*;

use super::*;
use crate::item::{Query, RerankParameters};

fn of(truncation: bool) -> Parameters {
    let of = RerankParameters { query: Query::new("Sample query"), truncation };
    Parameters::new("rerank-2.5-lite", EndpointParameters::Pairs(of))
}

fn candidates(count: usize) -> Vec<Input> {
    (1..=count).map(|number| Input::Candidate(format!("Sample document {number}").into())).collect()
}

fn read(count: usize, body: &[u8]) -> Result<Vec<f64>, BadResponse> {
    let inputs = candidates(count);
    let decoded = decode(&of(true), &inputs.iter().collect::<Vec<_>>(), body)?;
    let score = |answer| match answer {
        Answer::Score(score) => score,
        other => panic!("no score: {other:?}"),
    };
    Ok(decoded.answers.into_iter().map(score).collect())
}

#[test]
fn the_documented_request_is_part_of_ours() {
    let inputs = candidates(2);
    let mut ours = sent(&of(false), &inputs.iter().collect::<Vec<_>>());
    let ours = ours.as_object_mut().unwrap();
    assert_eq!(ours.remove("truncation"), Some(false.into()));
    let documented = include_bytes!("../../../../tests/fixtures/voyage/rerank_request.json");
    let documented: Value = serde_json::from_slice(documented).unwrap();
    assert_eq!(*ours, *documented.as_object().unwrap());
}

#[test]
fn the_documented_reply_is_read() {
    let reply = include_bytes!("../../../../tests/fixtures/voyage/rerank_reply.json");
    assert_eq!(read(2, reply), Ok(vec![0.455_078_125, 0.439_453_125]));
}

proptest! {
    /// Replies come by score; every bit of a score is at its document.
    #[test]
    fn scores_are_put_at_their_documents(
        scores in proptest::collection::vec(any::<f64>().prop_filter("finite", |score| score.is_finite()), 1..30),
    ) {
        let mut data: Vec<_> = scores
            .iter()
            .enumerate()
            .map(|(index, score)| json!({"relevance_score": score, "index": index}))
            .collect();
        data.sort_by(|one, other| {
            let score = |entry: &Value| entry["relevance_score"].as_f64().unwrap();
            score(other).total_cmp(&score(one))
        });
        let read = read(scores.len(), json!({"data": data}).to_string().as_bytes()).unwrap();
        prop_assert!(read.iter().zip(&scores).all(|(read, sent)| read.to_bits() == sent.to_bits()));
    }

    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(3, &body);
    }
}

#[test]
fn what_is_no_score_of_each_document_is_refused() {
    let refused = |body: &str| read(2, body.as_bytes()).unwrap_err().why;
    let one = r#"{"relevance_score":0.5,"index":0}"#;
    assert_eq!(refused(&format!(r#"{{"data":[{one}]}}"#)), "the number of answers");
    assert_eq!(refused(&format!(r#"{{"data":[{one},{one}]}}"#)), "an index came twice");
    for bad in [r#"{"relevance_score":null,"index":1}"#, r#"{"relevance_score":1e999,"index":1}"#] {
        let why = refused(&format!(r#"{{"data":[{one},{bad}]}}"#));
        assert_eq!(why, "the body is not the documented JSON", "{bad}");
    }
}
