use std::{fs, path::Path, time::Duration};

use super::*;

mod auth;
mod example;
mod key;
mod log_levels;
mod precedence;
mod problems;
mod rules;
mod sources;

/// A file that is removed at the end of its test.
struct File(tempfile::TempPath);

impl File {
    fn new(content: impl AsRef<[u8]>) -> Self {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        fs::write(&path, content).unwrap();
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

fn pairs(environment: &[(&str, &str)]) -> Environment {
    environment.iter().copied().collect()
}

fn strings(set: &[&str]) -> Vec<String> {
    set.iter().map(|&text| text.to_owned()).collect()
}

/// Loads from a file with this content.
fn load_file(content: &str) -> Result<Config, Problems> {
    load_file_of(content.as_bytes())
}

fn load_file_of(content: &[u8]) -> Result<Config, Problems> {
    let file = File::new(content);
    let result = load(&Sources { file: Some(file.path().to_owned()), ..Sources::default() });
    // The name is random: reports are compared without it.
    let name = file.path().to_str().unwrap();
    result.map_err(|Problems(problems)| {
        Problems(problems.iter().map(|problem| problem.replace(name, "file.toml")).collect())
    })
}

fn load_environment(environment: &[(&str, &str)]) -> Result<Config, Problems> {
    load(&Sources { environment: pairs(environment), ..Sources::default() })
}

fn load_set(set: &[&str]) -> Result<Config, Problems> {
    load(&Sources { set: strings(set), ..Sources::default() })
}

fn report(result: Result<Config, Problems>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn the_default_configuration_is_valid() {
    assert_eq!(load(&Sources::default()), Ok(Config::default()));
}

#[test]
fn sources_do_not_show_what_they_hold() {
    let environment = pairs(&[("VOYAGE_API_KEY", "canary")]);
    let sources = Sources { environment, set: strings(&["a=canary"]), ..Sources::default() };
    assert_eq!(format!("{sources:?}"), "Sources { file: None, .. }");
}

#[test]
fn the_printed_configuration_reads_back() {
    let config = load_set(&[
        "server.listen=[::1]:7000",
        "auth.mode=none",
        "tls.cert=/run/tls/tls.crt",
        "tls.key=/run/tls/tls.key",
        "tls.client_ca=/run/tls/ca.crt",
        "cache.key_file=/run/secrets/cache",
        "telemetry.log_format=json",
        "upstream.base_url=http://127.0.0.1:8080/v1",
        "limits.tpm=1000000",
        "limits.models.\"voyage-3.5\".rpm=300",
        "tokens.models.\"voyage-3.5\".tokenizer=/etc/voyage/tokenizer.json",
        "callers.default.rpcs=['Embed']",
        "callers.\"a search\".weight=3",
        "callers.\"a search\".max_priority=batch",
    ])
    .unwrap();
    let text = config.to_toml();
    assert!(text.contains("[server]\nlisten = \"[::1]:7000\"\n"), "{text}");
    assert_eq!(load_file(&text), Ok(config));
}
