//! The two jobs as wholes, in items a second: `cargo bench --bench jobs`, after `tests/setup.sh`.

#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

#[path = "../examples/identify/features.rs"]
mod features;
#[path = "../examples/identify/identifier.rs"]
mod identifier;
#[path = "../examples/identify/labels.rs"]
mod labels;

use std::{env, fs, path::PathBuf};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gristmill::{Device, SessionOptions, bulk::Bulk, text::Embedder};
use identifier::Identifier;

/// The folder that `tests/setup.sh` fills.
fn data() -> PathBuf {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    env::var_os("GRISTMILL_TEST_DATA").map_or_else(default, PathBuf::from)
}

fn identify(criterion: &mut Criterion) {
    // The crate's own sources stand for a folder of files.
    let sources = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/ops");
    let entries = fs::read_dir(sources).expect("the sources are there").flatten();
    let paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    let identifier = Identifier::load(&SessionOptions::on(Device::Cpu)).expect("the model is bundled");
    let bulk = Bulk::pipeline(identifier.pipeline());
    let mut group = criterion.benchmark_group("identify");
    group.sample_size(10).throughput(Throughput::Elements(paths.len() as u64));
    group.bench_function("sources", |bencher| bencher.iter(|| bulk.run(&paths)));
    group.finish();
}

fn embed(criterion: &mut Criterion) {
    let folder = data().join("minilm");
    let Ok(embedder) = Embedder::open(&folder, Device::Cpu) else {
        eprintln!("embed: left out, {} is missing: run tests/setup.sh", folder.display());
        return;
    };
    let glosses = fs::read_to_string(data().join("glosses.txt")).expect("tests/setup.sh made it with the model");
    let texts: Vec<&str> = glosses.lines().take(500).collect();
    let mut group = criterion.benchmark_group("embed");
    group.sample_size(10).throughput(Throughput::Elements(texts.len() as u64));
    group.bench_function("500 glosses", |bencher| bencher.iter(|| embedder.embed(&texts)));
    group.finish();
}

criterion_group!(benches, identify, embed);
criterion_main!(benches);
