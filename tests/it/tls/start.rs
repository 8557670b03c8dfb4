//! Files that cannot be used keep a gateway from starting, and are named.

use std::process::Command;

use voyage_gateway::{
    app::{self, BuildError},
    secret::Secret,
};

use super::*;
use crate::support::KEY;

#[tokio::test]
async fn unusable_files_are_named() {
    let authority = Authority::new();
    let server = authority.server(2100);
    let files = Files::new(&server, Some(&authority));
    let reported = async || {
        let error = app::build(&config(files.section("")), Secret::new(KEY), app::Parts::default())
            .await
            .err()
            .unwrap();
        assert!(matches!(error, BuildError::Config(_)), "{error}");
        error.to_string()
    };
    files.write("key.pem", &authority.server(2100).key_pem());
    let problem = reported().await;
    assert!(problem.starts_with(&format!("tls: {}, ", text(&files.path("cert.pem")))), "{problem}");
    assert!(problem.contains("tls.key: it is not the key of the first certificate"), "{problem}");

    files.write("key.pem", &server.key_pem());
    files.write("ca.pem", "canary");
    let problem = reported().await;
    assert!(problem.contains("tls.client_ca: there is no certificate in it"), "{problem}");
    assert!(!problem.contains("canary"), "{problem}");

    fs::remove_file(files.path("key.pem")).unwrap();
    let section = files.section("");
    let error =
        app::build(&config(section), Secret::new(KEY), app::Parts::default()).await.err().unwrap();
    let missing = format!("tls: {}: No such file", text(&files.path("key.pem")));
    assert!(error.to_string().starts_with(&missing), "{error}");
}

/// Runs `serve` with these settings, until it ends by itself; returns its exit status and log.
fn serve(settings: &[String]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_voyage-gateway"))
        .arg("serve")
        .args(settings.iter().flat_map(|setting| ["--set", setting]))
        .env_clear()
        .env("VOYAGE_API_KEY", KEY)
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_start_with_unusable_files_is_wrong_usage() {
    let files = Files::new(&Authority::new().server(2100), None);
    let [cert, key] = ["cert", "key"].map(|name| text(&files.path(&format!("{name}.pem"))));
    let (status, log) = serve(&[format!("tls.cert={key}"), format!("tls.key={cert}")]);
    assert_eq!(status, Some(2), "{log}");
    assert!(log.contains("tls.cert: there is no certificate in it"), "{log}");
    assert!(!log.contains("PRIVATE KEY"), "{log}");
}

#[test]
fn a_start_says_whether_tls_is_on() {
    // A port that is taken ends it soon after.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = vec![format!("server.listen={}", taken.local_addr().unwrap())];
    let (status, log) = serve(&settings);
    assert_eq!(status, Some(1), "{log}");
    assert!(log.contains("TLS is off"), "{log}");

    let authority = Authority::new();
    let files = Files::new(&authority.server(2100), Some(&authority));
    for name in ["cert", "key"] {
        settings.push(format!("tls.{name}={}", text(&files.path(&format!("{name}.pem")))));
    }
    settings.push(format!("tls.client_ca={}", text(&files.path("ca.pem"))));
    let (status, log) = serve(&settings);
    assert_eq!(status, Some(1), "{log}");
    let line = log.lines().find(|line| line.contains("certificate of the gRPC port"));
    let line = line.expect("a line about the certificate");
    assert!(line.contains("2100") && line.contains("\"client_certificates\":true"), "{line}");
}
