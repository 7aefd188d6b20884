//! Parts as Parquet or as Arrow's IPC files: the columns of the input as they are, then those of the job.

use std::{
    fs::File,
    io::{self, BufWriter, Seek},
    sync::Arc,
};

use arrow_array::{Array, ArrayRef, RecordBatch, StringArray, cast::AsArray, new_null_array};
use arrow_ipc::{reader::FileReader, writer::FileWriter};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::interleave::interleave;
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::{Compression, ZstdLevel},
    file::{metadata::KeyValue, properties::WriterProperties},
    schema::types::ColumnPath,
};

use crate::{
    error::Result,
    files::{
        cell::{Cell, Column, ColumnType},
        format::Format,
        members::Members,
        record::{Record, TEXT},
        sink::{
            Shape, Sink,
            columns::{field, own_column, texts_of},
        },
    },
};

/// Rows that are encoded at once: a part's bytes depend on it.
const BATCH: usize = 1024;

/// The name under which a part's metadata has the settings of its job.
const SETTINGS: &str = "gristmill";

/// A part of a table.
pub(in crate::files) struct TableSink {
    writer: Writer,
    columns: Arc<[Column]>,
    carried: SchemaRef,
    schema: SchemaRef,
    next: Option<Waiting>,
    rows: Vec<Waiting>,
}

enum Writer {
    Parquet(Box<ArrowWriter<BufWriter<File>>>),
    Arrow(Box<FileWriter<BufWriter<File>>>),
}

/// A row that waits until a batch is full.
struct Waiting {
    carried: Carried,
    cells: Vec<Cell>,
}

enum Carried {
    Batch(Arc<RecordBatch>, usize),
    Texts(Vec<Option<String>>),
}

