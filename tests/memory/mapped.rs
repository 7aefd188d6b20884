//! Weights that stay in their file: the same bits as packed ones, and one copy for several processes.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use gristmill::{
    Device, ErrorKind, Precision, SessionOptions, Weights,
    text::{Embedder, EmbedderOptions},
};
#[cfg(feature = "onnx")]
use gristmill::{ImportOptions, Model};

use crate::support::{
    folder::{self, Entry, Folder, HIDDEN, Kind},
    process,
};

const TEXTS: [&str; 4] = ["mill", "milling a b c", "", "the mill by the river grinds the corn of all the village"];

fn open(path: &Path, weights: Weights, precision: Precision) -> Embedder {
    let session = SessionOptions::on(Device::Cpu).precision(precision);
    Embedder::open_with(path, &EmbedderOptions::default().session(session).weights(weights)).unwrap()
}

fn bits(embedder: &Embedder) -> Vec<u32> {
    let vectors = embedder.bulk().workers(2).map(TEXTS).flat_map(Result::unwrap);
    vectors.map(f32::to_bits).collect()
}

fn notes(embedder: &Embedder) -> Vec<String> {
    let mut results = embedder.map(TEXTS);
    assert!(results.by_ref().all(|result| result.is_ok()));
    let notes = results.report().notes;
    notes.into_iter().filter(|note| note.contains("are copied")).collect()
}

/// Has a file's numbers start at a multiple of eight bytes, as the format's own writer does, and `more` behind it.
fn align(path: &Path, more: usize) {
    let bytes = fs::read(path).unwrap();
    let (length, rest) = bytes.split_first_chunk().unwrap();
    let length = u64::from_le_bytes(*length) as usize;
    let padded = length.next_multiple_of(8) + more;
    let mut aligned = (padded as u64).to_le_bytes().to_vec();
    aligned.extend_from_slice(&rest[..length]);
    aligned.resize(8 + padded, b' ');
    aligned.extend_from_slice(&rest[length..]);
    fs::write(path, aligned).unwrap();
}

#[test]
fn mapped_weights_give_the_same_bits() {
    for kind in [Kind::Bert, Kind::Roberta, Kind::DistilBert] {
        let place = Folder::new(kind, folder::Weights::F32).temporary();
        align(&place.path().join("model.safetensors"), 0);
        for precision in [Precision::F32, Precision::Bf16] {
            let (own, mapped) =
                [Weights::Own, Weights::Mapped].map(|weights| open(place.path(), weights, precision)).into();
            assert_eq!(bits(&mapped), bits(&own), "{kind:?} {precision}");
            assert_eq!(notes(&mapped), Vec::<String>::new());
        }
    }
}

#[test]
fn what_cannot_be_used_in_place_is_copied_and_told() {
    let place = Folder::new(Kind::Bert, folder::Weights::F32).temporary();
    align(&place.path().join("model.safetensors"), 1);
    let f16 = Folder::new(Kind::Bert, folder::Weights::F16).temporary();
    for (path, why) in [(place.path(), "no multiple of four"), (f16.path(), "tensors of f16")] {
        let (own, mapped) = [Weights::Own, Weights::Mapped].map(|weights| open(path, weights, Precision::F32)).into();
        assert_eq!(bits(&mapped), bits(&own));
        assert_eq!(notes(&own), Vec::<String>::new());
        let notes = notes(&mapped);
        assert!(notes.len() == 1 && notes[0].contains(why), "{notes:?}");
    }
    let sharded = tempfile::tempdir().unwrap();
    Folder::new(Kind::Bert, folder::Weights::F32).write_sharded(sharded.path(), 3);
    for entry in fs::read_dir(sharded.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            align(&path, 0);
        }
    }
    let (own, mapped) =
        [Weights::Own, Weights::Mapped].map(|weights| open(sharded.path(), weights, Precision::F32)).into();
    assert_eq!(bits(&mapped), bits(&own));
    assert_eq!(notes(&mapped), Vec::<String>::new());
}

