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

/// The C library's allocator lets threads wait for each other where one frees what another has allocated, as results are.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    common::main(command::embed)
}
