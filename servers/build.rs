//! Compiles `proto/` to Rust and to the descriptor set that reflection answers with; no `protoc` is needed.

use std::error::Error;
use std::path::PathBuf;

use prost::Message;

const ROOT: &str = "../proto";
const FILES: [&str; 5] = [
    "deltadb/main_worker.proto",
    "delta/v1/entities.proto",
    "delta/v1/databases.proto",
    "delta/v1/schemas.proto",
    "delta/v1/cluster.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={ROOT}");
    let mut descriptors = protox::compile(FILES, [ROOT])?;
    let generator = tonic_prost_build::configure()
        .build_transport(false)
        // Documents are handed on without a copy.
        .bytes(".")
        // Messages hold documents and credentials, which must not print.
        .skip_debug(["."]);
    generator.compile_fds(descriptors.clone())?;
    // The comments are in the files.
    descriptors.file.iter_mut().for_each(|file| file.source_code_info = None);
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptor.bin"), descriptors.encode_to_vec())?;
    Ok(())
}
