#![no_main]
//! Whatever a file says of external data, nothing outside its folder is read: the file there holds zeros only, all
//! others ones.

use std::{fs, path::Path, sync::OnceLock};

use gristmill::Model;
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut len = bytes.len();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend(bytes);
    out
}

fn folder() -> &'static Path {
    static ROOT: OnceLock<TempDir> = OnceLock::new();
    let root = ROOT.get_or_init(|| {
        let root = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir_all(root.path().join("model/inner")).expect("folders");
        fs::write(root.path().join("model/w"), [0; 64]).expect("a file");
        for other in ["w", "model/inner/w"] {
            fs::write(root.path().join(other), [1; 64]).expect("a file");
        }
        root
    });
    root.path()
}

fuzz_target!(|input: (String, String, String, u8)| {
    let (location, offset, length, size) = input;
    let entry = |key: &str, value: &str| field(13, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat());
    let entries = [entry("location", &location), entry("offset", &offset), entry("length", &length)].concat();
    // dims, data_type UINT8, name, data_location EXTERNAL.
    let tensor = [vec![8, size & 0x7f, 16, 2], field(8, b"t"), vec![0x70, 1], entries].concat();
    let graph = [field(5, &tensor), field(12, &field(1, b"t"))].concat();
    let model = [vec![8, 8], field(7, &graph), field(8, &[16, 17])].concat();
    let path = folder().join("model/m.onnx");
    fs::write(&path, model).expect("a file");
    if let Ok(model) = Model::open(&path) {
        let id = model.graph().outputs()[0];
        let tensor = model.graph().constant_of(id).expect("a constant");
        assert!(tensor.bytes().iter().all(|&byte| byte == 0), "read {location:?}");
    }
});
