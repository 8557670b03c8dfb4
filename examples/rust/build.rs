//! Makes the client of what `voyage-gateway proto --out` writes.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto = "../../proto";
    println!("cargo:rerun-if-changed={proto}");
    let files = protox::compile(["voyage/gateway/v1/embedding_service.proto"], [proto])?;
    tonic_prost_build::configure().build_server(false).compile_fds(files)?;
    Ok(())
}
