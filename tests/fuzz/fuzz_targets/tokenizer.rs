#![no_main]
//! Any tokenizer.json, with any settings beside it, is an error or a tokenizer that panics on no text.

use std::fs;

use gristmill::{ErrorKind, text::TextTokenizer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|files: (&[u8], &[u8], &[u8], &str)| {
    let (tokenizer, config, special, text) = files;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).expect("a file");
    write("tokenizer.json", tokenizer);
    for (name, bytes) in [("tokenizer_config.json", config), ("special_tokens_map.json", special)] {
        if !bytes.is_empty() {
            write(name, bytes);
        }
    }
    match TextTokenizer::open(&folder.path().join("tokenizer.json"), 16) {
        Ok(tokenizer) => drop(tokenizer.encode(text)),
        Err(error) => assert_ne!(error.kind(), ErrorKind::Internal, "{error}"),
    }
});
