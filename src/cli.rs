//! The command line: what can be run, and what it prints.

mod embed;
mod hash_token;
mod health;
mod proto;
mod serve;
mod simulate;

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use clap::{Args, Parser, Subcommand};

use crate::{
    config::{self, Config, Environment, Problems, Sources},
    demo,
};

/// Voyage AI's embeddings behind gRPC: cached per input, coalesced, every error mapped.
///
/// `demo` shows it without a key or a network; `serve` needs a key in `VOYAGE_API_KEY`, `VOYAGE_API_KEY_FILE` or the
/// files of `[[upstream.keys]]`.
#[derive(Debug, Parser)]
#[command(name = "voyage-gateway", version = version())]
#[command(
    after_help = "Exit status: 0 on success, 1 when something failed, 2 for wrong usage, configuration or key."
)]
pub struct Command {
    #[command(subcommand)]
    action: Action,
}

fn version() -> &'static str {
    use std::sync::LazyLock;
    static VERSION: LazyLock<String> =
        LazyLock::new(|| format!("{} ({})", env!("CARGO_PKG_VERSION"), crate::REVISION));
    &VERSION
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Serve gRPC, calling Voyage with the key of `VOYAGE_API_KEY` or `VOYAGE_API_KEY_FILE`, or those of
    /// `[[upstream.keys]]`.
    Serve(ConfigArgs),
    /// Show the gateway at work: a simulated Voyage, a small search, timings, and lines of grpcurl to copy.
    Demo(DemoArgs),
    /// Run a Voyage on loopback that can misbehave, for tests and load runs.
    Simulate(simulate::SimulateArgs),
    /// Embed texts through a running gateway and print one line of numbers a text. Speaks plaintext and sends no
    /// credential.
    Embed(embed::EmbedArgs),
    /// Ask a running gateway's admin port whether it serves; exit status 1 when it does not.
    Health(health::HealthArgs),
    /// Write the API's .proto files, or their descriptor set, as this very binary serves them
    ///
    /// For code generators, and for tools where reflection is off:
    ///
    ///   voyage-gateway proto --out proto --descriptor gateway.binpb
    ///   grpcurl -protoset gateway.binpb -plaintext localhost:50051 list
    #[command(verbatim_doc_comment)]
    Proto(proto::ProtoArgs),
    /// Check a configuration and list everything that is wrong with it. Needs no key, and reads none of the files
    /// that the configuration names: `serve` does, and ends with status 2 if one cannot be used.
    CheckConfig(ConfigArgs),
    /// Print the configuration in force as TOML. It holds no secrets.
    PrintConfig(ConfigArgs),
    /// Read a caller's token from standard input and print its line for `auth.tokens_file`, which holds no secret
    ///
    /// Make a token with `openssl rand -base64 32`, give it to the caller, and add its line to the file:
    ///
    ///   voyage-gateway hash-token --caller search < token >> tokens
    ///
    /// A token that could be guessed is refused: it needs 32 characters or more, as random as these.
    #[command(verbatim_doc_comment)]
    HashToken(hash_token::HashTokenArgs),
}

/// Where the configuration comes from; the environment stands between the file and --set.
#[derive(Clone, Debug, Args)]
struct ConfigArgs {
    /// TOML file; `VOYAGE_GATEWAY_CONFIG` names one, too.
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
    /// Overrides one key, as in `--set server.listen=0.0.0.0:50051`. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Clone, Copy, Debug, Args)]
struct DemoArgs {
    /// Ends after the show instead of serving on; takes free ports.
    #[arg(long)]
    once: bool,
}

/// Why a command ended badly.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration or the key is wrong: exit status 2.
    #[error("{0}")]
    Usage(String),
    /// Something failed while running: exit status 1.
    #[error("{0:#}")]
    Runtime(anyhow::Error),
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Usage(format!("the configuration is wrong\n{problems}"))
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Runtime(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Runtime(error.into())
    }
}

/// Runs a command to its end.
pub fn run(command: Command, environment: Environment) -> Result<(), Failure> {
    match command.action {
        Action::Serve(args) => serve::run(&args.sources(environment)),
        Action::Demo(args) => Ok(runtime()?.block_on(demo::run(args.once, &environment))?),
        Action::Simulate(args) => simulate::run(args),
        Action::Embed(args) => Ok(runtime()?.block_on(embed::run(args))?),
        Action::Health(args) => Ok(runtime()?.block_on(health::run(args))?),
        Action::Proto(args) => Ok(proto::run(&args)?),
        Action::CheckConfig(args) => {
            args.load(environment)?;
            Ok(writeln!(io::stdout(), "the configuration is good")?)
        }
        Action::HashToken(args) => hash_token::run(&args),
        Action::PrintConfig(args) => {
            let config = args.load(environment)?;
            Ok(io::stdout().write_all(config.to_toml().as_bytes())?)
        }
    }
}

impl ConfigArgs {
    fn sources(self, environment: Environment) -> Sources {
        Sources { file: self.config, environment, set: self.set }
    }

    fn load(self, environment: Environment) -> Result<Config, Problems> {
        config::load(&self.sources(environment))
    }
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
