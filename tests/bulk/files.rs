//! Jobs over files: formats, resuming, sharing, dead letters, proofs.

mod failures;
mod formats;
mod hostile;
mod resume;
#[cfg(feature = "http")]
mod server;
#[cfg(feature = "http")]
mod stores;
#[cfg(feature = "parquet")]
mod tables;

use std::{collections::BTreeMap, fs, path::Path};

use gristmill::{
    DType, Description, Error, Inference, Result,
    bulk::{Bulk, Plain},
    files::{Cell, Column, ColumnType, FileJob, Start, Summary},
    from_fn,
};

/// What stands for a model: the length of a text, but of one with `fail` none.
fn model() -> Bulk<Plain<impl Inference<Input = String, Output = usize> + use<>>> {
    Bulk::new(from_fn(|text: &String| match text.contains("fail") {
        true => Err(Error::invalid_input("the text says so").into()),
        false => Ok(text.len()),
    }))
}

fn description() -> Description {
    let mut description = Description::default();
    description.model_fingerprint = "length".to_owned().into();
    description
}

/// A job over a file with shards of ten rows.
fn job(input: &Path, out: &Path) -> FileJob {
    FileJob::new(out, &description())
        .input(input)
        .rows_per_shard(10)
        .column(Column::new("length", ColumnType::Integer))
        .column(Column::new("vector", ColumnType::Vector { dtype: DType::F32, width: 2 }))
}

fn run(job: &FileJob) -> Result<Summary> {
    run_by(job, &model())
}

fn run_by(
    job: &FileJob,
    bulk: &Bulk<Plain<impl Inference<Input = String, Output = usize> + 'static>>,
) -> Result<Summary> {
    job.run(bulk, |row| row.text("text"), |length| Ok(cells(length)))
}

fn cells(length: usize) -> Vec<Cell> {
    let numbers = [length as f32, 0.5];
    vec![Cell::Integer(length as i64), Cell::Vector(numbers.iter().flat_map(|number| number.to_le_bytes()).collect())]
}

fn resumed(job: &FileJob) -> FileJob {
    job.clone().start(Start::Resume)
}

/// All files of a folder with their bytes.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        match path.is_dir() {
            true => files.extend(contents(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes))),
            false => drop(files.insert(name, fs::read(&path).unwrap())),
        }
    }
    files
}

/// Fails with the names of the files that differ.
fn assert_same(a: &BTreeMap<String, Vec<u8>>, b: &BTreeMap<String, Vec<u8>>) {
    let names: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
    let place = |name: &String| {
        let (a, b) = (a.get(name).map_or(&[][..], Vec::as_slice), b.get(name).map_or(&[][..], Vec::as_slice));
        (a.len(), b.len(), a.iter().zip(b).position(|(a, b)| a != b))
    };
    let differ = names.into_iter().filter(|name| a.get(*name) != b.get(*name));
    let differ: Vec<_> = differ.map(|name| (name, place(name))).collect();
    assert!(differ.is_empty(), "files, their lengths, and where they differ: {differ:?}");
}

/// A file of plain lines.
fn lines(folder: &Path, count: usize) -> std::path::PathBuf {
    let path = folder.join("texts.txt");
    let text: String = (0..count).map(|line| format!("line {line} {}\n", "x".repeat(line % 7))).collect();
    fs::write(&path, text).unwrap();
    path
}

/// The lines of all parts, in order.
fn rows(out: &Path) -> Vec<String> {
    let parts = contents(out);
    let parts = parts.iter().filter(|(name, _)| name.starts_with("part-") && !name.contains("errors"));
    parts.flat_map(|(_, bytes)| str::from_utf8(bytes).unwrap().lines().map(str::to_owned)).collect()
}
