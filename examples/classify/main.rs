//! Finds the class of each line of a text file, in bulk.
//!
//! ```sh
//! cargo run --release --example classify -- --model distilbert-base-uncased-finetuned-sst-2-english texts.txt
//! ```

mod command;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/text_job.rs"]
mod text_job;

use std::process::ExitCode;

fn main() -> ExitCode {
    common::main(command::classify)
}
