use super::*;

fn sources(config: &str, environment: &[(&str, &str)]) -> Result<(), String> {
    let config = load_file(config).unwrap();
    match api_keys(&config, &pairs(environment)) {
        Ok(sources) => {
            let shown = format!("{sources:?}");
            assert!(!shown.contains("canary"), "{shown}");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

const POOL: &str = "[[upstream.keys]]\nalias = 'a'\nfile = '/keys/a'\n";

#[test]
fn one_place_for_keys_is_needed() {
    assert_eq!(sources("", &[("VOYAGE_API_KEY", "pa-canary"), ("PATH", "/")]), Ok(()));
    assert_eq!(sources("", &[("VOYAGE_API_KEY_FILE", "/key")]), Ok(()));
    assert_eq!(sources(POOL, &[("PATH", "/")]), Ok(()));
    let missing = "there is no API key: set VOYAGE_API_KEY, or VOYAGE_API_KEY_FILE to the path of a file that holds \
        it, or name files in [[upstream.keys]]";
    assert_eq!(sources("", &[]), Err(missing.to_owned()));
}

#[test]
fn two_places_for_keys_are_too_many() {
    let both = "VOYAGE_API_KEY and VOYAGE_API_KEY_FILE are both set; unset one of them";
    let two = [("VOYAGE_API_KEY", "pa-canary"), ("VOYAGE_API_KEY_FILE", "/k")];
    assert_eq!(sources("", &two), Err(both.to_owned()));
    for variable in ["VOYAGE_API_KEY", "VOYAGE_API_KEY_FILE"] {
        let reported = format!(
            "{variable} is set and so are upstream.keys, which would leave it unused: unset {variable}, or put its key \
             into a file of [[upstream.keys]]"
        );
        assert_eq!(sources(POOL, &[(variable, "pa-canary")]), Err(reported));
    }
}

#[test]
fn a_key_that_stands_where_its_path_belongs_is_not_shown() {
    let reported = "must be the path of a file that holds the key, and looks like the key itself";
    for canary in ["pa-canary", "al-canary"] {
        let environment = [("VOYAGE_API_KEY_FILE", canary)];
        assert_eq!(sources("", &environment), Err(format!("VOYAGE_API_KEY_FILE {reported}")));
        let config = format!("[[upstream.keys]]\nalias = 'a'\nfile = '{canary}'\n");
        assert_eq!(
            report(load_file(&config)),
            format!("upstream.keys: item 1: \"file\": {reported} (from file.toml)")
        );
    }
}

#[test]
fn every_key_of_the_pool_is_checked() {
    let key = |alias: &str, rest: &str| format!("[[upstream.keys]]\nalias = '{alias}'\n{rest}\n");
    let config = [
        key("canary", "file = '/a'\nrpm = 0"),
        key("", "file = ''"),
        key("canary", "file = '/b'\ntpm = 0"),
        key("two words", "file = '/c'"),
        key(&"l".repeat(65), "file = '/d'"),
    ];
    let reported = report(load_file(&config.concat()));
    let reported: Vec<&str> = reported.lines().collect();
    let said = |item: u32, key: &str, demand: &str| {
        format!("upstream.keys: item {item}: {key:?}: {demand} (from file.toml)")
    };
    let alias = "must be 1 to 64 visible ASCII characters";
    assert_eq!(
        reported,
        [
            said(1, "rpm", "must be at least 1"),
            said(2, "alias", alias),
            said(2, "file", "must be the path of a file"),
            said(3, "alias", "must differ from those before it"),
            said(3, "tpm", "must be at least 1"),
            said(4, "alias", alias),
            said(5, "alias", alias),
        ]
    );
    let many: String = (0..65).map(|n| key(&n.to_string(), "file = '/a'")).collect();
    let reported = "upstream.keys: must be at most 64 keys (from file.toml)";
    assert_eq!(report(load_file(&many)), reported);
}

#[test]
fn missing_and_unknown_fields_of_a_pool_key_are_reported_by_position() {
    let reported = report(load_file(&format!("{POOL}[[upstream.keys]]\nalias = 'b'\n")));
    assert_eq!(reported, "upstream.keys: item 2: missing field `file` (from file.toml)");
    let reported = report(load_file(&format!("{POOL}key = 'pa-canary'\n")));
    let known = "unknown key; known are alias, file, rpm, tpm";
    assert_eq!(reported, format!("upstream.keys: item 1: \"key\": {known} (from file.toml)"));
    let reported = report(load_file("[upstream.keys]\nalias = 'a'\nfile = '/keys/a'\n"));
    assert_eq!(reported, "upstream.keys: expected a list (from file.toml)");
}

#[test]
fn a_list_is_set_as_a_whole() {
    let list = "[{ alias = 'a', file = '/keys/a' }]";
    let expected = load_file(POOL).unwrap();
    assert_eq!(load_set(&[&format!("upstream.keys={list}")]), Ok(expected.clone()));
    assert_eq!(load_environment(&[("VOYAGE_GATEWAY__UPSTREAM__KEYS", list)]), Ok(expected));
    let reported = "upstream.keys: expected a list, which is set as a whole: no item of it can be set alone (from";
    for setting in ["upstream.keys.0.file=/canary", "upstream.keys.file=/canary"] {
        assert_eq!(report(load_set(&[setting])), format!("{reported} --set)"));
    }
    let variable = "VOYAGE_GATEWAY__UPSTREAM__KEYS__0__FILE";
    assert_eq!(
        report(load_environment(&[(variable, "/canary")])),
        format!("{reported} {variable})")
    );
}

#[test]
fn the_printed_pool_reads_back_and_holds_no_key() {
    let second = "[[upstream.keys]]\nalias = 'b'\nfile = '/keys/b'\ntpm = 5\n";
    let config = load_file(&format!("{POOL}rpm = 100\n\n{second}")).unwrap();
    let text = config.to_toml();
    assert!(
        text.contains("[[upstream.keys]]\nalias = \"a\"\nfile = \"/keys/a\"\nrpm = 100\n"),
        "{text}"
    );
    assert_eq!(load_file(&text), Ok(config));
    assert!(!Config::default().to_toml().contains("keys"));
}
