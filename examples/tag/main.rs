//! Finds the entities of each line of a text file, in bulk.
//!
//! ```sh
//! cargo run --release --example tag -- --model bert-base-NER texts.txt
//! ```

mod command;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/text_job.rs"]
mod text_job;

use std::process::ExitCode;

fn main() -> ExitCode {
    common::main(command::tag)
}