impl TableSink {
    pub(in crate::files) fn begin(shape: &Shape, file: File) -> io::Result<Self> {
        let carried = Arc::clone(&shape.carried);
        let own = shape.columns.iter().map(|column| Arc::new(field(column)));
        let fields: Vec<Arc<Field>> = carried.fields().iter().cloned().chain(own).collect();
        let schema = Arc::new(Schema::new(fields));
        let file = BufWriter::with_capacity(1 << 18, file);
        let writer = match shape.format {
            Format::Arrow => {
                let mut writer = FileWriter::try_new(file, &schema).map_err(io::Error::other)?;
                writer.write_metadata(SETTINGS, &*shape.settings);
                Writer::Arrow(Box::new(writer))
            }
            _ => {
                let settings = KeyValue::new(SETTINGS.to_owned(), shape.settings.to_string());
                let mut properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .set_created_by(concat!("gristmill ", env!("CARGO_PKG_VERSION")).to_owned())
                    .set_key_value_metadata(Some(vec![settings]));
                for column in shape.columns.iter().filter(|column| matches!(column.kind, ColumnType::Vector { .. })) {
                    // Numbers of vectors hardly ever repeat.
                    let path = ColumnPath::new(vec![column.name.clone(), "list".to_owned(), "item".to_owned()]);
                    properties = properties.set_column_dictionary_enabled(path, false);
                }
                let writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties.build()));
                Writer::Parquet(Box::new(writer.map_err(io::Error::other)?))
            }
        };
        Ok(Self { writer, columns: Arc::clone(&shape.columns), carried, schema, next: None, rows: Vec::new() })
    }

    fn carried(&self, record: Option<&Record>) -> Result<Carried> {
        let names = self.carried.fields().iter().map(|field| field.name());
        Ok(match record {
            Some(Record::Batch(batch, row)) => Carried::Batch(Arc::clone(batch), *row),
            Some(Record::Line(text)) => {
                Carried::Texts(names.map(|name| (name == TEXT).then(|| text.clone())).collect())
            }
            Some(Record::Fields(header, fields)) => {
                let field = |name: &String| {
                    let place = header.iter().position(|other| other == name)?;
                    fields.get(place).cloned()
                };
                Carried::Texts(names.map(field).collect())
            }
            Some(Record::Json(line)) => {
                let members = Members::of(line)?;
                Carried::Texts(names.map(|name| members.text(name)).collect())
            }
            None => Carried::Texts(vec![None; self.carried.fields().len()]),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let carried = (0..self.carried.fields().len()).map(|index| self.carried_column(index));
        let own = self.columns.iter().enumerate().map(|(index, column)| {
            let cells: Vec<&Cell> = self.rows.iter().filter_map(|row| row.cells.get(index)).collect();
            own_column(column, &cells)
        });
        let columns = carried.chain(own).collect::<io::Result<Vec<_>>>()?;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(io::Error::other)?;
        self.rows.clear();
        match &mut self.writer {
            Writer::Parquet(writer) => writer.write(&batch).map_err(parquet_error),
            Writer::Arrow(writer) => writer.write(&batch).map_err(arrow_error),
        }
    }

    fn carried_column(&self, index: usize) -> io::Result<ArrayRef> {
        let field = self.carried.field(index);
        let kind = self.rows.iter().find_map(|row| match &row.carried {
            Carried::Batch(batch, _) => Some(batch.column_by_name(field.name())?.data_type()),
            Carried::Texts(_) => None,
        });
        // Readers leave anything under a null, and a part's bytes must not depend on where reading began.
        let null = new_null_array(kind.unwrap_or(field.data_type()), 1);
        let (mut arrays, mut places): (Vec<&ArrayRef>, Vec<(usize, usize)>) = (vec![&null], Vec::new());
        let mut last: Option<&Arc<RecordBatch>> = None;
        let mut texts: Vec<Option<&str>> = Vec::new();
        for row in &self.rows {
            match &row.carried {
                Carried::Batch(batch, place) => {
                    if last.is_none_or(|last| !Arc::ptr_eq(last, batch)) {
                        let array = batch.column_by_name(field.name());
                        arrays.push(array.ok_or_else(|| io::Error::other(format!("no column `{}`", field.name())))?);
                        last = Some(batch);
                    }
                    let array = arrays.len() - 1;
                    places.push(if arrays[array].is_null(*place) { (0, 0) } else { (array, *place) });
                }
                Carried::Texts(values) => texts.push(values.get(index).and_then(Option::as_deref)),
            }
        }
        if last.is_none() {
            return Ok(Arc::new(StringArray::from(texts)));
        }
        let arrays: Vec<&dyn Array> = arrays.into_iter().map(|array| &**array).collect();
        let column = interleave(&arrays, &places).map_err(io::Error::other)?;
        // Views keep all that their batches hold, which depends on where reading began.
        Ok(match column.data_type() {
            // Texts of another kind than those of the first input.
            own if own != field.data_type() => texts_of(&*column, field.data_type()),
            DataType::Utf8View => Arc::new(column.as_string_view().gc()),
            DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
            _ => column,
        })
    }
}

impl Sink for TableSink {
    fn encode(&mut self, record: Option<&Record>, cells: &[Cell]) -> Result<()> {
        self.next = Some(Waiting { carried: self.carried(record)?, cells: cells.to_vec() });
        Ok(())
    }

    fn commit(&mut self) -> io::Result<()> {
        self.rows.extend(self.next.take());
        if self.rows.len() == BATCH { self.flush() } else { Ok(()) }
    }

    fn copy(&mut self, _: &[u8]) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "a part of a table is made anew as a whole"))
    }

    fn finish(mut self: Box<Self>) -> io::Result<File> {
        self.flush()?;
        let file = match self.writer {
            Writer::Parquet(writer) => writer.into_inner().map_err(parquet_error)?,
            Writer::Arrow(writer) => writer.into_inner().map_err(arrow_error)?,
        };
        file.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

/// The operating system's error, if there is one within.
fn parquet_error(error: parquet::errors::ParquetError) -> io::Error {
    match error {
        parquet::errors::ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(inner) => io::Error::other(inner),
        },
        error => io::Error::other(error),
    }
}

fn arrow_error(error: arrow_schema::ArrowError) -> io::Error {
    match error {
        arrow_schema::ArrowError::IoError(_, error) => error,
        error => io::Error::other(error),
    }
}

/// The rows of a finished part, each of them read.
pub(in crate::files) fn count(mut file: File, format: Format) -> io::Result<u64> {
    file.rewind()?;
    let mut rows = 0;
    match format {
        Format::Arrow => {
            for batch in FileReader::try_new(file, None).map_err(arrow_error)? {
                rows += batch.map_err(arrow_error)?.num_rows() as u64;
            }
        }
        _ => {
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|builder| builder.build());
            for batch in reader.map_err(parquet_error)? {
                rows += batch.map_err(arrow_error)?.num_rows() as u64;
            }
        }
    }
    Ok(rows)
}
