//! One pool does all the work: no other threads are started.

#![cfg(all(target_os = "linux", feature = "onnx"))]

use std::{collections::BTreeSet, fs};

use gristmill::{Device, Model, SessionOptions, Tensor, Tensors, bulk::Bulk};

/// Number and name of each thread that is no worker of ours.
fn others() -> BTreeSet<(String, String)> {
    let threads = fs::read_dir("/proc/self/task").unwrap().map(|entry| {
        let entry = entry.unwrap();
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        (entry.file_name().into_string().unwrap(), name.trim().to_owned())
    });
    threads.filter(|(_, name)| !name.starts_with("mill-")).collect()
}

#[test]
fn no_thread_is_started_but_the_workers() {
    let before = others();
    let bytes = include_bytes!("../examples/models/magika/model.onnx");
    let session = Model::from_bytes(bytes).unwrap().session(&SessionOptions::on(Device::Cpu)).unwrap();
    assert_eq!(others(), before, "after loading");
    let input = Tensors::from([("bytes", Tensor::zeros(gristmill::DType::I32, [1, 2048]).unwrap())]);
    for _ in 0..3 {
        session.run(&input).unwrap();
    }
    assert_eq!(others(), before, "after single runs");
    let (results, _) = Bulk::new(session).workers(2).run(&vec![input; 8]);
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(others(), before, "after a job");
}
