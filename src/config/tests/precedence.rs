use super::*;
use crate::{config::path::KeyPath, grpc::auth::AuthMode, units::Size};

const TTL: &str = "VOYAGE_GATEWAY__CACHE__TTL";

fn days(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}

#[test]
fn later_sources_win() {
    let file = File::new("[cache]\nttl = '2d'\nmax_bytes = '1MiB'\n");
    let mut sources = Sources::default();
    let ttl = |sources: &Sources| load(sources).unwrap().cache.ttl.get();

    assert_eq!(ttl(&sources), days(30));
    sources.file = Some(file.path().to_owned());
    assert_eq!(ttl(&sources), days(2));
    sources.environment = pairs(&[(TTL, "3d")]);
    assert_eq!(ttl(&sources), days(3));
    sources.set = strings(&["cache.ttl=4d", "cache.ttl=5d"]);
    assert_eq!(ttl(&sources), days(5));
    // Keys are merged one by one: the file's other key still stands.
    assert_eq!(load(&sources).unwrap().cache.max_bytes, Size::from_mib(1));
}

#[test]
fn the_environment_names_the_file_unless_the_command_line_does() {
    let (one, two) = (File::new("cache.ttl = '1d'"), File::new("cache.ttl = '2d'"));
    let environment = pairs(&[("VOYAGE_GATEWAY_CONFIG", one.path().to_str().unwrap())]);
    let mut sources = Sources { environment, ..Sources::default() };
    assert_eq!(load(&sources).unwrap().cache.ttl.get(), days(1));
    sources.file = Some(two.path().to_owned());
    assert_eq!(load(&sources).unwrap().cache.ttl.get(), days(2));
}

#[test]
fn an_empty_file_variable_is_as_good_as_none() {
    assert_eq!(load_environment(&[("VOYAGE_GATEWAY_CONFIG", "")]), Ok(Config::default()));
}

#[test]
fn a_valid_override_hides_a_bad_value() {
    let file = File::new("cache.ttl = 'soon'");
    let mut sources = Sources { file: Some(file.path().to_owned()), ..Sources::default() };
    assert!(load(&sources).is_err());
    sources.environment = pairs(&[(TTL, "1d")]);
    assert_eq!(load(&sources).unwrap().cache.ttl.get(), days(1));
}

#[test]
fn a_section_may_be_set_as_a_whole_and_its_keys_after_it() {
    // Whatever order the environment is in.
    let config = load_environment(&[
        (TTL, "2d"),
        ("VOYAGE_GATEWAY__CACHE", "{ ttl = '1d', max_bytes = '1MiB' }"),
    ])
    .unwrap();
    assert_eq!((config.cache.ttl.get(), config.cache.max_bytes), (days(2), Size::from_mib(1)));

    let sources = Sources {
        environment: pairs(&[(TTL, "2d")]),
        set: strings(&["cache={ ttl = 'soon' }"]),
        ..Sources::default()
    };
    let reported = report(load(&sources));
    assert!(
        reported.starts_with("cache.ttl: ") && reported.ends_with("(from --set)"),
        "{reported}"
    );
}

#[test]
fn other_variables_are_left_alone() {
    // Kubernetes sets the first two for a Service named voyage-gateway.
    let environment = [
        ("VOYAGE_GATEWAY_PORT", "tcp://10.0.0.1:50051"),
        ("VOYAGE_GATEWAY_SERVICE_HOST", "10.0.0.1"),
        ("PATH", "/"),
    ];
    assert_eq!(load_environment(&environment), Ok(Config::default()));
}

#[test]
fn text_becomes_the_type_of_the_key() {
    let config = load_environment(&[
        ("VOYAGE_GATEWAY__SERVER__REFLECTION", "false"),
        ("VOYAGE_GATEWAY__BATCH__MAX_INPUTS", "128"),
        ("VOYAGE_GATEWAY__UPSTREAM__DEFAULT_MODEL", "123"),
        ("VOYAGE_GATEWAY__CACHE__KEY_FILE", "2026-01-01"),
        ("VOYAGE_GATEWAY__AUTH__MODE", "none"),
    ])
    .unwrap();
    assert!(!config.server.reflection);
    assert_eq!(config.batch.max_inputs, 128);
    assert_eq!(config.upstream.default_model, "123");
    assert_eq!(config.cache.key_file.as_deref(), Some(Path::new("2026-01-01")));
    assert_eq!(config.auth.mode, Some(AuthMode::None));
}

#[test]
fn text_that_could_be_another_type_stays_as_it_was_written() {
    for text in ["1.0", "true", "0x10", "1_000", "[1]", "{a=1}", "a=b", "1e3"] {
        let config = load_set(&[&format!("upstream.default_model={text}")]).unwrap();
        assert_eq!(config.upstream.default_model, text);
    }
}

#[test]
fn text_may_be_written_as_toml() {
    for text in ["\"voyage-4\"", "'voyage-4'", "voyage-4"] {
        let config = load_set(&[&format!("upstream.default_model={text}")]).unwrap();
        assert_eq!(config.upstream.default_model, "voyage-4");
    }
}

#[test]
fn segments_may_be_quoted() {
    let config = load_set(&["\"cache\".'ttl'=1d", "batch.\"max_inputs\"=7"]).unwrap();
    assert_eq!((config.cache.ttl.get(), config.batch.max_inputs), (days(1), 7));

    let (path, value) =
        KeyPath::parse_assignment("limits.models.\"voyage-3.5=x\".rpm=a=b").unwrap();
    assert_eq!(path.0, ["limits", "models", "voyage-3.5=x", "rpm"]);
    assert_eq!(value, "a=b");
    assert_eq!(path.to_string(), "limits.models.\"voyage-3.5=x\".rpm");
    assert_eq!(KeyPath::parse("limits", "models.\"voyage-3.5=x\".rpm"), Some(path));
}
