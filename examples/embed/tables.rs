//! Vectors for the rows of tables, as a job over files.

use std::path::Path;

use gristmill::{
    DType, Result,
    files::{Cell, Column, ColumnType, FileJob, Row},
    text::{Embedded, Embedder, Quantizer, Ranges, VectorFormat},
};

use super::{
    Arguments,
    common::{Common, Failure, Outcome},
    npy::read_ranges,
};

/// Runs the job in `--out-dir`.
pub(super) fn embed(arguments: &Arguments, common: &Common, paths: [&Path; 2]) -> Outcome {
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
    let ranges = ranges.as_deref().map(|path| read_ranges(path, embedder.dimension())).transpose()?;
    let table = Table::new(*format, ranges, embedder.dimension())?;
    let name = name.as_deref().unwrap_or("text");
    let job = files.job(common, paths, &embedder.describe(), table.columns())?;
    let write = |embedded| table.cells(&embedded);
    files.run(common, table.options(job, name), embedder.detailed(), |row: &Row<'_>| row.text(name), write)
}

/// What such a job writes.
pub struct Table {
    quantizer: Quantizer,
    ranges: Option<Ranges>,
    width: usize,
}

impl Table {
    /// Vectors of `width` numbers in `format`.
    pub fn new(format: VectorFormat, ranges: Option<Ranges>, width: usize) -> Result<Self> {
        Ok(Self { quantizer: Quantizer::new(format, ranges.as_ref())?, ranges, width })
    }

    /// The columns.
    pub fn columns(&self) -> Vec<Column> {
        let format = self.quantizer.format();
        let (dtype, width) = match format {
            VectorFormat::F32 => (DType::F32, self.width),
            VectorFormat::F16 => (DType::F16, self.width),
            VectorFormat::Int8 | VectorFormat::Binary => (DType::I8, format.bytes(self.width)),
            VectorFormat::Uint8 | VectorFormat::Ubinary => (DType::U8, format.bytes(self.width)),
        };
        vec![
            Column::new("vector", ColumnType::Vector { dtype, width }),
            Column::new("tokens", ColumnType::Integer),
            Column::new("truncated", ColumnType::Bool),
        ]
    }

    /// The job with all options on which its output depends; `column` has the texts.
    pub fn options(&self, job: FileJob, column: &str) -> FileJob {
        let job = job.option("column", column).option("output", format!("{:?}", self.quantizer.format()));
        match &self.ranges {
            Some(ranges) => job.option("ranges", format!("{:?} {:?}", ranges.least(), ranges.most())),
            None => job,
        }
    }

    /// The values of the columns.
    pub fn cells(&self, embedded: &Embedded) -> Result<Vec<Cell>> {
        let mut bytes = Vec::with_capacity(self.quantizer.format().bytes(embedded.vector.len()));
        self.quantizer.append(&embedded.vector, &mut bytes)?;
        Ok(vec![Cell::Vector(bytes), Cell::Integer(embedded.tokens as i64), Cell::Bool(embedded.truncated)])
    }
}
