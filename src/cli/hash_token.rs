//! `hash-token`: prints a line for `auth.tokens_file`.

use std::io::{self, Read as _, Write as _};

use anyhow::Context as _;
use clap::Args;

use super::Failure;
use crate::grpc::auth::{self, NoEntry};

/// The bytes read of standard input: far more than a token may have.
const MAX_BYTES: u64 = 64 * 1024;

#[derive(Debug, Args)]
pub(super) struct HashTokenArgs {
    /// The caller's name in rules and metrics: 1 to 256 visible ASCII characters without `#`, and not
    /// `anonymous`, `default` or `abandoned`.
    #[arg(long, value_name = "NAME")]
    caller: String,
}

pub(super) fn run(args: &HashTokenArgs) -> Result<(), Failure> {
    let mut input = Vec::new();
    io::stdin().take(MAX_BYTES).read_to_end(&mut input).context("standard input")?;
    // A token is ASCII: the entry refuses this one with its own message.
    let input = String::from_utf8(input).unwrap_or_else(|_| "\u{fffd}".to_owned());
    let token = input.strip_suffix('\n').unwrap_or(&input);
    let token = token.strip_suffix('\r').unwrap_or(token);
    match auth::entry(&args.caller, token) {
        Ok(entry) => Ok(writeln!(io::stdout(), "{entry}")?),
        Err(NoEntry::Name) => Err(Failure::Usage(format!("--caller: {}", NoEntry::Name))),
        Err(why) => Err(Failure::Runtime(why.into())),
    }
}
