//! The file type job: labels and scores of the reference, the same bits for any way of running it, and files that are
//! no plain files.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use approx::assert_abs_diff_eq;
use gristmill::{Device, ErrorKind, KernelSet, Model, Pipeline, Precision, SessionOptions, Stage, bulk::Bulk};
use proptest::prelude::*;
use serde::Deserialize;

use crate::{
    features::{self, Features},
    identifier::Identifier,
    labels::{Label, Labels},
    support::{data, forms::forms, process::example},
};

/// What the command's cut to three decimals takes away at most.
const SCORE: f32 = 1e-3;
/// Probabilities may differ by so much from those in double precision.
const EXACT: f64 = 1e-4;

struct Golden {
    files: Vec<Vec<u8>>,
    expected: Vec<Expected>,
    /// The files that reach the model.
    model: Vec<Reference>,
}

struct Reference {
    file: usize,
    features: Vec<i32>,
    /// What ONNX Runtime says in single precision.
    single: Vec<f32>,
    /// What the model's formula says in double precision.
    exact: Vec<f64>,
}

impl Reference {
    /// How far single precision is off: the graph's variance cancels where a file is nearly all padding.
    fn error(&self) -> f32 {
        let pairs = self.single.iter().zip(&self.exact);
        pairs.fold(0.0, |most, (single, exact)| most.max((f64::from(*single) - exact).abs() as f32))
    }
}

#[derive(Debug, Deserialize)]
struct Expected {
    name: String,
    label: String,
    score: f32,
}

fn golden() -> Golden {
    let arrays = data::arrays("magika.npz");
    let content: Vec<u8> = data::elements(&arrays, "bytes");
    let offsets: Vec<i64> = data::elements(&arrays, "offsets");
    let index: Vec<i64> = data::elements(&arrays, "index");
    let features: Vec<i32> = data::elements(&arrays, "features");
    let probabilities: Vec<f32> = data::elements(&arrays, "probabilities");
    let lines = fs::read_to_string(data::golden("magika.jsonl")).unwrap();
    let exact: Vec<f64> = data::elements(&data::arrays("magika_f64.npz"), "probabilities");
    let model = index.iter().zip(features.chunks(2048)).zip(probabilities.chunks(214)).zip(exact.chunks(214));
    Golden {
        files: offsets.windows(2).map(|pair| content[pair[0] as usize..pair[1] as usize].to_vec()).collect(),
        expected: lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        model: model
            .map(|(((&file, features), single), exact)| Reference {
                file: file as usize,
                features: features.to_vec(),
                single: single.to_vec(),
                exact: exact.to_vec(),
            })
            .collect(),
    }
}

type Files = Pipeline<PathBuf, Identifier, Label>;

fn pipeline(kernel_set: KernelSet) -> Arc<Files> {
    pipeline_in(SessionOptions::on(Device::Cpu).kernel_set(kernel_set))
}

fn pipeline_in(options: SessionOptions) -> Arc<Files> {
    Arc::new(Identifier::load(&options).unwrap().pipeline())
}

/// The golden files, written out.
fn write_files(folder: &Path, golden: &Golden) -> Vec<PathBuf> {
    let files = golden.files.iter().zip(&golden.expected);
    files
        .map(|(content, expected)| {
            let path = folder.join(&expected.name);
            fs::write(&path, content).unwrap();
            path
        })
        .collect()
}

#[test]
fn labels_and_scores_are_those_of_the_reference_command() {
    let golden = golden();
    let folder = tempfile::tempdir().unwrap();
    let paths = write_files(folder.path(), &golden);
    for kernel_set in KernelSet::available() {
        // All files by the set that is chosen, and a part of them by the slower ones.
        let step = if kernel_set == KernelSet::detect() { 1 } else { 4 };
        let own: Vec<&PathBuf> = paths.iter().step_by(step).collect();
        let (results, report) = Bulk::pipeline(pipeline(kernel_set)).run(&own);
        assert_eq!(report.items, own.len());
        for (result, (index, expected)) in results.into_iter().zip(golden.expected.iter().enumerate().step_by(step)) {
            let label = result.unwrap();
            assert_eq!(label.label, expected.label, "{} on {}", expected.name, kernel_set.name());
            // The command cuts its scores to three decimals, and is itself off where the graph cancels.
            let off = golden.model.iter().find(|reference| reference.file == index).map_or(0.0, Reference::error);
            let distance = label.score - expected.score;
            let fits = (-1e-4 - off..=SCORE + 1e-4 + off).contains(&distance);
            assert!(fits, "{}: {label:?}, not {} (itself off by {off})", expected.name, expected.score);
        }
    }
}

