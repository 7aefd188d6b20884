#![no_main]
//! Any bytes are an error or a graph that holds together.

use gristmill::{ErrorKind, Model};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match Model::from_bytes(bytes) {
        Ok(model) => model.graph().verify().expect("an imported graph holds together"),
        Err(error) => assert!(!matches!(error.kind(), ErrorKind::Internal | ErrorKind::Panic), "{error}"),
    }
});
