//! Compiles `proto/` with protox, so that building needs no `protoc`.

use std::{env, error::Error, fs, path::PathBuf};

const SERVICES: [&str; 2] = ["embedding_service", "model_service"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = SERVICES.map(|name| format!("voyage/gateway/v1/{name}.proto"));

    let mut compiler = protox::Compiler::new(["proto"])?;
    // Imports make reflection complete; source info carries the comments that `grpcurl describe` shows.
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;

    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("voyage_gateway_descriptor.bin"), compiler.encode_file_descriptor_set())?;

    tonic_prost_build::configure()
        // The server's own Embedding holds ready-made little-endian bytes where clients see
        // `repeated float`: the wire is the same (src/grpc/wire.rs).
        // .extern_path(".voyage.gateway.v1.Embedding", "crate::grpc::wire::Embedding")
        .emit_rerun_if_changed(false)
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