#[test]
fn labels_in_reduced_precisions_are_those_of_the_reference_command() {
    let golden = golden();
    let folder = tempfile::tempdir().unwrap();
    let paths = write_files(folder.path(), &golden);
    let options = SessionOptions::on(Device::Cpu).precision(Precision::Bf16);
    let (results, report) = Bulk::pipeline(pipeline_in(options)).run(&paths);
    assert_eq!((report.precision.as_str(), report.errors), ("bf16", 0));
    assert_eq!(report.kernel_set, KernelSet::detect_bf16().name());
    let emulated = report.notes.iter().any(|note| note.contains("bf16 is emulated"));
    assert_eq!(emulated, !KernelSet::detect_bf16().has_bf16(), "{:?}", report.notes);
    let labels = results.into_iter().map(|label| label.unwrap().label);
    let other: Vec<_> = labels.zip(&golden.expected).filter(|(own, expected)| *own != expected.label).collect();
    assert!(other.len() * 1000 <= paths.len() * 2, "{} of {} labels differ: {other:?}", other.len(), paths.len());
    let options = SessionOptions::on(Device::Cpu).precision(Precision::Int8);
    let (results, report) = Bulk::pipeline(pipeline_in(options)).run(&paths);
    assert_eq!((report.precision.as_str(), report.errors), ("int8", 0));
    assert_eq!(report.kernel_set, KernelSet::detect_int8().name());
    let labels = results.into_iter().map(|label| label.unwrap().label);
    let other: Vec<_> = labels.zip(&golden.expected).filter(|(own, expected)| *own != expected.label).collect();
    assert!(other.len() * 1000 <= paths.len() * 5, "{} of {} labels differ: {other:?}", other.len(), paths.len());
}

#[test]
fn features_and_probabilities_are_those_of_the_reference() {
    let golden = golden();
    let config = Labels::bundled().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let paths = write_files(folder.path(), &golden);
    let bytes = include_bytes!("../../examples/models/magika/model.onnx");
    let session = Model::from_bytes(bytes).unwrap().session(&SessionOptions::on(Device::Cpu)).unwrap();
    let mut reached = Vec::new();
    for (index, path) in paths.iter().enumerate() {
        if let Features::Bytes(tensors) = features::of_path(path, config.config()).unwrap() {
            reached.push((index, tensors));
        }
    }
    let indices = |all: &[Reference]| all.iter().map(|reference| reference.file).collect::<Vec<_>>();
    assert_eq!(reached.iter().map(|(index, _)| *index).collect::<Vec<_>>(), indices(&golden.model));
    for ((index, tensors), reference) in reached.iter().zip(&golden.model) {
        let name = &golden.expected[*index].name;
        assert_eq!(tensors.get("bytes").unwrap().as_slice::<i32>().unwrap(), reference.features, "{name}");
        let outputs = session.run(tensors).unwrap();
        let own = outputs.get("target_label").unwrap().as_slice::<f32>().unwrap();
        for (own, exact) in own.iter().zip(&reference.exact) {
            assert_abs_diff_eq!(f64::from(*own), exact, epsilon = EXACT);
        }
    }
}

#[test]
fn the_model_is_rewritten_as_far_as_it_can_be() {
    let bytes = include_bytes!("../../examples/models/magika/model.onnx");
    let session = Model::from_bytes(bytes).unwrap().session(&SessionOptions::on(Device::Cpu)).unwrap();
    let left: Vec<_> =
        session.graph().nodes().iter().map(|node| node.op.def().name).filter(|name| *name != "Reshape").collect();
    assert_eq!(left, ["Gather", "LayerNormalization", "Conv", "LayerNormalization", "Linear", "Softmax"]);
    assert!(matches!(session.batching(), gristmill::testing::graph::Batching::Rows { .. }), "{:?}", session.batching());
}

/// The scores' bits, which say more than the labels.
fn bits(results: Vec<Result<Label, gristmill::ItemError>>) -> Vec<(String, u32)> {
    results.into_iter().map(|label| label.map(|label| (label.label, label.score.to_bits())).unwrap()).collect()
}

#[test]
fn the_bits_do_not_depend_on_workers_or_chunks() {
    let golden = golden();
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = write_files(folder.path(), &golden).into_iter().step_by(10).collect();
    for options in forms() {
        let pipeline = pipeline_in(options.clone());
        let alone = bits(Bulk::pipeline(pipeline.clone()).workers(1).chunk_size(1).run(&paths).0);
        for (workers, chunk) in [(1, Some(64)), (2, Some(7)), (2, None), (8, Some(1)), (8, Some(64)), (8, None)] {
            let bulk = Bulk::pipeline(pipeline.clone()).workers(workers);
            let bulk = chunk.into_iter().fold(bulk, Bulk::chunk_size);
            assert_eq!(bits(bulk.run(&paths).0), alone, "{workers} workers, chunk {chunk:?}, {options:?}");
        }
    }
}

