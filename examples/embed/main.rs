//! Computes one vector for each line of a text file, in bulk.
//!
//! ```sh
//! cargo run --release --example embed -- --model all-MiniLM-L6-v2 texts.txt --out vectors.npy
//! ```

#[path = "command.rs"]
mod command;
#[path = "../common/mod.rs"]
mod common;

use std::process::ExitCode;

fn main() -> ExitCode {
    common::main(command::embed)
}
