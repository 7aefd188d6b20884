//! Proves that the folder of a job over files is complete, compares two, or puts several together.
//!
//! ```sh
//! cargo run --release --features files --example verify_job -- --complete vectors
//! ```

mod command;
#[path = "../common/mod.rs"]
mod common;

use std::process::ExitCode;

fn main() -> ExitCode {
    common::main(command::verify)
}
