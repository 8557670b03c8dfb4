//! `proto`: writes the API's definition.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;

use crate::grpc::v1;

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct ProtoArgs {
    /// The directory to write the .proto files to, as `voyage/gateway/v1/….proto`; use it as `protoc -I`. It is created if
    /// needed; files of these names are replaced.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The file to write the descriptor set to, with imports and comments; it is replaced.
    #[arg(long, value_name = "FILE")]
    descriptor: Option<PathBuf>,
}

/// Writes the files, and prints nothing.
pub(super) fn run(args: &ProtoArgs) -> anyhow::Result<()> {
    if let Some(directory) = &args.out {
        for (name, text) in v1::SOURCES {
            let file = directory.join(name);
            let parent = file.parent().unwrap_or(directory);
            fs::create_dir_all(parent)
                .with_context(|| format!("cannot create {} (--out)", parent.display()))?;
            write(&file, text.as_bytes(), "--out")?;
        }
    }
    if let Some(file) = &args.descriptor {
        write(file, v1::FILE_DESCRIPTOR_SET, "--descriptor")?;
    }
    Ok(())
}

fn write(file: &Path, content: &[u8], option: &str) -> anyhow::Result<()> {
    fs::write(file, content).with_context(|| format!("cannot write {} ({option})", file.display()))
}
