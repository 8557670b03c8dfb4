use bytes::Bytes;
use proptest::prelude::*;
use tokio::time::{Duration, advance};

use super::*;
use crate::{
    item::{Input, InputType, Parameters, TextParameters, Vector, VectorParameters},
    model::Dtype,
    units::{Size, TimeSpan},
};

fn cache(max_bytes: u64, ttl: Duration) -> Cache {
    let ttl = TimeSpan::from_millis(u64::try_from(ttl.as_millis()).unwrap());
    Cache::new(
        &Config { max_bytes: Size::from_bytes(max_bytes), ttl, ..Config::default() },
        &Metrics::off(),
    )
}

fn stored(bytes: usize, fill: u8) -> Stored {
    let answer = Answer::Vector(Vector::new(Bytes::from(vec![fill; bytes])));
    Stored { answer, tokens: fill.into(), pixels: 0 }
}

fn parameters() -> Parameters {
    Parameters::texts("voyage-4", TextParameters::default())
}

fn key(text: &str) -> Key {
    KeyDeriver::new(&[1; 32]).prefix("", &parameters()).key(&Input::Text(text.to_owned()))
}

#[tokio::test(start_paused = true)]
async fn an_entry_lives_for_its_ttl_on_tokios_clock() {
    let cache = cache(1 << 20, Duration::from_mins(1));
    cache.store(key("a"), stored(8, 1), 1);
    advance(Duration::from_millis(59_999)).await;
    assert_eq!(cache.get(&key("a"), Instant::now()), Some(stored(8, 1)));
    advance(Duration::from_millis(1)).await;
    assert_eq!(cache.get(&key("a"), Instant::now()), None);
}

#[tokio::test(start_paused = true)]
async fn entries_are_weighed_in_real_bytes_and_bounded() {
    let entry = (size_of::<Key>() + 1000 + ENTRY_OVERHEAD) as u64;
    let cache = cache(10 * entry, Duration::from_hours(1));
    cache.store(key("first"), stored(1000, 0), 1);
    cache.maintain();
    let max_bytes = 10 * entry;
    assert_eq!(cache.cached(), Cached { entries: 1, bytes: entry, max_bytes });
    for number in 0..100 {
        cache.store(key(&number.to_string()), stored(1000, 0), 1);
    }
    cache.maintain();
    let Cached { entries, bytes, .. } = cache.cached();
    assert!((1..=10).contains(&entries) && bytes <= 10 * entry, "{entries} entries, {bytes} bytes");
}

#[tokio::test(start_paused = true)]
async fn an_entry_larger_than_the_cache_is_refused_at_once() {
    let cache = cache(1000, Duration::from_hours(1));
    cache.store(key("large"), stored(1000, 0), 1);
    assert_eq!(cache.get(&key("large"), Instant::now()), None);
}

#[tokio::test(start_paused = true)]
async fn a_cache_of_no_bytes_is_off() {
    let cache = cache(0, Duration::from_hours(1));
    cache.store(key("a"), stored(8, 0), 1);
    assert_eq!(cache.get(&key("a"), Instant::now()), None);
}

#[tokio::test(start_paused = true)]
async fn the_answer_of_an_older_flight_does_not_overwrite_a_newer_ones() {
    let cache = cache(1 << 20, Duration::from_hours(1));
    cache.store(key("a"), stored(8, 2), 2);
    cache.store(key("a"), stored(8, 1), 1);
    assert_eq!(cache.get(&key("a"), Instant::now()), Some(stored(8, 2)));
    cache.store(key("a"), stored(8, 3), 3);
    assert_eq!(cache.get(&key("a"), Instant::now()), Some(stored(8, 3)));
}

#[tokio::test(start_paused = true)]
async fn only_what_leaves_by_itself_is_evicted() {
    let metrics = Metrics::new().unwrap();
    let entry = (size_of::<Key>() + 1000 + ENTRY_OVERHEAD) as u64;
    let config = Config { max_bytes: Size::from_bytes(10 * entry), ..Config::default() };
    let cache = Cache::new(&config, &metrics);
    let evicted = || {
        let page = metrics.render().unwrap();
        let lines = page.lines().filter(|line| line.starts_with("voyage_gateway_cache_evictions"));
        lines.filter(|line| !line.ends_with(" 0")).map(str::to_owned).collect::<Vec<_>>()
    };
    for flight in 1..=5 {
        cache.store(key("replaced"), stored(1000, 0), flight);
    }
    cache.maintain();
    assert_eq!(evicted(), [""; 0]);
    for number in 0..100 {
        cache.store(key(&number.to_string()), stored(1000, 0), 1);
    }
    cache.maintain();
    let left = 101 - cache.cached().entries;
    let size = "voyage_gateway_cache_evictions_total{cause=\"size\",tier=\"memory\"}";
    assert_eq!(evicted(), [format!("{size} {left}")]);
}

