//! Compiles `proto/` with protox, so that building needs no `protoc`, and notes the source revision.

use std::{env, error::Error, fmt::Write as _, fs, path::Path, path::PathBuf, process::Command};

use prost_types::FileDescriptorSet;

const SERVICES: [&str; 4] =
    ["embedding_service", "model_service", "rerank_service", "token_service"];

/// Messages with texts or vectors.
const SECRET: [&str; 15] = [
    "CountTokensRequest",
    "EmbedRequest",
    "EmbedResponse",
    "EmbedChunksRequest",
    "EmbedChunksResponse",
    "ChunkedDocument",
    "DocumentEmbeddings",
    "EmbedMultimodalRequest",
    "EmbedMultimodalResponse",
    "MultimodalInput",
    "ContentPart",
    "Media",
    "RerankRequest",
    "RerankResponse",
    "RerankResult",
];

fn main() -> Result<(), Box<dyn Error>> {
    note_revision();
    println!("cargo:rerun-if-changed=proto");
    let files = SERVICES.map(|name| format!("voyage/gateway/v1/{name}.proto"));

    let mut compiler = protox::Compiler::new(["proto"])?;
    // Imports make reflection complete; source info carries the comments that `grpcurl describe` shows.
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;

    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("voyage_gateway_descriptor.bin"), compiler.encode_file_descriptor_set())?;
    list_sources(&compiler.file_descriptor_set(), &out.join("voyage_gateway_sources.rs"))?;

    let mut config = prost_build::Config::new();
    // They hold texts and vectors, which no log may show; src/grpc/wire.rs says what they print instead.
    config.skip_debug(SECRET.map(|name| format!(".voyage.gateway.v1.{name}")));
    // A file is a part of the received message, not a copy of it.
    config.bytes([".voyage.gateway.v1.Media"]);
    // The codec counts the fields of nested messages by the type's name.
    config.enable_type_names();
    tonic_prost_build::configure()
        // The server's own Embedding holds ready-made little-endian bytes where clients see
        // `repeated float`: the wire is the same (src/grpc/wire.rs).
        .extern_path(".voyage.gateway.v1.Embedding", "crate::grpc::wire::Embedding")
        .codec_path("crate::grpc::codec::FieldLimitCodec")
        .emit_rerun_if_changed(false)
        .compile_fds_with_config(compiler.file_descriptor_set(), config)?;
    Ok(())
}

/// Writes an array of our own files' names and texts; what they import of Google's comes with every protoc.
fn list_sources(compiled: &FileDescriptorSet, file: &Path) -> Result<(), Box<dyn Error>> {
    let mut sources = String::from("[");
    for name in compiled.file.iter().map(prost_types::FileDescriptorProto::name) {
        if Path::new("proto").join(name).is_file() {
            let text =
                format!(r#"include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/proto/{name}"))"#);
            writeln!(sources, "({name:?}, {text}),")?;
        }
    }
    sources.push(']');
    Ok(fs::write(file, sources)?)
}

/// A build outside a repository, or without git, says "unknown"; `VOYAGE_GATEWAY_REVISION` says it for images.
fn note_revision() {
    println!("cargo:rerun-if-env-changed=VOYAGE_GATEWAY_REVISION");
    // Changes with every commit and checkout; a path that does not exist would mean "always".
    if Path::new(".git/logs/HEAD").exists() {
        println!("cargo:rerun-if-changed=.git/logs/HEAD");
    }
    let revision = env::var("VOYAGE_GATEWAY_REVISION").ok().or_else(|| {
        let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
        let hash = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| hash.trim().to_owned())
    });
    println!(
        "cargo:rustc-env=VOYAGE_GATEWAY_REVISION={}",
        revision.as_deref().unwrap_or("unknown")
    );
}
