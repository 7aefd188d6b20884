#![no_main]
//! Any checkpoint is an error, or tensors that lie within their file.

use std::fs;

use gristmill::{ErrorKind, testing::import::weight_file::WeightFile};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("pytorch_model.bin");
    fs::write(&path, bytes).expect("a file");
    match WeightFile::open(&path, 1 << 20) {
        Ok(file) => assert!(file.tensors().len() <= bytes.len()),
        Err(error) => assert_ne!(error.kind(), ErrorKind::Internal, "{error}"),
    }
});
