//! Readers of inputs: how rows are cut into shards, and read again.

#[cfg(feature = "parquet")]
mod messages;
#[cfg(feature = "parquet")]
mod page_header;
#[cfg(feature = "parquet")]
mod pages;
pub(in crate::files) mod split;
pub(in crate::files) mod stream;
#[cfg(feature = "parquet")]
pub(in crate::files) mod table;
pub(in crate::files) mod text;

use crate::{
    bulk::CancelToken,
    error::{Error, Result},
    files::{
        format::Format,
        inputs::Input,
        plan::{MOST_SHARDS, Shard},
        record::{Record, TEXT},
    },
};

/// A row that was read, or why it could not be.
#[derive(Debug)]
pub(in crate::files) enum Reading {
    Row(Record),
    /// The bytes of the row, or the first of them.
    Bad(Error, Vec<u8>),
}

/// The rows of an input, from any shard on.
pub(in crate::files) trait Reader {
    /// Goes to the first row of a shard; cheap if it follows the one that was read last.
    ///
    /// # Errors
    /// If the file cannot be read.
    fn seek(&mut self, shard: &Shard) -> Result<()>;

    /// The next row; `None` at the end of the file.
    ///
    /// # Errors
    /// If the file cannot be read, so that no further row can be.
    fn next(&mut self) -> Result<Option<Reading>>;
}

/// How an input is cut into shards.
#[derive(Clone, Copy, Debug)]
pub(in crate::files) struct Cut {
    /// Rows of a shard, at most.
    pub(in crate::files) rows: u64,
    /// Bytes of the longest row.
    pub(in crate::files) longest: usize,
}

/// Opens an input.
pub(in crate::files) fn open(input: &Input, longest: usize) -> Result<Box<dyn Reader>> {
    #[cfg(feature = "parquet")]
    if input.format.is_table() {
        return Ok(Box::new(table::TableReader::open(input)?));
    }
    Ok(Box::new(text::TextReader::open(input, longest)?))
}

/// The names of the columns of an input; `None` if each row has its own.
pub(in crate::files) fn names(input: &Input, cut: Cut) -> Result<Option<Vec<String>>> {
    Ok(match input.format {
        Format::Lines => Some(vec![TEXT.to_owned()]),
        Format::Csv | Format::Tsv => Some(text::TextReader::open(input, cut.longest)?.header()),
        #[cfg(feature = "parquet")]
        Format::Parquet | Format::Arrow => {
            let reader = table::TableReader::open(input)?;
            Some(reader.schema().fields().iter().map(|field| field.name().clone()).collect())
        }
        _ => None,
    })
}

/// Cuts the input that is number `index` of a job.
pub(in crate::files) fn cut(input: &Input, index: usize, cut: Cut, cancel: &CancelToken) -> Result<Vec<Shard>> {
    #[cfg(feature = "parquet")]
    if input.format.is_table() {
        return table::cut(input, index, cut, cancel);
    }
    let shards = text::cut(input, index, cut, cancel)?;
    match shards.len() > MOST_SHARDS {
        true => Err(too_many_shards(input)),
        false => Ok(shards),
    }
}

/// The error of an input with more shards than a plan holds.
pub(in crate::files) fn too_many_shards(input: &Input) -> Error {
    let path = input.path.display();
    Error::limit(format!("{path} has more than {MOST_SHARDS} shards; ask for more rows a shard"))
}
