//! Runs any ONNX model on named arrays.
//!
//! ```text
//! cargo run --release --example run -- MODEL.onnx --in IN.npz --out OUT.npz
//! ```
//!
//! An input for which the model has a default may be left out.
//!
//! `IN.npz` holds one array for each input of the model, under its name (`numpy.savez("IN.npz", input_ids=...)`);
//! `OUT.npz` gets one for each output. Strings are arrays of NumPy's type `U`; arrays of objects are refused. If the
//! model's rows are independent, they are read, run and collected in blocks; `--chunk` then sets the rows of a block,
//! and after a signal `OUT.npz` has the finished rows.

mod command;
#[path = "../common/mod.rs"]
mod common;
#[cfg(feature = "files")]
#[path = "../common/model_table.rs"]
mod model_table;

use std::process::ExitCode;

/// The C library's allocator lets threads wait for each other where one frees what another has allocated, as results are.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    common::main(command::run)
}
