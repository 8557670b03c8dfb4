//! What the process asks of the system before it serves: no memory dumps, and enough files.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Keeps the process's memory, and the keys in it, out of core dumps and from debuggers of the same user.
///
/// # Errors
///
/// The kernel refuses. Systems other than Linux know nothing of it and succeed.
pub fn forbid_dumps() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    Ok(())
}

/// Raises the limit of open files as far as the system allows; where it does not, the limit stays.
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// The limit of open files leaves no room for callers' connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the limit of open files is {limit}, and {reserved} are kept for other uses: raise it (ulimit -n)"
)]
pub struct TooFewFiles {
    /// Files the process may have open.
    pub limit: u64,
    /// Files that are not for callers' connections.
    pub reserved: u32,
}

/// Returns how many of `wanted` connections the process may have, when `reserved` files are for other uses.
///
/// # Errors
///
/// There is no room for even one.
pub fn affordable_connections(wanted: u32, reserved: u32) -> Result<u32, TooFewFiles> {
    afford(wanted, reserved, getrlimit(Resource::Nofile).current)
}

/// `limit`: files the process may have open; `None` is as many as it likes.
pub(super) fn afford(wanted: u32, reserved: u32, limit: Option<u64>) -> Result<u32, TooFewFiles> {
    let Some(limit) = limit else { return Ok(wanted) };
    match limit.saturating_sub(reserved.into()) {
        0 => Err(TooFewFiles { limit, reserved }),
        room => Ok(wanted.min(u32::try_from(room).unwrap_or(u32::MAX))),
    }
}
