//! `docs/logs.md` has exactly the messages of the log at info and above.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::Lit;

use super::{Source, assert_none, program, read, root};

/// Levels whose messages are documented.
const LEVELS: [&str; 3] = ["error", "warn", "info"];

/// Fields that every line has: another of the same name would be a second one in the object.
const RESERVED: [&str; 5] = ["timestamp", "level", "target", "message", "spans"];

/// A level and a message.
type Line = (String, String);

/// The messages of the program.
#[derive(Default)]
struct Said {
    lines: BTreeSet<Line>,
    wrong: Vec<String>,
}

impl Said {
    /// Finds `tracing::level!(…)` wherever it stands: other macros' arguments are no syntax tree.
    fn look(&mut self, tokens: &TokenStream) {
        let tokens: Vec<_> = tokens.clone().into_iter().collect();
        for (at, token) in tokens.iter().enumerate() {
            let TokenTree::Group(group) = token else { continue };
            let before: Vec<_> =
                tokens[at.saturating_sub(5)..at].iter().map(ToString::to_string).collect();
            match &before.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["tracing", ":", ":", level, "!"] => self.say(level, &group.stream()),
                _ => self.look(&group.stream()),
            }
        }
    }

    fn say(&mut self, level: &str, tokens: &TokenStream) {
        let parts = split(tokens);
        for part in &parts {
            let name = part.iter().find(|token| matches!(token, TokenTree::Ident(_)));
            let name = name.map(ToString::to_string).unwrap_or_default();
            if RESERVED.contains(&name.as_str()) {
                self.wrong.push(format!("a field has the name {name}"));
            }
        }
        let message = parts.iter().find_map(|part| match &part[..] {
            [TokenTree::Literal(literal)] => match Lit::new(literal.clone()) {
                Lit::Str(text) => Some(text.value()),
                _ => None,
            },
            _ => None,
        });
        match message {
            Some(message) if message.contains('{') => {
                self.wrong.push(format!("{message:?} has values in it"));
            }
            Some(message) if LEVELS.contains(&level) => {
                self.lines.insert((level.to_owned(), message));
            }
            Some(_) => {}
            None => self.wrong.push(format!("{level}!({tokens}) has no message")),
        }
    }
}

/// Returns the arguments of a macro.
fn split(tokens: &TokenStream) -> Vec<Vec<TokenTree>> {
    let mut parts = vec![Vec::new()];
    for token in tokens.clone() {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == ',' => parts.push(Vec::new()),
            token => parts.last_mut().expect("a part").push(token),
        }
    }
    parts
}

fn said_in(files: &[Source]) -> Said {
    let mut said = Said::default();
    for file in files {
        said.look(&file.text.parse().expect("Rust"));
    }
    said
}

/// Returns the lines of the table of messages: `| error, warn | `message` | … |`.
fn documented() -> BTreeSet<Line> {
    let page = read(&root().join("docs/logs.md")).text;
    let table = page.split("\n## Messages\n").nth(1).expect("messages");
    let rows = table.lines().filter_map(|line| {
        let (levels, rest) = line.strip_prefix("| ")?.split_once(" | `")?;
        Some((levels, rest.split_once("` | ")?.0))
    });
    rows.flat_map(|(levels, message)| {
        levels.split(", ").map(|level| (level.to_owned(), message.to_owned()))
    })
    .collect()
}

#[test]
fn every_message_is_documented_and_every_documented_one_is_said() {
    let mut files = program();
    // The simulator's messages are not for operators.
    files.retain(|file| !file.path.starts_with("src/simulator"));
    let Said { lines, mut wrong } = said_in(&files);
    let documented = documented();
    assert!(documented.len() > 20, "{documented:?}");
    wrong.extend(lines.difference(&documented).map(|line| format!("not in logs.md: {line:?}")));
    wrong.extend(documented.difference(&lines).map(|line| format!("never said: {line:?}")));
    assert_none(&wrong);
}

#[test]
fn what_is_said_is_found() {
    let text = r#"fn f() {
        tracing::warn!(a, %b, c = "no", "a message \
            on two lines");
        tracing::debug!("below");
        tracing::info!(level = 3, "bad");
        tracing::info!("bad {value}");
        select! { () = x => { tracing::error!("inside") } }
    }"#;
    let file = Source { path: "src/cache.rs".to_owned(), text: text.to_owned() };
    let Said { lines, wrong } = said_in(&[file]);
    let expected = [("error", "inside"), ("info", "bad"), ("warn", "a message on two lines")];
    assert_eq!(lines, expected.map(|(level, text)| (level.to_owned(), text.to_owned())).into());
    assert_eq!(wrong.len(), 2, "{wrong:?}");
}
