//! Token counts and vectors.

use crate::{
    item::InputType,
    model::Dtype,
    simulator::{
        Shape, count_tokens, tokens, vector,
        vectors::{STOP_WORDS, encode},
    },
};

const PLAIN: Shape<'_> =
    Shape { model: "voyage-4", input_type: None, dimension: 1_024, dtype: Dtype::Float };

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn similarity(a: &str, b: &str, shape: &Shape<'_>) -> f32 {
    dot(&floats(&vector(a, shape)), &floats(&vector(b, shape)))
}

#[test]
fn token_counts_agree_with_the_documented_ones() {
    let cases = [
        ("", 0),
        ("a", 1),
        ("Hello world.", 3),
        ("Sample text 1", 3),
        (" \t\n", 0),
        ("internationalisation", 4),
        ("...", 3),
        ("пример", 2),
        ("日本語", 3),
        ("こんにちは", 5),
        ("한국어", 3),
        ("🍞🥖", 2),
        ("naïve", 3),
    ];
    for (text, tokens) in cases {
        assert_eq!(count_tokens(text), tokens, "{text:?}");
        assert!(count_tokens(text) <= text.len() as u64);
    }
}

#[test]
fn cutting_keeps_the_longest_beginning_within_the_limit() {
    assert_eq!(tokens::cut("one two three", 2), ("one two ", 2));
    assert_eq!(tokens::cut("abcdefghijkl", 1), ("abcdef", 1));
    assert_eq!(tokens::cut("日本語", 2), ("日本", 2));
    assert_eq!(tokens::cut("short", 9), ("short", 1));
}

#[test]
fn vectors_are_of_unit_length_at_every_dimension_and_repeatable() {
    for text in ["How do I keep my bread fresh?", " ", "?!", "x", "日本語のパン"] {
        for dimension in [256, 512, 1_024, 1_536, 2_048] {
            let shape = Shape { dimension, ..PLAIN };
            let elements = floats(&vector(text, &shape));
            assert_eq!(elements.len(), dimension as usize);
            assert!((dot(&elements, &elements) - 1.0).abs() < 1e-4, "{text:?} at {dimension}");
            assert_eq!(vector(text, &shape), vector(text, &shape));
        }
    }
}

#[test]
fn a_smaller_dimension_is_the_beginning_of_a_larger_one() {
    let large = floats(&vector("sourdough starter", &Shape { dimension: 2_048, ..PLAIN }));
    let small = floats(&vector("sourdough starter", &Shape { dimension: 256, ..PLAIN }));
    let length = dot(&large[..256], &large[..256]).sqrt();
    assert!(length > 0.5, "the beginning says most of it");
    for (small, large) in small.iter().zip(&large) {
        assert!((small - large / length).abs() < 1e-5);
    }
}

#[test]
fn whatever_differs_changes_the_vector_in_every_number_type() {
    let text = "The oven must be hot before the dough goes in.";
    for dtype in [Dtype::Float, Dtype::Int8, Dtype::Uint8, Dtype::Binary, Dtype::Ubinary] {
        let plain = Shape { dtype, ..PLAIN };
        let query = Shape { input_type: Some(InputType::Query), ..plain };
        let document = Shape { input_type: Some(InputType::Document), ..plain };
        let lite = Shape { model: "voyage-4-lite", ..plain };
        let mut vectors = vec![
            vector(text, &plain),
            vector(text, &query),
            vector(text, &document),
            vector(text, &lite),
        ];
        let upper = text.to_uppercase();
        for near in [&format!("{text} "), &upper, " ", "  ", "?", "!"] {
            vectors.push(vector(near, &plain));
        }
        for (position, one) in vectors.iter().enumerate() {
            assert_eq!(one.len(), dtype.vector_bytes(1_024));
            assert!(!vectors[..position].contains(one), "{dtype:?}, case {position}");
        }
    }
}

#[test]
fn input_types_and_models_change_little() {
    let text = "The oven must be hot before the dough goes in.";
    let plain = floats(&vector(text, &PLAIN));
    for other in [
        Shape { input_type: Some(InputType::Query), ..PLAIN },
        Shape { model: "voyage-4-large", ..PLAIN },
    ] {
        assert!(dot(&plain, &floats(&vector(text, &other))) > 0.95);
    }
}

