//! Vectors for the rows of tables, as a job over files.

use std::path::Path;

use gristmill::{
    DType,
    files::{Cell, Column, ColumnType, Row},
    text::{Embedded, Embedder, Quantizer, VectorFormat},
};

use crate::{
    Arguments,
    common::{Common, Failure, Outcome},
    npy::read_ranges,
};

/// Runs the job in `--out-dir`.
pub fn embed(arguments: &Arguments, common: &Common, paths: [&Path; 2]) -> Outcome {
    let Arguments { out, facts, write_ranges, ranges, format, name, options, files, .. } = arguments;
    if out.is_some() || facts.is_some() || write_ranges.is_some() {
        let message = "--out, --facts and --write-ranges are not for --out-dir, whose parts have tokens and truncated";
        return Err(Failure::usage(format!("{message}; see --help")));
    }
    if format.needs_ranges() != ranges.is_some() {
        return Err(Failure::usage(
            "--output int8 or uint8 and --ranges FILE.npy go together with --out-dir; see --help",
        ));
    }
    let embedder = Embedder::open_with(paths[0], &options.clone().session(common.options()))?;
    let width = embedder.dimension();
    let ranges = ranges.as_deref().map(|path| read_ranges(path, width)).transpose()?;
    let quantizer = Quantizer::new(*format, ranges.as_ref())?;
    let (dtype, width) = match format {
        VectorFormat::F32 => (DType::F32, width),
        VectorFormat::F16 => (DType::F16, width),
        VectorFormat::Int8 | VectorFormat::Binary => (DType::I8, format.bytes(width)),
        VectorFormat::Uint8 | VectorFormat::Ubinary => (DType::U8, format.bytes(width)),
    };
    let columns = vec![
        Column::new("vector", ColumnType::Vector { dtype, width }),
        Column::new("tokens", ColumnType::Integer),
        Column::new("truncated", ColumnType::Bool),
    ];
    let name = name.as_deref().unwrap_or("text");
    let mut job = files.job(common, paths, &embedder.describe(), columns)?;
    job = job.option("column", name).option("output", format!("{format:?}"));
    if let Some(ranges) = &ranges {
        job = job.option("ranges", format!("{:?} {:?}", ranges.least(), ranges.most()));
    }
    let write = |Embedded { vector, tokens, truncated, .. }: Embedded| {
        let mut bytes = Vec::with_capacity(quantizer.format().bytes(vector.len()));
        quantizer.append(&vector, &mut bytes)?;
        Ok(vec![Cell::Vector(bytes), Cell::Integer(tokens as i64), Cell::Bool(truncated)])
    };
    files.run(common, job, embedder.detailed(), |row: &Row<'_>| row.text(name), write)
}
