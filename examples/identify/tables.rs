//! Labels for the files whose paths are in tables, as a job over files.

use std::path::{Path, PathBuf};

use gristmill::{
    Inference,
    bulk::Bulk,
    files::{Cell, Column, ColumnType, Row},
};

use super::{
    common::{Common, Outcome, file_job::FileFlags},
    identifier::Identifier,
    labels::Label,
};

/// Runs the job in `--out-dir`.
pub fn identify(files: &FileFlags, common: &Common, table: &Path, column: &str) -> Outcome {
    let identifier = Identifier::load(&common.options())?;
    let columns = vec![Column::new("label", ColumnType::Text), Column::new("score", ColumnType::Float)];
    // The model is in the command itself, so there is no file of it to protect.
    let job = files.job(common, [Path::new(""), table], &identifier.describe(), columns)?.option("column", column);
    let read = |row: &Row<'_>| Ok(PathBuf::from(row.text(column)?));
    let write = |Label { label, score }: Label| Ok(vec![Cell::Text(label), Cell::Float(score)]);
    files.run(common, job, Bulk::pipeline(identifier.pipeline()), read, write)
}
