//! The rules of the code: imports, sizes, and documents that match.
//!
//! A rule that fails here is either broken by the code, or wrong: then change it here and in `ARCHITECTURE.md`
//! in the same commit.

mod documents;
mod files;
mod imports;
mod logs;
mod paths;
mod size;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A file of the project.
pub(crate) struct Source {
    /// Relative to the project, with slashes.
    path: String,
    pub(crate) text: String,
}

impl Source {
    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the Rust files of the program, its unit tests apart.
fn program() -> Vec<Source> {
    let mut files = sources("src", "rs");
    files.retain(|file| !file.is_test());
    assert!(files.len() > 40, "only {} files below src/", files.len());
    files
}

/// Returns the files below `folder` with this extension, in order of their paths.
pub(crate) fn sources(folder: &str, extension: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(read(&path));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn read(path: &PathBuf) -> Source {
    let relative = path.strip_prefix(root()).expect("a path of the project");
    let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
    Source { path: parts.join("/"), text: fs::read_to_string(path).expect("a text") }
}

/// Fails with everything that was found, one a line.
#[track_caller]
fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}