/// Files in a folder that lasts as long, the pipeline, and what each file alone gives.
type Shuffle = (tempfile::TempDir, Vec<PathBuf>, Arc<Files>, Vec<(String, u32)>);

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_bits_do_not_depend_on_the_order(seed in any::<u64>(), chunk in 1usize..40) {
        static CASE: OnceLock<Shuffle> = OnceLock::new();
        let (_, paths, pipeline, alone) = CASE.get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let paths: Vec<PathBuf> = write_files(folder.path(), &golden()).into_iter().step_by(7).collect();
            let pipeline = pipeline(KernelSet::detect());
            let alone = bits(Bulk::pipeline(pipeline.clone()).workers(1).chunk_size(1).run(&paths).0);
            (folder, paths, pipeline, alone)
        });
        let mut order: Vec<usize> = (0..paths.len()).collect();
        order.sort_by_key(|&index| (index as u64 + 1).wrapping_mul(seed | 1).rotate_left(17));
        let shuffled: Vec<PathBuf> = order.iter().map(|&index| paths[index].clone()).collect();
        let results = bits(Bulk::pipeline(pipeline.clone()).workers(3).chunk_size(chunk).run(&shuffled).0);
        for (position, &index) in order.iter().enumerate() {
            prop_assert_eq!(&results[position], &alone[index]);
        }
    }
}

#[derive(Deserialize)]
struct Line {
    path: PathBuf,
    label: Option<String>,
    error: Option<String>,
}

#[test]
#[cfg(unix)]
fn whatever_is_below_a_folder_gives_a_line() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("empty"), b"").unwrap();
    fs::write(at("tiny"), b"ab").unwrap();
    fs::write(at("blank"), [b' '; 5000]).unwrap();
    fs::write(at("binary"), (0..5000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<_>>())
        .unwrap();
    fs::write(at("code.py"), "import os\n\ndef main():\n    print(os.getcwd())\n\n".repeat(20)).unwrap();
    fs::create_dir(at("folder")).unwrap();
    fs::write(at("folder/inside"), b"").unwrap();
    symlink(at("nowhere"), at("dangling")).unwrap();
    symlink(at("loop-b"), at("loop-a")).unwrap();
    symlink(at("loop-a"), at("loop-b")).unwrap();
    symlink(folder.path(), at("folder/parent")).unwrap();
    fs::write(at("unreadable"), b"secret secret secret").unwrap();
    fs::set_permissions(at("unreadable"), fs::Permissions::from_mode(0o000)).unwrap();
    assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    let out = at("folder").with_extension("jsonl");
    let started = Instant::now();
    let run = example("identify").arg(folder.path()).arg(at("vanished")).arg("--jsonl").arg(&out).output().unwrap();
    assert_eq!(run.status.code(), Some(3), "{}", String::from_utf8_lossy(&run.stderr));
    assert!(started.elapsed() < Duration::from_secs(60));
    let lines: Vec<Line> =
        fs::read_to_string(&out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line.path.extension().is_none_or(|kind| kind != "part")), "it met itself");
    let find =
        |name: &str| lines.iter().find(|line| line.path == at(name)).unwrap_or_else(|| panic!("no line for {name}"));
    for (name, label) in [
        ("empty", "empty"),
        ("tiny", "txt"),
        ("blank", "txt"),
        ("code.py", "python"),
        ("folder", "directory"),
        ("folder/inside", "empty"),
        ("folder/parent", "directory"),
        ("pipe", "unknown"),
    ] {
        assert_eq!(find(name).label.as_deref(), Some(label), "{name}");
    }
    assert!(find("binary").label.is_some());
    for name in ["dangling", "loop-a", "loop-b", "vanished"] {
        assert!(find(name).error.is_some() && find(name).label.is_none(), "{name}");
    }
    // The superuser reads everything.
    let unreadable = find("unreadable");
    assert!(unreadable.error.is_some() || fs::read(at("unreadable")).is_ok());
}

#[test]
fn a_file_that_vanishes_is_its_own_error() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [folder.path().join("here"), folder.path().join("gone")];
    fs::write(&paths[0], b"#!/bin/sh\necho hello world, this is a shell script\n").unwrap();
    let (results, report) = Bulk::pipeline(pipeline(KernelSet::detect())).run(&paths);
    assert!(results[0].is_ok());
    let error = results[1].as_ref().unwrap_err();
    assert_eq!((error.index, error.stage, error.source.kind()), (1, Stage::Prepare, ErrorKind::Io));
    assert_eq!(report.errors, 1);
}
