//! Computes one vector for each image of a list, in bulk.
//!
//! ```sh
//! find photos -name '*.jpg' | cargo run --release --features vision --example embed_images -- \
//!     --model clip-vit-base-patch32 - --out vectors.npy
//! ```

#[path = "command.rs"]
mod command;
#[path = "../common/mod.rs"]
mod common;
#[path = "../embed/npy.rs"]
mod npy;
#[path = "../embed/vectors.rs"]
mod vectors;

use std::process::ExitCode;

fn main() -> ExitCode {
    common::main(command::embed)
}
