//! `hash-token`: a line for `auth.tokens_file`.

use std::io::{self, Read as _, Write as _};

use anyhow::Context as _;
use clap::Args;

use super::Failure;
use crate::grpc::auth::{self, NoEntry};

/// Far more than a token may have.
const MAX_BYTES: u64 = 64 * 1024;

#[derive(Debug, Args)]
pub(super) struct HashTokenArgs {
    /// The caller's name, as rules and metrics have it: 1 to 256 visible ASCII characters without `#`, and not
    /// `anonymous`, `default` or `abandoned`.
    #[arg(long, value_name = "NAME")]
    caller: String,
}

pub(super) fn run(args: &HashTokenArgs) -> Result<(), Failure> {
    let mut input = Vec::new();
    io::stdin().take(MAX_BYTES).read_to_end(&mut input).context("standard input")?;
    // What is not UTF-8 is no token, and the entry's own words say what is.
    let input = String::from_utf8(input).unwrap_or_else(|_| "\u{fffd}".to_owned());
    let token = input.strip_suffix('\n').unwrap_or(&input);
    let token = token.strip_suffix('\r').unwrap_or(token);
    match auth::entry(&args.caller, token) {
        Ok(entry) => Ok(writeln!(io::stdout(), "{entry}")?),
        Err(NoEntry::Name) => Err(Failure::Usage(format!("--caller: {}", NoEntry::Name))),
        Err(why) => Err(Failure::Runtime(why.into())),
    }
}
