//! Inputs of Parquet and Arrow's IPC files and streams.

use std::{
    io::{self, BufReader, Read, Seek, SeekFrom},
    sync::Arc,
};

use arrow_array::RecordBatch;
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_schema::{ArrowError, SchemaRef};
use parquet::{arrow::arrow_reader::ParquetRecordBatchReaderBuilder, file::reader::Length as _};

use crate::{
    bulk::CancelToken,
    error::{Context as _, Error, ErrorKind, Result},
    files::{
        cell::repeated,
        format::Format,
        inputs::Input,
        place::Opened,
        plan::{MOST_SHARDS, Shard},
        record::Record,
        source::{Cut, Reader, Reading, messages, pages, too_many_shards},
        table::{arrow, plain_schema, without_dictionaries},
    },
    threads::panics,
};

/// Rows that are decoded at once, at most.
const BATCH: usize = 1024;

/// How Arrow's files begin; its streams do not.
const MAGIC: &[u8] = b"ARROW1";

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>;

/// The rows of a table.
pub(in crate::files) struct TableReader {
    input: Input,
    schema: SchemaRef,
    batches: Batches,
    batch: Arc<RecordBatch>,
    /// The next row in the batch, and in the input.
    place: usize,
    row: u64,
    /// Rows that are decoded at once.
    at_once: usize,
}

impl TableReader {
    pub(in crate::files) fn open(input: &Input) -> Result<Self> {
        let at_once = match input.format {
            Format::Parquet => guarded(input, || check_pages(input))?,
            _ => guarded(input, || check_messages(input))?,
        };
        let (schema, batches) = guarded(input, || batches(input, 0, at_once))?;
        let schema = plain_schema(&schema).context(|| input.path.display().to_string())?;
        let names: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
        if let Some(name) = repeated(&names) {
            return Err(Error::invalid_input(format!("{} has the column `{name}` twice", input.path.display())));
        }
        let batch = Arc::new(RecordBatch::new_empty(Arc::clone(&schema)));
        Ok(Self { input: input.clone(), schema, batches, batch, place: 0, row: 0, at_once })
    }

    /// The columns of the input, without dictionaries.
    pub(in crate::files) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Goes to the next batch with rows; false at the end.
    fn advance(&mut self) -> Result<bool> {
        let Self { input, batches, .. } = self;
        let Some(batch) = guarded(input, || batches.next().transpose().map_err(arrow))? else { return Ok(false) };
        let batch = without_dictionaries(&batch, &self.schema).context(|| self.input.path.display().to_string())?;
        (self.batch, self.place) = (Arc::new(batch), 0);
        Ok(true)
    }
}

