//! `hash-token`, as it is run.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

use super::tokens::{SEARCH, line};

fn hash_token(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_voyage-gateway"))
        .arg("hash-token")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    // It may have ended over its arguments.
    let _ = child.stdin.take().expect("its input").write_all(input);
    child.wait_with_output().expect("its end")
}

#[test]
fn it_prints_a_line_of_the_file() {
    // `printf %s "$TOKEN" | sha256sum` says the same.
    for end in ["", "\n", "\r\n"] {
        let done = hash_token(&["--caller", "search"], format!("{SEARCH}{end}").as_bytes());
        assert!(done.status.success(), "{done:?}");
        assert_eq!(String::from_utf8(done.stdout).unwrap(), line("search", SEARCH));
        assert_eq!(done.stderr, b"");
    }
}

#[test]
fn it_refuses_what_could_be_guessed_and_quotes_nothing() {
    let two = format!("{SEARCH}\n{SEARCH}\n");
    for (input, why) in [
        (&b""[..], "too short"),
        (b"\n", "too short"),
        (b"canary\n", "too short"),
        (b"canarycanarycanarycanarycanarycanary\n", "too easy to guess"),
        (b"canary canary canary canary canary canary\n", "visible ASCII"),
        (b"canary\xff", "visible ASCII"),
        (two.as_bytes(), "visible ASCII"),
    ] {
        let done = hash_token(&["--caller", "search"], input);
        let reported = String::from_utf8(done.stderr).unwrap();
        assert_eq!((done.status.code(), done.stdout.len()), (Some(1), 0), "{reported}");
        assert!(
            reported.contains(why) && !reported.contains("canary") && !reported.contains(SEARCH),
            "{reported}"
        );
    }
}

#[test]
fn it_needs_a_name_that_means_nothing_else() {
    for arguments in
        [&[][..], &["--caller", ""], &["--caller", "anonymous"], &["--caller", "two words"]]
    {
        let done = hash_token(arguments, SEARCH.as_bytes());
        assert_eq!((done.status.code(), done.stdout.len()), (Some(2), 0), "{arguments:?}");
        assert!(String::from_utf8(done.stderr).unwrap().contains("--caller"));
    }
}

#[test]
fn its_help_says_how_to_make_a_token() {
    let done = hash_token(&["--help"], b"");
    let reported = String::from_utf8(done.stdout).unwrap();
    assert!(reported.contains("openssl rand -base64 32"), "{reported}");
}
