//! Documents: every file begins with a description, and no page names a file that does not exist.

use super::{Source, assert_none, program, root, sources};

/// Folders with files that documents name.
const FOLDERS: &[&str] = &["src/", "tests/", "docs/", "proto/", "deploy/", "examples/", "benches/"];

#[test]
fn every_file_begins_with_what_it_is() {
    let wrong: Vec<String> = program()
        .iter()
        .chain(&sources("tests/it", "rs"))
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| format!("{} does not begin with //!", file.path))
        .collect();
    assert_none(&wrong);
}

/// Returns the project's pages of prose.
fn pages() -> Vec<Source> {
    let mut pages: Vec<Source> = std::fs::read_dir(root())
        .expect("the project")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| super::read(&path))
        .collect();
    if root().join("docs").is_dir() {
        pages.extend(sources("docs", "md"));
    }
    pages
}

/// Returns the project's paths that a page or a comment names, such as `src/cache.rs` or `docs/`.
fn paths_in(text: &str) -> Vec<&str> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    // A pattern (`src/*/config.rs`) or a placeholder (`src/<stage>/tests.rs`) names no file.
    let is_pattern = |c: char| matches!(c, '*' | '<' | '{' | '…' | '$');
    text.split(|c: char| !is_path(c) && !is_pattern(c))
        .filter(|word| !word.contains(is_pattern))
        .map(|word| word.trim_start_matches("./").trim_end_matches(['.', '-']))
        .filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder)))
        .collect()
}

/// Returns whether a path exists; a room may be named without its extension, as in `src/cache`.
fn exists(path: &str) -> bool {
    root().join(path).exists() || root().join(format!("{path}.rs")).exists()
}

#[test]
fn documents_name_files_that_exist() {
    let mut wrong = Vec::new();
    for page in pages() {
        let missing = paths_in(&page.text).into_iter().filter(|path| !exists(path));
        wrong.extend(missing.map(|path| format!("{} names {path}", page.path)));
    }
    assert_none(&wrong);
}

/// Returns the words in backticks that look like paths below `src/`, such as `dispatch/schedule`.
fn inner_paths_in(text: &str) -> impl Iterator<Item = &str> {
    let is_path = |word: &&str| {
        word.contains('/')
            && word.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b'/' | b'_' | b'.'))
            && word.split('/').all(|part| !part.is_empty())
    };
    text.split('`').skip(1).step_by(2).filter(is_path)
}

#[test]
fn the_architecture_names_files_that_exist() {
    let page = super::read(&root().join("ARCHITECTURE.md"));
    let is_other = |path: &str| FOLDERS.iter().any(|folder| path.starts_with(folder));
    let missing = inner_paths_in(&page.text)
        .filter(|path| !is_other(path) && !exists(path) && !exists(&format!("src/{path}")));
    assert_none(&missing.map(|path| format!("ARCHITECTURE.md names {path}")).collect::<Vec<_>>());
}

#[test]
fn comments_name_files_that_exist() {
    let mut wrong = Vec::new();
    for file in program() {
        let comments = file.text.lines().filter(|line| line.trim_start().starts_with("//"));
        for path in comments.flat_map(paths_in) {
            // Folders that do not exist yet are not checked.
            let folder = path.split('/').next().unwrap_or(path);
            if root().join(folder).is_dir() && !exists(path) {
                wrong.push(format!("{} names {path}", file.path));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn deploy_files_name_every_service() {
    let files = [
        "deploy/kustomize/components/gateway-api/route.yaml",
        "deploy/helm/voyage-gateway/templates/route.yaml",
        "deploy/client/service_config.json",
    ];
    let mut missing = Vec::new();
    for file in files {
        let text = super::read(&root().join(file)).text;
        let unnamed = voyage_gateway::grpc::SERVICES.iter().filter(|name| !text.contains(**name));
        missing.extend(unnamed.map(|name| format!("{file} does not name {name}")));
    }
    assert_none(&missing);
}

#[test]
fn paths_are_found_in_prose() {
    let text =
        "See `src/cache.rs`, [docs](docs/errors.md#x), src/*/config.rs, /usr/src/x and ./deploy/.";
    assert_eq!(paths_in(text), ["src/cache.rs", "docs/errors.md", "deploy/"]);
}