impl Reader for TableReader {
    fn seek(&mut self, shard: &Shard) -> Result<()> {
        if shard.first < self.row || (shard.first > self.row && self.input.format == Format::Parquet) {
            let input = self.input.clone();
            self.batches = guarded(&input, || batches(&input, shard.first, self.at_once))?.1;
            self.batch = Arc::new(RecordBatch::new_empty(Arc::clone(&self.schema)));
            self.place = 0;
            self.row = if self.input.format == Format::Parquet { shard.first } else { 0 };
        }
        while self.row < shard.first {
            let left = self.batch.num_rows() - self.place;
            if left == 0 && !self.advance()? {
                break;
            }
            let left =
                (self.batch.num_rows() - self.place).min(usize::try_from(shard.first - self.row).unwrap_or(usize::MAX));
            (self.place, self.row) = (self.place + left, self.row + left as u64);
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Reading>> {
        while self.place == self.batch.num_rows() {
            if !self.advance()? {
                return Ok(None);
            }
        }
        let record = Record::Batch(Arc::clone(&self.batch), self.place);
        (self.place, self.row) = (self.place + 1, self.row + 1);
        Ok(Some(Reading::Row(record)))
    }
}

/// Cuts a table: after so many rows.
pub(in crate::files) fn cut(input: &Input, index: usize, cut: Cut, cancel: &CancelToken) -> Result<Vec<Shard>> {
    let rows = match input.format {
        Format::Parquet => guarded(input, || {
            check_pages(input)?;
            let builder = parquet(input)?;
            // The number of the file and those of its row groups must agree, so that neither can lie alone.
            let metadata = builder.metadata();
            let rows = metadata
                .row_groups()
                .iter()
                .try_fold(0u64, |sum, group| sum.checked_add(u64::try_from(group.num_rows()).ok()?));
            match rows {
                Some(rows) if i64::try_from(rows) == Ok(metadata.file_metadata().num_rows()) => Ok(rows),
                _ => Err(Error::invalid_input("the numbers of rows in its footer disagree")),
            }
        })?,
        _ => {
            let mut reader = TableReader::open(input)?;
            let mut rows = 0u64;
            while reader.advance()? {
                rows += reader.batch.num_rows() as u64;
                if cancel.is_cancelled() {
                    return Err(Error::new(ErrorKind::Cancelled, "the job was cancelled"));
                }
            }
            rows
        }
    };
    if rows.div_ceil(cut.rows) > MOST_SHARDS as u64 {
        return Err(too_many_shards(input));
    }
    let shard = |first| Shard { name: String::new(), input: index, first, rows: cut.rows.min(rows - first), from: 0 };
    Ok((0..rows.div_ceil(cut.rows)).map(|number| shard(number * cut.rows)).collect())
}

/// Refuses pages that are too large; how many rows may be decoded at once.
fn check_pages(input: &Input) -> Result<usize> {
    input.place.checked_once(|| {
        let file = input.open().map_err(|error| Error::io(error, "opening it"))?;
        pages::check(&file, parquet(input)?.metadata(), BATCH)
    })
}

/// Refuses messages that are damaged or too large; how many rows may be decoded at once.
fn check_messages(input: &Input) -> Result<usize> {
    input.place.checked_once(|| {
        let mut file = input.open().map_err(reading)?;
        let is_file = is_file(&mut file)?;
        let length = file.len();
        // Each read is behind a jump, so that a buffer would be filled in vain.
        messages::check(file, length, is_file)?;
        Ok(BATCH)
    })
}

/// Whether an input of Arrow is a file, not a stream.
fn is_file(input: &mut (impl Read + Seek)) -> Result<bool> {
    let mut start = [0; MAGIC.len()];
    let is_file = input.read_exact(&mut start).is_ok() && start == *MAGIC;
    input.seek(SeekFrom::Start(0)).map_err(reading)?;
    Ok(is_file)
}

fn reading(error: io::Error) -> Error {
    Error::io(error, "reading it")
}

fn parquet(input: &Input) -> Result<ParquetRecordBatchReaderBuilder<Opened>> {
    let file = input.open().map_err(|error| Error::io(error, "opening it"))?;
    ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| Error::invalid_input(error.to_string()))
}

/// The batches of an input; of a Parquet file from row `first` on, of another one all.
fn batches(input: &Input, first: u64, at_once: usize) -> Result<(SchemaRef, Batches)> {
    if input.format == Format::Parquet {
        let mut builder = parquet(input)?;
        let (mut groups, mut before, mut skipped) = (Vec::new(), 0u64, 0u64);
        for (index, group) in builder.metadata().row_groups().iter().enumerate() {
            let rows = u64::try_from(group.num_rows()).unwrap_or(0);
            if before + rows > first {
                if groups.is_empty() {
                    skipped = before;
                }
                groups.push(index);
            }
            before += rows;
        }
        let schema = Arc::clone(builder.schema());
        let offset = usize::try_from(first.saturating_sub(skipped)).unwrap_or(usize::MAX);
        builder = builder.with_row_groups(groups).with_batch_size(at_once).with_offset(offset);
        let reader = builder.build().map_err(|error| Error::invalid_input(error.to_string()))?;
        return Ok((schema, Box::new(reader)));
    }
    let mut file = BufReader::new(input.open().map_err(reading)?);
    if is_file(&mut file)? {
        let reader = FileReader::try_new(file, None).map_err(arrow)?;
        Ok((reader.schema(), Box::new(reader)))
    } else {
        let reader = StreamReader::try_new(file, None).map_err(arrow)?;
        Ok((reader.schema(), Box::new(reader)))
    }
}

/// Reads of a file that may be damaged: a panic of the reader is an error of the file.
fn guarded<T>(input: &Input, read: impl FnOnce() -> Result<T>) -> Result<T> {
    let result = panics::catch(read).map_err(|error| match error.kind() {
        ErrorKind::Panic => Error::invalid_input(format!("it is damaged: {error}")),
        _ => error,
    });
    result.context(|| format!("reading {}", input.path.display()))
}
