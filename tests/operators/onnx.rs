//! ONNX's own tests of single operators, which `tests/setup.sh` generates, through the importer and the CPU.

use std::{env, fs, path::PathBuf};

use gristmill::{Device, SessionOptions, Tensor};

use crate::{
    onnx_cases::{difference, run_all},
    support::onnx_writer::*,
};

/// At least so many cases pass. The number may only grow.
const PASSED: usize = 600;

#[test]
fn generated_cases_agree() {
    let data = env::var_os("GRISTMILL_TEST_DATA").map_or_else(|| "tests/data".into(), PathBuf::from);
    let folder = data.join("onnx");
    if !folder.is_dir() {
        println!("SKIPPED: {} is missing; tests/setup.sh makes it", folder.display());
        return;
    }
    let summary = run_all(&[folder], &SessionOptions::on(Device::Cpu)).unwrap();
    println!("{} passed, {} unsupported", summary.passed, summary.unsupported.len());
    assert!(summary.failed.is_empty(), "{} failed:\n{}", summary.failed.len(), summary.failed.join("\n"));
    assert!(summary.passed >= PASSED, "only {} passed", summary.passed);
}

#[test]
fn a_wrong_output_fails() {
    let folder = tempfile::tempdir().unwrap();
    let set = folder.path().join("case/test_data_set_0");
    fs::create_dir_all(&set).unwrap();
    fs::write(folder.path().join("case/model.onnx"), transposing().bytes()).unwrap();
    fs::write(set.join("input_0.pb"), floats("x", &[1, 3], &[1.0, 2.0, 3.0]).0).unwrap();
    let run = |output: Message| {
        fs::write(set.join("output_0.pb"), output.0).unwrap();
        let summary = run_all(&[folder.path().to_owned()], &SessionOptions::on(Device::Cpu)).unwrap();
        (summary.passed, summary.failed.len(), summary.unsupported.len())
    };
    assert_eq!(run(floats("y", &[3, 1], &[1.0, 2.0, 3.0])), (1, 0, 0));
    assert_eq!(run(floats("y", &[3, 1], &[1.0, 2.0, 3.01])), (0, 1, 0));
    assert_eq!(run(floats("y", &[1, 3], &[1.0, 2.0, 3.0])), (0, 1, 0));
    assert_eq!(run(integers("y", &[3, 1], &[1, 2, 3])), (0, 1, 0));
    let nan = Tensor::new([1], &[f32::NAN]).unwrap();
    assert_eq!(difference(&nan, &nan), None);
    assert!(difference(&nan, &Tensor::new([1], &[1f32]).unwrap()).is_some());
}