#[test]
fn number_types_are_derived_as_the_provider_derives_them() {
    // The provider's own example.
    let example = [-0.0396, 0.0062, -0.0745, -0.0390, 0.0046, 0.0003, -0.0850, 0.0399];
    assert_eq!(encode(&example, 1.0, Dtype::Ubinary), [0b0100_1101]);
    assert_eq!(encode(&example, 1.0, Dtype::Ubinary), [77]);
    assert_eq!(encode(&example, 1.0, Dtype::Binary), [(-51_i8).cast_unsigned()]);
    assert_eq!(encode(&[0.0, 0.1, -0.1, 0.5, -0.5], 1.0, Dtype::Int8), [0, 51, 205, 127, 128]);
    assert_eq!(encode(&[0.0, 0.1, -0.1, 0.5, -0.5], 1.0, Dtype::Uint8), [128, 179, 77, 255, 0]);
}

const CORPUS: &[&str] = &[
    "Bread stays fresh for days when it is kept in a paper bag inside a bread box.",
    "Knead the dough until it is smooth and springs back when pressed.",
    "A sourdough starter needs to be fed with flour and water every day.",
    "Stale bread makes excellent croutons and puddings.",
    "Cats sleep for up to sixteen hours a day.",
    "A dog should be walked at least twice a day.",
    "The rocket reached orbit nine minutes after launch.",
    "Astronauts train underwater to prepare for weightlessness.",
    "The moon's gravity is one sixth of the earth's.",
    "Interest rates were raised by the central bank on Thursday.",
    "Inflation fell for the third month in a row.",
    "A mortgage is a loan that is secured by a house.",
    "Water the tomatoes early in the morning.",
    "Prune roses in late winter, before new growth begins.",
    "Compost needs both green and brown material.",
    "The violin has four strings tuned in fifths.",
    "Jazz musicians improvise over a sequence of chords.",
    "The orchestra tunes to the oboe's A.",
    "To restart the server, run the deploy script with the restart flag.",
    "A failed health check takes the pod out of the load balancer.",
    "Index the column you filter by to make the database query faster.",
    "A deadlock happens when two transactions wait for each other.",
    "Change the oil of the car every ten thousand kilometres.",
    "Low tyre pressure increases fuel consumption.",
    "The train to the airport leaves every fifteen minutes.",
    "Passengers must show a passport before boarding the ferry.",
    "Vaccines train the immune system to recognise a virus.",
    "A fever is the body's response to an infection.",
    "Regular exercise lowers blood pressure.",
    "The glacier has retreated by two kilometres in a century.",
];

#[test]
fn a_search_ranks_the_texts_one_would_expect_first() {
    let searches = [
        ("how do I keep my bread fresh", 0),
        ("feeding a sourdough starter", 2),
        ("how long do cats sleep", 4),
        ("when should I prune my roses", 13),
        ("how do I restart the server", 18),
        ("make a database query faster", 20),
        ("what is a deadlock between transactions", 21),
        ("train to the airport", 24),
        ("lower my blood pressure with exercise", 28),
    ];
    for (dimension, dtype) in [(1_024, Dtype::Float), (256, Dtype::Float)] {
        for (query, expected) in searches {
            let query_shape =
                Shape { input_type: Some(InputType::Query), dimension, dtype, ..PLAIN };
            let document_shape = Shape { input_type: Some(InputType::Document), ..query_shape };
            let query_vector = floats(&vector(query, &query_shape));
            let score = |text: &str| dot(&query_vector, &floats(&vector(text, &document_shape)));
            let best = CORPUS.iter().max_by(|a, b| score(a).total_cmp(&score(b))).unwrap();
            assert_eq!(*best, CORPUS[expected], "{query:?} at {dimension}");
        }
    }
    assert!(similarity(CORPUS[0], CORPUS[3], &PLAIN) > similarity(CORPUS[0], CORPUS[6], &PLAIN));
}

#[test]
fn stop_words_can_be_searched() {
    assert!(STOP_WORDS.is_sorted());
}

#[test]
fn a_long_text_is_no_trouble() {
    let long = CORPUS.concat().repeat(20);
    let elements = floats(&vector(&long, &PLAIN));
    assert!((dot(&elements, &elements) - 1.0).abs() < 1e-3);
}