#[test]
fn files_that_cannot_be_mapped_are_refused() {
    let place = Folder::new(Kind::Bert, folder::Weights::F32).temporary();
    let file = place.path().join("model.safetensors");
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 100]).unwrap();
    let options = EmbedderOptions::on(Device::Cpu).weights(Weights::Mapped);
    assert_eq!(Embedder::open_with(place.path(), &options).unwrap_err().kind(), ErrorKind::InvalidModel);
    #[cfg(feature = "onnx")]
    {
        let options = ImportOptions::default().weights(Weights::Mapped);
        let model = include_bytes!("../../examples/models/magika/model.onnx");
        assert_eq!(Model::from_bytes_with(model, &options).unwrap_err().kind(), ErrorKind::Unsupported);
    }
}

/// Not a test of its own: a process that has a model open and has used it, until its input ends.
#[test]
fn child() {
    let Some(path) = env::var_os("GRISTMILL_MAPPED_MODEL") else { return };
    let weights = if env::var_os("GRISTMILL_MAPPED").is_some() { Weights::Mapped } else { Weights::Own };
    let embedder = open(Path::new(&path), weights, Precision::F32);
    println!("\nbits {:x?}", bits(&embedder));
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().lines().next();
    drop(embedder);
}

/// Ends its process however the test ends.
struct Running(Child);

impl Running {
    fn start(path: &Path, weights: Weights) -> (Self, String) {
        let mut command = process::test(module_path!(), "child");
        command.env("GRISTMILL_MAPPED_MODEL", path);
        if weights == Weights::Mapped {
            command.env("GRISTMILL_MAPPED", "1");
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let line =
            output.lines().map(Result::unwrap).find(|line| line.starts_with("bits ")).expect("a child that works");
        (Self(child), line)
    }

    /// The memory that is its own, and its share of what it has in common with others, in bytes.
    fn proportional(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What `count` processes with the model open take together.
#[cfg(target_os = "linux")]
fn together(path: &Path, weights: Weights, count: usize) -> (u64, String) {
    let (running, lines): (Vec<_>, Vec<_>) = (0..count).map(|_| Running::start(path, weights)).unzip();
    assert!(lines.iter().all(|line| *line == lines[0]));
    (running.iter().map(Running::proportional).sum(), lines[0].clone())
}

#[cfg(target_os = "linux")]
fn check_sharing(path: &Path) {
    const COUNT: usize = 4;
    let file = fs::metadata(path.join("model.safetensors")).unwrap().len();
    let (one, first) = together(path, Weights::Mapped, 1);
    let (mapped, others) = together(path, Weights::Mapped, COUNT);
    let (own, copied) = together(path, Weights::Own, COUNT);
    assert!(first == others && first == copied, "the results differ");
    let mb = |bytes: u64| bytes as f64 / 1e6;
    println!(
        "a file of {:.0} MB: one process {:.0} MB; {COUNT} processes {:.0} MB mapped, {:.0} MB with weights of their own",
        mb(file),
        mb(one),
        mb(mapped),
        mb(own)
    );
    // Each further process costs what it has besides the weights.
    let further = (mapped - one) / (COUNT as u64 - 1);
    assert!(further < file / 2, "a further process takes {further} bytes, the file has {file}");
    assert!(
        own > mapped + file * (COUNT as u64 - 2),
        "{own} bytes with weights of their own, {mapped} with mapped ones"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn processes_share_one_copy_of_a_table() {
    const ROWS: usize = 400_000;
    let mut folder = Folder::new(Kind::Bert, folder::Weights::F32);
    folder.config["max_position_embeddings"] = ROWS.into();
    let values = (0..ROWS * HIDDEN).map(|index| (index % 1013) as f32 / 1013.0 - 0.5).collect();
    let table = "embeddings.position_embeddings.weight";
    *folder.tensor(table) = Entry::new(table.into(), &[ROWS, HIDDEN], values, folder::Weights::F32);
    let place = folder.temporary();
    align(&place.path().join("model.safetensors"), 0);
    check_sharing(place.path());
}

/// The same of a real model, where there is one (`tests/setup.sh`).
#[cfg(target_os = "linux")]
#[test]
fn processes_share_one_copy_of_a_model() {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let path = env::var_os("GRISTMILL_TEST_DATA").map_or_else(default, PathBuf::from).join("minilm");
    if path.exists() {
        check_sharing(&path);
    } else {
        println!("skipped: {} is missing: run tests/setup.sh", path.display());
    }
}
