//! Runs folders of ONNX's backend tests: `model.onnx` and `test_data_set_*/{input,output}_*.pb`.
//!
//! ```text
//! cargo run --release --example conformance -- DIR...
//! ```
//!
//! Folders are searched to any depth. The last line is `N passed, N failed, N unsupported`; a failure makes the exit
//! code 1. The tests give a model shapes and axes as inputs of a run, where files of real models have constants;
//! cases that need them when the model is loaded get them then.

mod common;
#[path = "common/onnx_cases.rs"]
mod onnx_cases;

use std::path::PathBuf;

use common::{Common, Flag, Outcome};

const USAGE: &str = "\
usage: conformance [FLAGS] DIR...

  --why  says for every unsupported case why it is";

fn main() -> Outcome {
    let (mut folders, mut why) = (Vec::new(), false);
    let common = Common::parse(USAGE, |flag, _| {
        match flag {
            Flag::Value(path) => folders.push(PathBuf::from(path)),
            Flag::Named("why") => why = true,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    if folders.is_empty() {
        return Err(USAGE.into());
    }
    let summary = onnx_cases::run_all(&folders, &common.options())?;
    for case in summary.unsupported.iter().filter(|_| why) {
        println!("unsupported {case}");
    }
    for case in &summary.failed {
        println!("FAILED {case}");
    }
    println!("{} of the passed cases got operands when the model was loaded", summary.at_load);
    let (failed, unsupported) = (summary.failed.len(), summary.unsupported.len());
    println!("{} passed, {failed} failed, {unsupported} unsupported", summary.passed);
    std::process::exit(i32::from(failed > 0));
}
