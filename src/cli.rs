//! The command line: its subcommands and exit statuses.

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

/// A gRPC gateway to Voyage AI's embeddings and rerankers: cached per input, coalesced, with every error mapped.
///
/// `demo` needs no key and no network; `serve` needs a key in `VOYAGE_API_KEY`, `VOYAGE_API_KEY_FILE` or the
/// files of `[[upstream.keys]]`.
#[derive(Debug, Parser)]
#[command(name = "voyage-gateway", version = version())]
#[command(
    after_help = "Exit status: 0 on success, 1 on failure, 2 for wrong usage or an invalid configuration or key."
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
    /// Serve gRPC. The Voyage API key comes from `VOYAGE_API_KEY`, `VOYAGE_API_KEY_FILE` or `[[upstream.keys]]`.
    Serve(ConfigArgs),
    /// Run a gateway with a simulated Voyage: a small search, timings, and grpcurl commands to copy.
    Demo(DemoArgs),
    /// Run a simulated Voyage API on loopback, with faults on demand, for tests and load runs.
    Simulate(simulate::SimulateArgs),
    /// Embed texts through a running gateway and print each vector as one line of numbers. Connects in plaintext, without
    /// a credential.
    Embed(embed::EmbedArgs),
    /// Query the health of a running gateway at its admin port; exit status 1 unless it is SERVING.
    Health(health::HealthArgs),
    /// Write the .proto files of this binary's API, or their descriptor set
    ///
    /// For code generators, and for tools when reflection is off:
    ///
    ///   voyage-gateway proto --out proto --descriptor gateway.binpb
    ///   grpcurl -protoset gateway.binpb -plaintext localhost:50051 list
    #[command(verbatim_doc_comment)]
    Proto(proto::ProtoArgs),
    /// Check a configuration and list all its problems. Needs no key, and does not read the files that the
    /// configuration names: `serve` does, and ends with status 2 if one cannot be used.
    CheckConfig(ConfigArgs),
    /// Print the effective configuration as TOML. It holds no secrets.
    PrintConfig(ConfigArgs),
    /// Read a caller's token from standard input and print its line for `auth.tokens_file`, which holds no secret
    ///
    /// Create a token with `openssl rand -base64 32`, give it to the caller, and add its line to the file:
    ///
    ///   voyage-gateway hash-token --caller search < token >> tokens
    ///
    /// Weak tokens are refused: use 32 random characters or more.
    #[command(verbatim_doc_comment)]
    HashToken(hash_token::HashTokenArgs),
}

/// The sources of the configuration; the environment overrides the file, --set overrides both.
#[derive(Clone, Debug, Args)]
struct ConfigArgs {
    /// TOML file; the default is the file that `VOYAGE_GATEWAY_CONFIG` names.
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
    /// Override one key, as in `--set server.listen=0.0.0.0:50051`. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Clone, Copy, Debug, Args)]
struct DemoArgs {
    /// Use free ports, and exit after the search instead of serving on.
    #[arg(long)]
    once: bool,
}

/// The failure of a command.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Wrong usage, or an invalid configuration or key: exit status 2.
    #[error("{0}")]
    Usage(String),
    /// A failure at run time: exit status 1.
    #[error("{0:#}")]
    Runtime(anyhow::Error),
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Usage(format!("invalid configuration:\n{problems}"))
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
            Ok(writeln!(io::stdout(), "the configuration is valid")?)
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
