//! The `voyage-gateway` command.

use std::{
    env,
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;
use voyage_gateway::cli::{self, Command, Failure};

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command = Command::parse();
    // The environment is read only here.
    match cli::run(command, env::vars_os().collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Standard error may be closed.
            let _ = writeln!(io::stderr(), "voyage-gateway: {failure}");
            match failure {
                Failure::Usage(_) => ExitCode::from(2),
                Failure::Runtime(_) => ExitCode::FAILURE,
            }
        }
    }
}
