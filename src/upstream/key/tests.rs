//! Valid keys, their sources, and their secrecy.

use std::{fs, path::Path};

use super::*;
use crate::file::MAX_BYTES;

/// The example in `config.example.toml`.
pub(in crate::upstream) fn example() -> serde_json::Value {
    serde_json::json!([{
        "alias": "team-search", "file": "/run/secrets/voyage/team-search", "rpm": 2000, "tpm": 8_000_000
    }])
}

impl KeySources {
    /// [`ApiKeys`] that never change, for tests: their aliases, secrets and limits.
    pub(crate) fn several(keys: &[(&str, &str, KeyLimits)]) -> Self {
        let source = |&(alias, secret, limits): &(&str, &str, KeyLimits)| KeySource {
            what: "a test",
            alias: Arc::from(alias),
            origin: Origin::Given(Secret::new(secret)),
            limits,
        };
        Self(keys.iter().map(source).collect())
    }
}

/// A folder of its own for each test, gone with it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

fn metrics() -> Metrics {
    Metrics::new().unwrap()
}

/// The key of a source, or its problem.
fn read(sources: &KeySources) -> Result<String, String> {
    let keys = sources.load(&metrics()).map_err(|error| error.to_string())?;
    let [member] = &*keys.0 else { panic!("one key") };
    Ok(member.key().secret.expose().to_owned())
}

fn given(key: &str) -> Result<String, String> {
    read(&KeySources::given("VOYAGE_API_KEY", Secret::new(key)))
}

/// The path of the file reads `FILE` in the answer.
fn in_file(content: impl AsRef<[u8]>) -> Result<String, String> {
    let folder = Folder::new();
    let path = folder.file("key", content);
    let reported = read(&KeySources::file("VOYAGE_API_KEY_FILE", &path));
    reported.map_err(|reported| reported.replace(path.to_str().unwrap(), "FILE"))
}

#[test]
fn white_space_around_a_key_is_no_part_of_it() {
    assert_eq!(given("pa-1"), Ok("pa-1".to_owned()));
    assert_eq!(given("pa-1\n"), Ok("pa-1".to_owned()));
    assert_eq!(in_file(" pa-1\r\n\n"), Ok("pa-1".to_owned()));
}

#[test]
fn an_empty_key_is_no_key() {
    for empty in ["", " \n"] {
        assert_eq!(given(empty), Err("VOYAGE_API_KEY: the API key is empty".to_owned()));
        let reported = "VOYAGE_API_KEY_FILE: FILE: the API key is empty";
        assert_eq!(in_file(empty), Err(reported.to_owned()));
    }
}

#[test]
fn a_key_is_visible_ascii_and_not_long() {
    let malformed = "the API key holds characters other than visible ASCII ones";
    for canary in ["pa canary", "pa-\u{7f}canary", "pa-cänary", "pa-canary\npa-canary"] {
        assert_eq!(given(canary), Err(format!("VOYAGE_API_KEY: {malformed}")));
    }
    assert_eq!(in_file(b"pa-\xff"), Err(format!("VOYAGE_API_KEY_FILE: FILE: {malformed}")));
    let longest = "k".repeat(MAX_KEY_BYTES);
    assert_eq!(given(&longest), Ok(longest.clone()));
    let long = "the API key is longer than 512 bytes";
    assert_eq!(given(&format!("{longest}k")), Err(format!("VOYAGE_API_KEY: {long}")));
    assert_eq!(in_file(format!("{longest}k")), Err(format!("VOYAGE_API_KEY_FILE: FILE: {long}")));
}

#[test]
fn only_small_files_are_read() {
    let reported = |path: &Path| read(&KeySources::file("VOYAGE_API_KEY_FILE", path)).unwrap_err();
    assert_eq!(
        reported(Path::new("/dev/zero")),
        "VOYAGE_API_KEY_FILE: /dev/zero: not a regular file"
    );
    let missing = "VOYAGE_API_KEY_FILE: /nowhere/key: No such file or directory (os error 2)";
    assert_eq!(reported(Path::new("/nowhere/key")), missing);
    let huge = vec![b'k'; usize::try_from(MAX_BYTES).unwrap() + 1];
    assert_eq!(
        in_file(huge),
        Err("VOYAGE_API_KEY_FILE: FILE: larger than 1048576 bytes".to_owned())
    );
}

