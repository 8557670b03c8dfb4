//! Process limits: no core dumps, enough file descriptors.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Disables core dumps and debuggers of the same user, which would reveal API keys. Does nothing except on Linux.
///
/// # Errors
///
/// The kernel refuses.
pub fn forbid_dumps() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    Ok(())
}

/// Raises the limit of open files to its hard limit, if permitted.
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// The limit of open files leaves none for the gRPC port's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the limit of open files is {limit}, of which {reserved} are reserved: raise it (ulimit -n)"
)]
pub struct TooFewFiles {
    /// The limit of the process.
    pub limit: u64,
    /// Files reserved for other uses.
    pub reserved: u32,
}

/// Returns `wanted`, or the connections that the limit of open files allows beside `reserved` files, if fewer.
///
/// # Errors
///
/// The limit allows none.
pub fn affordable_connections(wanted: u32, reserved: u32) -> Result<u32, TooFewFiles> {
    afford(wanted, reserved, getrlimit(Resource::Nofile).current)
}

/// As [`affordable_connections`], with the limit of open files; `None`: unlimited.
pub(super) fn afford(wanted: u32, reserved: u32, limit: Option<u64>) -> Result<u32, TooFewFiles> {
    let Some(limit) = limit else { return Ok(wanted) };
    match limit.saturating_sub(reserved.into()) {
        0 => Err(TooFewFiles { limit, reserved }),
        room => Ok(wanted.min(u32::try_from(room).unwrap_or(u32::MAX))),
    }
}
