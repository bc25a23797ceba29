//! Compiles the protocol between coordinator and workers; needs no `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../proto";
    let file = format!("{root}/dunlin/loadtest/v1/loadtest.proto");
    println!("cargo:rerun-if-changed={file}");
    let descriptors = protox::compile([&file], [root])?;
    tonic_prost_build::configure()
        .bytes(".")
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors)?;
    Ok(())
}
