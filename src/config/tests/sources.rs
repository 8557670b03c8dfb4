//! Sources that are no text, or no file of a configuration's size.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};

use super::*;

/// A value that is not UTF-8.
fn garbage() -> OsString {
    OsString::from_vec(b"canary\xff".to_vec())
}

#[test]
fn variables_of_ours_that_are_not_utf_8_are_told_by_name() {
    let name = OsString::from_vec(b"VOYAGE_GATEWAY__CACHE\xff__TTL".to_vec());
    let variables = [
        ("VOYAGE_GATEWAY__SERVER__LISTEN".into(), garbage()),
        ("VOYAGE_GATEWAY_CONFIG".into(), garbage()),
        (name, "1d".into()),
        // Variables of other programs.
        ("VOYAGE_GATEWAY_PORT".into(), garbage()),
        ("PATH".into(), garbage()),
    ];
    let environment = variables.into_iter().collect();
    let reported = report(load(&Sources { environment, ..Sources::default() }));
    let reported: Vec<&str> = reported.lines().collect();
    assert_eq!(
        reported,
        [
            "VOYAGE_GATEWAY_CONFIG: expected UTF-8",
            "VOYAGE_GATEWAY__CACHE\u{fffd}__TTL: expected UTF-8",
            "VOYAGE_GATEWAY__SERVER__LISTEN: expected UTF-8",
        ]
    );
}

#[test]
fn a_key_that_is_not_utf_8_is_not_a_missing_one() {
    for name in ["VOYAGE_API_KEY", "VOYAGE_API_KEY_FILE"] {
        let environment = [(name, garbage())].into_iter().collect();
        let reported = api_keys(&Config::default(), &environment).unwrap_err();
        assert_eq!(reported, format!("{name} is not UTF-8"));
    }
}

#[test]
fn only_a_small_file_of_text_is_read() {
    for (path, problem) in [
        ("/dev/zero", "not a regular file"),
        ("/dev/stdin", "not a regular file"),
        ("/", "not a regular file"),
        ("/no/such/file", "No such file or directory (os error 2)"),
    ] {
        let reported = report(load(&Sources { file: Some(path.into()), ..Sources::default() }));
        assert_eq!(reported, format!("{path}: cannot be read: {problem}"));
    }
    let too_large = "#".repeat(1024 * 1024 + 1);
    let reported = report(load_file(&too_large));
    assert_eq!(reported, "file.toml: cannot be read: larger than 1048576 bytes");
    assert_eq!(load_file(&too_large[1..]), Ok(Config::default()));
    let reported = report(load_file_of(b"# \xff"));
    assert_eq!(reported, "file.toml: cannot be read: it is not UTF-8");
}

#[test]
fn a_filter_is_made_of_levels() {
    for filter in
        ["info", "INFO", "off", "warn,voyage_gateway::dispatch=debug", "hyper=trace, info"]
    {
        let config = load_set(&[&format!("telemetry.log_filter={filter}")]).unwrap();
        assert_eq!(config.telemetry.log_filter, filter);
    }
    for filter in
        ["inof", "voyage_gateway::dispatch", "info,hyper=loud", "a=b=c", "", "info,", "hyper="]
    {
        let reported = report(load_set(&[&format!("telemetry.log_filter='{filter}'")]));
        assert!(
            reported.starts_with("telemetry.log_filter: must be a level or levels"),
            "{reported}"
        );
    }
}
