use proptest::prelude::*;

use super::*;
use crate::model::Dtype;

fn encoded(write: impl Fn(&mut Encoder<&mut dyn FnMut(&[u8])>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut push = |piece: &[u8]| bytes.extend_from_slice(piece);
    write(&mut Encoder::new(&mut push));
    bytes
}

fn input(input: &Input) -> Vec<u8> {
    encoded(|encoder| input.encode(encoder))
}

fn documents() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec("[ab]{0,3}", 0..4)
}

proptest! {
    /// The division into chunks is part of the encoding: `["ab"]` and `["a", "b"]` are different documents.
    #[test]
    fn different_documents_have_different_encodings(one in documents(), other in documents()) {
        let encoded = |chunks: &Vec<String>| input(&Input::Chunks(Chunks::new(chunks.clone())));
        prop_assert_eq!(encoded(&one) == encoded(&other), one == other);
    }
}

#[test]
fn the_call_group_is_no_part_of_the_encoding() {
    let parameters = Arc::new(Parameters {
        model: "voyage-context-4".into(),
        call_group: CallGroup::Any,
        of: EndpointParameters::Chunks(ChunkParameters {
            vector: VectorParameters { dtype: Dtype::Int8, ..VectorParameters::default() },
            auto_chunking: None,
        }),
    });
    let linked = parameters.in_group(CallGroup::LinkedMedia(7));
    assert_ne!(parameters, linked);
    let encoded = |parameters: &Parameters| encoded(|encoder| parameters.encode(encoder));
    assert_eq!(encoded(&parameters), encoded(&linked));
}

#[test]
fn a_size_is_bounded_in_every_number() {
    let bounds = Size { inputs: 3, chunks: 10, tokens: 100, bytes: 1_000 };
    let one = Size { inputs: 1, chunks: 2, tokens: 20, bytes: 200 };
    let mut sum = one;
    assert!(sum.fits(&one, &bounds) && !sum.fills(&bounds));
    sum += one;
    assert!(sum.fits(&one, &bounds));
    for more in [
        Size { inputs: 2, ..one },
        Size { chunks: 7, ..one },
        Size { tokens: 61, ..one },
        Size { bytes: 601, ..one },
    ] {
        assert!(!sum.fits(&more, &bounds), "{more:?}");
    }
    assert!((sum.fill(&bounds) - 2.0 / 3.0).abs() < 1e-9);
    sum += one;
    assert!(sum.fills(&bounds));
    sum -= one;
    assert!(!sum.fills(&bounds));
}

/// Many tiny chunks take more memory than their texts.
#[test]
fn the_footprint_counts_every_chunk() {
    let footprint = |count| Input::Chunks(Chunks::new(vec!["a".to_owned(); count])).footprint();
    assert_eq!(footprint(1), Input::Text("a".to_owned()).footprint());
    assert!(footprint(16_000) >= 16_000 * (size_of::<String>() + 16));
}

#[test]
fn equal_queries_have_equal_hashes() {
    let parameters = |query: &str| {
        let of = RerankParameters { query: Query::new(query), truncation: true };
        Parameters::new("rerank-3", EndpointParameters::Pairs(of))
    };
    let lanes: std::collections::HashMap<_, _> =
        [(parameters("a"), 1), (parameters("b"), 2)].into();
    assert_eq!(lanes.get(&parameters("a")), Some(&1));
    assert_eq!(lanes.get(&parameters("c")), None);
}
