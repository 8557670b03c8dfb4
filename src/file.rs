//! Bounded reads of small regular files.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

/// The maximum size of certificates, keys and rules, in bytes. It also ends the read of an endless device.
pub const MAX_BYTES: u64 = 1024 * 1024;

/// Reads a file of at most [`MAX_BYTES`] bytes.
///
/// # Errors
///
/// The reason as text, without the path.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    read_within(path, MAX_BYTES)
}

/// Reads a file of at most `max_bytes` bytes.
///
/// # Errors
///
/// The reason as text, without the path.
pub fn read_within(path: &Path, max_bytes: u64) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| error.to_string();
    // Opening a pipe blocks until it has a writer.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err("not a regular file".to_owned());
    }
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| file.take(max_bytes + 1).read_to_end(&mut content))
        .map_err(failed)?;
    if content.len() as u64 > max_bytes {
        return Err(format!("larger than {max_bytes} bytes"));
    }
    Ok(content)
}