#[test]
fn two_files_with_one_key_are_refused_by_their_aliases() {
    let folder = Folder::new();
    let config = |alias: &str, content: &str| KeyConfig {
        alias: alias.to_owned(),
        file: folder.file(alias, content),
        ..KeyConfig::default()
    };
    let sources = [config("a", "pa-canary"), config("b", "pa-2"), config("c", "pa-canary\n")];
    let reported = KeySources::configured(&sources).load(&metrics()).unwrap_err().to_string();
    assert_eq!(reported, "upstream.keys: the files of a and c hold the same API key");
    let keys = KeySources::configured(&sources[..2]).load(&metrics()).unwrap();
    let aliases: Vec<&str> = keys.members().map(|member| &**member.alias()).collect();
    assert_eq!(aliases, ["a", "b"]);
    assert!(matches!(KeySources::configured(&[]).load(&metrics()), Err(KeyError::Missing)));
}

#[test]
fn a_changed_file_is_taken_over_and_an_unusable_one_is_not() {
    let folder = Folder::new();
    let path = folder.file("key", "pa-1");
    let metrics = metrics();
    let keys = KeySources::file("VOYAGE_API_KEY_FILE", &path).load(&metrics).unwrap();
    let member = &keys.0[0];
    let secret = || member.key().secret.expose().to_owned();
    fs::write(&path, "pa-2\n").unwrap();
    member.reload();
    assert_eq!(secret(), "pa-2");
    for bad in [&b""[..], b"pa 3", b"\xff", &[b'k'; 513]] {
        fs::write(&path, bad).unwrap();
        member.reload();
        assert_eq!(secret(), "pa-2");
    }
    fs::remove_file(&path).unwrap();
    member.reload();
    assert_eq!(secret(), "pa-2");
    let rendered = metrics.render().unwrap();
    let line = |outcome: &str, count: u32| {
        let labels = format!("outcome=\"{outcome}\",what=\"VOYAGE_API_KEY_FILE\"");
        format!("voyage_gateway_reloads_total{{{labels}}} {count}")
    };
    assert!(rendered.contains(&line("changed", 1)), "{rendered}");
    assert!(rendered.contains(&line("refused", 5)), "{rendered}");
}

#[test]
fn every_key_of_the_pool_is_scrubbed_the_longer_first() {
    let none = KeyLimits::default();
    let sources = [("a", "pa-canary", none), ("b", "pa-canary-b", none)];
    let keys = KeySources::several(&sources).load(&metrics()).unwrap();
    let gone = ApiKey::parse(&Arc::from("a"), b"pa-gone").unwrap();
    let scrubbed = keys.scrub("pa-canary-b, pa-canary and pa-gone", &gone);
    assert_eq!(scrubbed, "[redacted], [redacted] and [redacted]");
}

#[test]
fn nothing_shows_a_key() {
    let folder = Folder::new();
    let file = folder.file("canary-free", "pa-canary");
    let sources = [
        KeySources::given("VOYAGE_API_KEY", Secret::new("pa-canary")),
        KeySources::file("VOYAGE_API_KEY_FILE", file),
        KeySources::several(&[("a", "pa-canary", KeyLimits::default())]),
    ];
    for sources in sources {
        let keys = sources.load(&metrics()).unwrap();
        let key = keys.0[0].key();
        let shown = format!(
            "{sources:?} {sources:#?} {keys:?} {keys:#?} {key:?} {:?}",
            key.authorization()
        );
        assert!(!shown.contains("pa-canary"), "{shown}");
    }
    let error = KeySources::from(Secret::new("pa canary")).load(&metrics()).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"));
}

#[test]
fn a_path_that_looks_like_a_key_is_recognised() {
    for key in ["pa-canary", "al-canary"] {
        assert!(looks_like_a_key(key), "{key}");
    }
    for path in ["/run/secrets/pa-key", "./pa-key", "key", ""] {
        assert!(!looks_like_a_key(path), "{path}");
    }
}
