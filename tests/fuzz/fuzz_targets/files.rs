#![no_main]
//! Any bytes as an input of a job over files, in each format, are an error or rows, and no panic.

use std::fs;

use gristmill::{
    Description, ErrorKind,
    bulk::Bulk,
    files::{Cell, Column, ColumnType, FileJob, Keep, verify_complete},
    from_fn,
};
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 8] = ["a.txt", "a.jsonl", "a.csv", "a.tsv", "a.jsonl.gz", "a.csv.zst", "a.parquet", "a.arrow"];

fuzz_target!(|input: (u8, &[u8])| {
    let (format, bytes) = input;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (path, out) = (folder.path().join(NAMES[usize::from(format) % NAMES.len()]), folder.path().join("out"));
    fs::write(&path, bytes).expect("a file");
    let job = FileJob::new(&out, &Description::default())
        .input(&path)
        .rows_per_shard(3)
        .longest_row(1000)
        .keep(Keep::Nothing)
        .column(Column::new("length", ColumnType::Integer));
    let lengths = Bulk::new(from_fn(|text: &String| Ok(text.len() as i64))).workers(1);
    match job.run(&lengths, |row| row.text("text"), |length| Ok(vec![Cell::Integer(length)])) {
        Ok(summary) => assert_eq!(verify_complete(&out).expect("a whole folder").rows, summary.rows),
        Err(error) => assert_ne!(error.kind(), ErrorKind::Internal, "{error}"),
    }
});
