//! Reading a small file, and nothing else that a path may lead to.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

/// Bytes a file may have: certificates, keys and rules are far smaller, and `/dev/zero` is larger.
pub const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Reads a file whole, or says what is wrong with it, beginning with its path.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    content(path).map_err(|problem| format!("{}: {problem}", path.display()))
}

/// Reads a file whole, or says what is wrong with it, for whoever names the path by itself.
pub fn content(path: &Path) -> Result<Vec<u8>, String> {
    content_within(path, MAX_FILE_BYTES)
}

/// Reads a file of at most so many bytes whole, or says what is wrong with it.
pub fn content_within(path: &Path, max_bytes: u64) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| error.to_string();
    // Opening a pipe waits for its writer, perhaps for ever: look before.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err("it is not a file".to_owned());
    }
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| file.take(max_bytes + 1).read_to_end(&mut content))
        .map_err(failed)?;
    if content.len() as u64 > max_bytes {
        return Err(format!("it is larger than {max_bytes} bytes"));
    }
    Ok(content)
}

/// Reads several files; the first problem is the answer.
pub(super) fn read_all(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, String> {
    paths.iter().map(|path| read(path)).collect()
}
