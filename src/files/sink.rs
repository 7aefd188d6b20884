//! Writers of parts, one for each format.

#[cfg(feature = "parquet")]
pub(in crate::files) mod columns;
pub(in crate::files) mod jsonl;
pub(in crate::files) mod npy;
#[cfg(feature = "parquet")]
pub(in crate::files) mod table;

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek},
    sync::Arc,
};

use crate::{
    error::{Error, Result},
    files::{
        cell::{Cell, Column},
        format::Format,
        record::Record,
    },
};

/// Which columns of the inputs are written before those of the job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Keep {
    /// All of them, unchanged.
    #[default]
    All,
    /// None.
    Nothing,
    /// Those of these names.
    Only(Vec<String>),
}

/// What the parts of a job hold.
#[derive(Clone, Debug)]
pub(in crate::files) struct Shape {
    pub(in crate::files) format: Format,
    pub(in crate::files) columns: Arc<[Column]>,
    pub(in crate::files) keep: Arc<Keep>,
    /// The columns of the inputs that are kept, where they have types.
    #[cfg(feature = "parquet")]
    pub(in crate::files) carried: arrow_schema::SchemaRef,
    /// What the output depends on beside the inputs, as JSON.
    #[cfg(feature = "parquet")]
    pub(in crate::files) settings: Arc<str>,
}

/// A part under construction.
pub(in crate::files) trait Sink {
    /// Encodes a row; `record` is absent if its columns could not be read.
    ///
    /// # Errors
    /// If the row has no place in the format; it is as if it had not been given.
    fn encode(&mut self, record: Option<&Record>, cells: &[Cell]) -> Result<()>;

    /// Writes the row that was encoded last.
    ///
    /// # Errors
    /// If the file cannot be written.
    fn commit(&mut self) -> io::Result<()>;

    /// Writes a row as an earlier part of this format has it.
    ///
    /// # Errors
    /// If the file cannot be written.
    fn copy(&mut self, row: &[u8]) -> io::Result<()>;

    /// Writes the end.
    ///
    /// # Errors
    /// If the file cannot be written.
    fn finish(self: Box<Self>) -> io::Result<File>;
}

/// Begins a part in a file.
pub(in crate::files) fn begin(shape: &Shape, file: File) -> io::Result<Box<dyn Sink>> {
    Ok(match shape.format {
        Format::Npy => Box::new(npy::NpySink::begin(shape, file)?),
        #[cfg(feature = "parquet")]
        Format::Parquet | Format::Arrow => Box::new(table::TableSink::begin(shape, file)?),
        _ => Box::new(jsonl::JsonSink::new(shape, file)),
    })
}

/// Refuses a format that cannot hold the columns.
pub(in crate::files) fn check(format: Format, columns: &[Column]) -> Result<()> {
    match format {
        Format::Npy => npy::vectors(columns).map(drop),
        #[cfg(feature = "parquet")]
        Format::Parquet | Format::Arrow => columns::check(columns),
        format if format.is_table() => Err(Error::invalid_input(format!("{format} needs the feature `parquet`"))),
        format if format.is_written() => Ok(()),
        format => Err(Error::invalid_input(format!("{format} is only read; write another format"))),
    }
}

/// The number of rows of a finished part.
pub(in crate::files) fn count(file: File, format: Format) -> io::Result<u64> {
    #[cfg(feature = "parquet")]
    if format.is_table() {
        return table::count(file, format);
    }
    let (mut rows, mut row, mut count) = (OldRows::new(file, format)?, Vec::new(), 0);
    while rows.next(&mut row)?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// The rows of a finished part, one after another, as [`Sink::copy`] takes them.
pub(in crate::files) struct OldRows {
    file: BufReader<File>,
    /// Bytes of a row; lines if there is none.
    width: Option<usize>,
}

impl OldRows {
    pub(in crate::files) fn new(mut file: File, format: Format) -> io::Result<Self> {
        file.rewind()?;
        let mut file = BufReader::new(file);
        let width = match format {
            Format::Npy => Some(npy::read_header(&mut file)?.1),
            _ => None,
        };
        Ok(Self { file, width })
    }

    /// The next row; `None` at the end.
    pub(in crate::files) fn next(&mut self, row: &mut Vec<u8>) -> io::Result<Option<()>> {
        row.clear();
        let more = match self.width {
            None => self.file.read_until(b'\n', row)? > 0,
            Some(width) => self.file.by_ref().take(width as u64).read_to_end(row)? > 0,
        };
        let is_whole = match self.width {
            None => row.last() == Some(&b'\n'),
            Some(width) => row.len() == width,
        };
        match (more, is_whole) {
            (false, _) => Ok(None),
            (true, true) => Ok(Some(())),
            (true, false) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a row is cut off")),
        }
    }
}
