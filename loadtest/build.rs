//! Compiles the protocol between coordinator and workers.

#[path = "../proto/compile.rs"]
mod contract;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    contract::compile("../proto", "dunlin/loadtest/v1/loadtest.proto")
}
