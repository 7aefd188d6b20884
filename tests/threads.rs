//! One pool does all the work: no other threads are started.

#![cfg(all(target_os = "linux", feature = "onnx"))]

use std::{
    collections::BTreeSet,
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use gristmill::{Device, Model, SessionOptions, Tensor, Tensors, bulk::Bulk};

/// Number and name of each thread that is no worker of ours.
fn others() -> BTreeSet<(String, String)> {
    // One that ends has no name any more.
    threads().into_iter().filter(|(_, name)| !name.starts_with("mill-") && !name.is_empty()).collect()
}

fn threads() -> Vec<(String, String)> {
    let threads = fs::read_dir("/proc/self/task").unwrap().map(|entry| {
        let entry = entry.unwrap();
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        (entry.file_name().into_string().unwrap(), name.trim().to_owned())
    });
    threads.collect()
}

/// The most workers at once while `work` runs, without those of before, whose ends are waited for.
fn most_workers(work: impl FnOnce()) -> usize {
    let workers = || threads().iter().filter(|(_, name)| name.starts_with("mill-worker")).count();
    let started = Instant::now();
    while workers() > 0 && started.elapsed() < Duration::from_secs(2) {
        thread::sleep(Duration::from_millis(5));
    }
    let over = AtomicBool::new(false);
    let watch = || {
        let mut most = 0;
        while !over.load(Ordering::Relaxed) {
            most = most.max(workers());
        }
        most
    };
    thread::scope(|scope| {
        let watch = thread::Builder::new().name("mill-watch".to_owned()).spawn_scoped(scope, watch).unwrap();
        work();
        over.store(true, Ordering::Relaxed);
        watch.join().unwrap()
    })
}

/// Looks more than once: a worker has its name only a moment after it was started.
fn check(before: &BTreeSet<(String, String)>, when: &str) {
    let started = Instant::now();
    while others() != *before && started.elapsed() < Duration::from_secs(2) {
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(others(), *before, "{when}");
}

#[test]
fn no_thread_is_started_but_the_workers() {
    let before = others();
    let bytes = include_bytes!("../examples/models/magika/model.onnx");
    let mut options = SessionOptions::on(Device::Cpu);
    options.workers = Some(1);
    // The budget holds for loading and single runs too.
    let of_model = most_workers(|| drop(Model::from_bytes(bytes).unwrap().session(&options).unwrap()));
    assert_eq!(of_model, 1);
    #[cfg(feature = "hugging-face")]
    {
        use gristmill::text::{Embedder, EmbedderOptions};
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/encoders/bert");
        let options = EmbedderOptions::default().session(options);
        assert_eq!(most_workers(|| drop(Embedder::open_with(folder, &options).unwrap())), 1);
    }
    let session = Model::from_bytes(bytes).unwrap().session(&SessionOptions::on(Device::Cpu)).unwrap();
    check(&before, "after loading");
    let input = Tensors::from([("bytes", Tensor::zeros(gristmill::DType::I32, [1, 2048]).unwrap())]);
    for _ in 0..3 {
        session.run(&input).unwrap();
    }
    check(&before, "after single runs");
    let (results, _) = Bulk::new(session).workers(2).run(&vec![input; 8]);
    assert!(results.iter().all(Result::is_ok));
    check(&before, "after a job");
}
