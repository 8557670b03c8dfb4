//! `config.example.toml` is written by this test, from the sections' docs and defaults.

use std::{env, fmt::Write as _, fs};

use schemars::schema_for;
use serde_json::Value as Schema;
use toml::Value;

use super::*;
use crate::config::read::{self, Refusal};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.toml");

const HEAD: &str = "\
# The configuration of voyage-gateway: every key with its default. Keys without one are commented out.
#
# Each key can also be set in the environment (VOYAGE_GATEWAY__CACHE__TTL=12h) and on the command line
# (--set cache.ttl=12h), which wins over both. A list is set as a whole. No API key is among them: it comes from
# VOYAGE_API_KEY, from the file that VOYAGE_API_KEY_FILE names, or from the files of [[upstream.keys]].
#
# Generated from the documentation in the code by `cargo test config_example_is_up_to_date`.
";

/// Returns the keys of the section that the default configuration has at `section` ("" is the root), in the
/// order of the struct: no other reflection tells it.
fn keys(section: &str) -> &'static [&'static str] {
    let stranger = "\"?\" = 0";
    let text =
        if section.is_empty() { stranger.to_owned() } else { format!("[{section}]\n{stranger}") };
    let table = text.parse().unwrap();
    match serde_path_to_error::deserialize::<_, Config>(read::table(&table))
        .unwrap_err()
        .into_inner()
    {
        Refusal::UnknownKey { known, .. } => known,
        // It holds sections of names, and no keys.
        Refusal::Other(what) if what == "expected a section of keys" => &[],
        refusal @ Refusal::Other(_) => panic!("{section}: {refusal}"),
    }
}

/// Returns the documentation of a key as comment lines.
fn comment(schema: &Schema) -> String {
    let docs = schema["description"].as_str().expect("every key is documented");
    docs.lines().flat_map(|line| ["# ", line, "\n"]).collect()
}

/// Returns the definition that a schema refers to.
fn definition<'a>(schema: &'a Schema, about: &Schema) -> &'a Schema {
    let path = about["$ref"].as_str().and_then(|path| path.strip_prefix('#')).unwrap();
    schema.pointer(path).unwrap()
}

/// Returns what a section of sections with names of their own looks like, or a list of sections, by the example in its
/// schema: there are none by default.
fn subsection(schema: &Schema, about: &Schema, section: &str) -> String {
    let inner = about.get("additionalProperties").unwrap_or(&about["items"]);
    let properties = &definition(schema, inner)["properties"];
    let mut text = String::new();
    let add = |text: &mut String, head: String, keys: &Schema, order: Vec<&str>| {
        write!(text, "#\n# {head}\n").unwrap();
        for key in order {
            let value = keys.get(key).expect("a value of each key");
            write!(text, "#\n{}# {key} = {value}\n", comment(&properties[key])).unwrap();
        }
    };
    match &about["examples"][0] {
        Schema::Array(items) => {
            for keys in items {
                let order = keys.as_object().unwrap().keys().map(String::as_str).collect();
                add(&mut text, format!("[[{section}]]"), keys, order);
            }
        }
        Schema::Object(sections) => {
            for (name, keys) in sections {
                let path = format!("{section}.{name:?}");
                match about["properties"].get(name) {
                    None => add(&mut text, format!("[{path}]"), keys, self::keys(&path).to_vec()),
                    // The keys of a section of its own are names, which have no documentation.
                    Some(own) => {
                        write!(text, "#\n{}# [{section}.{name}]\n", comment(own)).unwrap();
                        for (key, value) in keys.as_object().unwrap() {
                            writeln!(text, "# {key} = {value}").unwrap();
                        }
                    }
                }
            }
        }
        _ => panic!("{section}: an example of each section"),
    }
    text
}

fn render() -> String {
    let schema = schema_for!(Config).to_value();
    let defaults = Value::try_from(Config::default()).unwrap();
    let mut text = HEAD.to_owned();
    for name in keys("") {
        let about = &schema["properties"][name];
        text += &section(&schema, about, &defaults[name], name);
    }
    text
}

/// Returns a section with its keys, and then the sections within it, as TOML requires.
fn section(schema: &Schema, about: &Schema, defaults: &Value, name: &str) -> String {
    let mut text = format!("\n{}[{name}]\n", comment(about));
    let definition = definition(schema, about);
    if definition["additionalProperties"].is_object() {
        return text + &subsection(schema, definition, name);
    }
    let mut sections = String::new();
    for key in keys(name) {
        let about = &definition["properties"][key];
        let path = format!("{name}.{key}");
        match defaults.get(key) {
            Some(defaults @ Value::Table(_)) if about["$ref"].is_string() => {
                sections += &section(schema, about, defaults, &path);
            }
            Some(Value::Table(_)) => {
                write!(text, "\n{}", comment(about)).unwrap();
                text += &subsection(schema, about, &path);
            }
            Some(default) => write!(text, "\n{}{key} = {default}\n", comment(about)).unwrap(),
            None if about["examples"][0].is_array() => {
                write!(text, "\n{}", comment(about)).unwrap();
                text += &subsection(schema, about, &path);
            }
            None => write!(text, "\n{}# {key} =\n", comment(about)).unwrap(),
        }
    }
    text + &sections
}

#[test]
fn config_example_is_up_to_date() {
    let wanted = render();
    if fs::read_to_string(PATH).unwrap_or_default() == wanted {
        return;
    }
    if env::var_os("CI").is_none() {
        fs::write(PATH, wanted).unwrap();
        panic!(
            "config.example.toml was out of date and is now rewritten: look at it and commit it"
        );
    }
    panic!(
        "config.example.toml is out of date: run `cargo test config_example_is_up_to_date` and commit it"
    );
}

#[test]
fn config_example_is_the_default_configuration() {
    let file = Some(PathBuf::from(PATH));
    assert_eq!(load(&Sources { file, ..Sources::default() }), Ok(Config::default()));
}

#[test]
fn config_example_shows_sections_that_are_taken() {
    let text = fs::read_to_string(PATH).unwrap();
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# ")) {
        let assigns = line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
        if line.starts_with('[') || (assigns && !lines.is_empty()) {
            lines.push(line);
        }
    }
    let config = load_file(&lines.join("\n")).unwrap();
    assert_eq!(config.callers.0["search-frontend"].weight, Some(4));
    assert!(config.models.is_alias("search"));
    assert_eq!(config.models.models["voyage-5"].price, Some(0.06));
    let [key] = &config.upstream.keys[..] else { panic!("one key of a pool") };
    assert_eq!((key.alias.as_str(), key.tpm), ("team-search", Some(8_000_000)));
    assert_eq!(
        config.tokens.models["voyage-4"].tokenizer,
        Path::new("/etc/voyage/voyage-4/tokenizer.json")
    );
}
