//! ONNX's own tests of single operators, which `tests/setup.sh` generates, through the importer and the CPU.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use gristmill::{Device, SessionOptions, Tensor};

use crate::{
    onnx_cases::{ABSOLUTE, State, difference, run_all},
    support::onnx_writer::*,
};

/// Every case with its state, and the reason where it does not pass.
const MANIFEST: &str = include_str!("onnx_cases.txt");

/// `GRISTMILL_UPDATE=1` writes the manifest anew.
#[test]
fn every_case_is_as_the_manifest_says() {
    let data = env::var_os("GRISTMILL_TEST_DATA").map_or_else(|| "tests/data".into(), PathBuf::from);
    let folder = data.join("onnx");
    if !folder.is_dir() {
        println!("SKIPPED: {} is missing; tests/setup.sh makes it", folder.display());
        return;
    }
    let cases = run_all(std::slice::from_ref(&folder), &SessionOptions::on(Device::Cpu)).unwrap();
    let name = |case: &Path| case.strip_prefix(&folder).unwrap().to_str().unwrap().replace('\\', "/");
    let line = |(case, state): &(PathBuf, State)| match state.reason() {
        None => format!("{} {}", name(case), state.name()),
        // Without the file's path, which the reason begins with.
        Some(reason) => {
            let reason = reason.rsplit_once("model.onnx: ").map_or(reason, |(_, reason)| reason);
            format!("{} {}: {}", name(case), state.name(), reason.lines().next().unwrap_or_default())
        }
    };
    let found: Vec<String> = cases.iter().map(line).collect();
    if env::var_os("GRISTMILL_UPDATE").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/operators/onnx_cases.txt");
        fs::write(path, found.join("\n") + "\n").unwrap();
    }
    let failed: Vec<&String> = found.iter().filter(|line| line.contains(" FAILED: ")).collect();
    assert!(failed.is_empty(), "{} cases are wrong:\n{failed:#?}", failed.len());
    // Reasons may be worded anew; states may not change unrecorded.
    let states = |lines: &mut dyn Iterator<Item = &str>| -> BTreeSet<String> {
        lines.map(|line| line.split(": ").next().unwrap_or_default().to_owned()).collect()
    };
    let (known, found) = (states(&mut MANIFEST.lines()), states(&mut found.iter().map(String::as_str)));
    if env::var_os("GRISTMILL_UPDATE").is_none() {
        let (gone, new): (Vec<_>, Vec<_>) = (known.difference(&found).collect(), found.difference(&known).collect());
        assert!(gone.is_empty() && new.is_empty(), "recorded, but not so: {gone:#?}\nso, but not recorded: {new:#?}");
    }
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
        let cases = run_all(&[folder.path().to_owned()], &SessionOptions::on(Device::Cpu)).unwrap();
        cases.into_iter().map(|(_, state)| state.name()).collect::<Vec<_>>()
    };
    assert_eq!(run(floats("y", &[3, 1], &[1.0, 2.0, 3.0])), ["passed"]);
    assert_eq!(run(floats("y", &[3, 1], &[1.0, 2.0, 3.01])), ["FAILED"]);
    assert_eq!(run(floats("y", &[1, 3], &[1.0, 2.0, 3.0])), ["FAILED"]);
    assert_eq!(run(integers("y", &[3, 1], &[1, 2, 3])), ["FAILED"]);
    let nan = Tensor::new([1], &[f32::NAN]).unwrap();
    assert_eq!(difference(&nan, &nan, ABSOLUTE), None);
    assert!(difference(&nan, &Tensor::new([1], &[1f32]).unwrap(), ABSOLUTE).is_some());
}