#[test]
fn keys_depend_on_the_secret_and_on_nothing_random() {
    let input = Input::Text("a".to_owned());
    let key_under = |secret: &[u8]| KeyDeriver::new(secret).prefix("", &parameters()).key(&input);
    assert_eq!(key_under(&[1; 32]), key_under(&[1; 32]));
    assert_ne!(key_under(&[1; 32]), key_under(&[2; 32]));
    assert_ne!(key_under(&[1; 32]), key_under(&[1; 33]));
    let random = || KeyDeriver::random().prefix("", &parameters()).key(&input);
    assert_ne!(random(), random());
}

#[test]
fn a_key_is_not_printed() {
    let printed = format!("{:?} {:?}", key("a"), KeyDeriver::random().prefix("", &parameters()));
    assert_eq!(printed, "Key(…) KeyPrefix(…)");
}

type Asked = (String, Parameters, String);

/// Few values for every part, and texts that look like parts: an ambiguous encoding would confuse them.
fn asked() -> impl Strategy<Value = Asked> {
    let word =
        || prop::sample::select(vec!["", "a", "b", "ab", "a\0", "\0a", "voyage-4", "A", "a "]);
    let input_type =
        prop::sample::select(vec![None, Some(InputType::Query), Some(InputType::Document)]);
    let dtype = prop::sample::select(vec![
        Dtype::Float,
        Dtype::Int8,
        Dtype::Uint8,
        Dtype::Binary,
        Dtype::Ubinary,
    ]);
    let dimension = prop::sample::select(vec![None, Some(1), Some(256), Some(1 << 24)]);
    (word(), word(), input_type, dimension, dtype, any::<bool>(), word()).prop_map(
        |(namespace, model, input_type, dimension, dtype, truncation, text)| {
            let parameters = Parameters::texts(
                model,
                TextParameters {
                    vector: VectorParameters { input_type, dimension, dtype },
                    truncation,
                },
            );
            (namespace.to_owned(), parameters, text.to_owned())
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_different_requests_never_share_a_key(one in asked(), other in asked()) {
        let keys = KeyDeriver::new(&[7; 32]);
        let key = |(namespace, parameters, text): &Asked| {
            keys.prefix(namespace, parameters).key(&Input::Text(text.clone()))
        };
        prop_assert_eq!(one == other, key(&one) == key(&other));
    }

    #[test]
    fn keys_differ_for_texts_that_differ_in_one_byte(one in ".*", other in ".*") {
        prop_assert_eq!(one == other, key(&one) == key(&other));
    }
}

/// A question about an entry neither keeps it nor makes it popular.
#[tokio::test]
async fn questions_have_no_effect_on_evictions() {
    const ENTRIES: usize = 20;
    let entry = (size_of::<Key>() + 1000 + ENTRY_OVERHEAD) as u64;
    let cache = cache(ENTRIES as u64 * entry, Duration::from_hours(1));
    let old: Vec<Key> = (0..ENTRIES).map(|number| key(&format!("old {number}"))).collect();
    for key in &old {
        cache.store(*key, stored(1000, 0), 1);
    }
    cache.maintain();
    let asked = HashSet::from([old[0]]);
    for _ in 0..30 {
        assert!(cache.contains(&old[0]));
        assert!(cache.ages(&asked)[&old[0]].expires_in > Duration::from_mins(59));
        assert!(cache.get(&old[1], Instant::now()).is_some());
    }
    assert!(!cache.contains(&key("unknown")));
    for number in 0..4 * ENTRIES {
        let new = key(&format!("new {number}"));
        // Requested before it is stored, so that it is more popular than an entry nobody requests.
        for _ in 0..5 {
            cache.get(&new, Instant::now());
        }
        cache.store(new, stored(1000, 0), 1);
        cache.maintain();
    }
    assert!(cache.contains(&old[1]), "a requested entry stays");
    assert!(!cache.contains(&old[0]), "an entry that was only asked about goes");
}
