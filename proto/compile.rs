//! Compiles one of the contracts into the crate that is being built; needs no `protoc`. Part of the build scripts of those crates.

use std::error::Error;

/// Compiles the contract that is `file` below `root`, this folder as the crate sees it.
pub(crate) fn compile(root: &str, file: &str) -> Result<(), Box<dyn Error>> {
    let file = format!("{root}/{file}");
    println!("cargo:rerun-if-changed={file}");
    let descriptors = protox::compile([&file], [root])?;
    tonic_prost_build::configure()
        .bytes(".")
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors)?;
    Ok(())
}
