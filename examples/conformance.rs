//! Runs folders of ONNX backend tests: `model.onnx` and `test_data_set_*/{input,output}_*.pb`.
//!
//! ```text
//! cargo run --release --example conformance -- DIR...
//! ```
//!
//! Folders are searched to any depth. The last line is `N passed, N failed, N unsupported`; the exit code is 3
//! after a failure. The tests pass shapes and axes as inputs of a run, where real models have constants; a case that
//! needs them when the model is loaded gets them then.

mod common;
#[path = "common/onnx_cases.rs"]
mod onnx_cases;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use common::{Common, Failure, Flag, Outcome, one_line, plain_path};
use lexopt::Parser;
use onnx_cases::State;

const USAGE: &str = "\
usage: conformance [FLAGS] DIR...

  --why  prints the reason for every unsupported case";

fn main() -> ExitCode {
    common::main(conformance)
}

fn conformance(command_line: Parser) -> Outcome {
    let (mut folders, mut why) = (Vec::new(), false);
    let common = Common::parse(command_line, USAGE, |flag, _| {
        match flag {
            Flag::Value(path) => folders.push(PathBuf::from(path)),
            Flag::Named("why") => why = true,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    if folders.is_empty() {
        return Err(Failure::usage(USAGE));
    }
    let cases = onnx_cases::run_all(&folders, &common.options())?;
    let count = |name: &str| cases.iter().filter(|(_, state)| state.name() == name).count();
    let [passed, at_load, at_random, failed, unsupported] =
        ["passed", "passed-at-load", "passed-at-random", "FAILED", "unsupported"].map(count);
    let mut out = io::stdout();
    for (case, state) in &cases {
        let told = why || matches!(state, State::Failed(_));
        if let Some(reason) = state.reason().filter(|_| told) {
            writeln!(out, "{} {}: {}", state.name(), plain_path(case), one_line(reason))?;
        }
    }
    writeln!(out, "{at_load} of the passed cases got operands when the model was loaded")?;
    if at_random > 0 {
        writeln!(out, "{at_random} of the passed cases draw random numbers: their types and shapes were compared")?;
    }
    writeln!(out, "{} passed, {failed} failed, {unsupported} unsupported", passed + at_load + at_random)?;
    Ok(common.code(failed > 0))
}
