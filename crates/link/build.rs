//! Compiles the link protocol.

#[path = "../../proto/compile.rs"]
mod contract;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    contract::compile("../../proto", "dunlin/link/v1/link.proto")
}
