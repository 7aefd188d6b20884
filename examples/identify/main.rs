//! Identifies the types of files with the bundled model, in bulk.
//!
//! `cargo run --release --example identify -- PATH...` prints one line per item; `--jsonl OUT` writes JSON lines instead.

#[path = "command.rs"]
mod command;
#[path = "../common/mod.rs"]
mod common;

use std::process::ExitCode;

fn main() -> ExitCode {
    common::main(command::identify)
}
