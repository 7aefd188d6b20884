//! Describes a model: inputs, outputs, operators, what was fused, and which backend runs what.
//!
//! ```text
//! cargo run --release --example inspect -- MODEL [--svg OUT.svg]
//! ```
//!
//! `MODEL` is an ONNX file or a Hugging Face folder. A model that needs operators which are not supported is refused
//! with the list of them.

mod command;
#[path = "../common/mod.rs"]
mod common;

use std::process::ExitCode;

fn main() -> ExitCode {
    common::main(command::describe)
}
