//! Scores each pair of a query and a document of a file, in bulk.
//!
//! ```sh
//! cargo run --release --example rerank -- --model ms-marco-MiniLM-L6-v2 pairs.tsv
//! ```

mod command;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/text_job.rs"]
mod text_job;

use std::process::ExitCode;

fn main() -> ExitCode {
    common::main(command::rerank)
}
