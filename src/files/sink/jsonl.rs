//! Parts as lines of JSON: the columns of the input as they are, then those of the job.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    sync::Arc,
};

use half::f16;

use crate::{
    error::{Error, Result},
    files::{
        cell::{Cell, Column, ColumnType},
        json,
        members::Members,
        record::{Record, TEXT},
        sink::{Keep, Shape, Sink},
    },
    tensor::DType,
};

/// A part of lines of JSON.
pub(in crate::files) struct JsonSink {
    file: BufWriter<File>,
    columns: Arc<[Column]>,
    keep: Arc<Keep>,
    line: Vec<u8>,
}

impl JsonSink {
    pub(in crate::files) fn new(shape: &Shape, file: File) -> Self {
        let (columns, keep) = (shape.columns.clone(), shape.keep.clone());
        Self { file: BufWriter::with_capacity(1 << 18, file), columns, keep, line: Vec::new() }
    }

    fn member(&mut self, name: &str, value: &str) -> Result<()> {
        if self.line.len() > 1 {
            self.line.push(b',');
        }
        self.line.extend_from_slice(json::line(name)?.as_bytes());
        self.line.push(b':');
        self.line.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn record(&mut self, record: &Record) -> Result<()> {
        let keep = self.keep.clone();
        let is_kept = |name: &str| keep.has(name);
        match record {
            Record::Line(text) if is_kept(TEXT) => self.member(TEXT, &json::line(text)?),
            Record::Json(line) if *keep == Keep::All => {
                let line = line.trim();
                let inner = line.strip_prefix('{').and_then(|line| line.strip_suffix('}')).unwrap_or_default();
                self.line.extend_from_slice(inner.trim().as_bytes());
                Ok(())
            }
            Record::Json(line) => {
                let mut members = Members::of(line)?.0.into_iter().filter(|(name, _)| is_kept(name));
                members.try_for_each(|(name, value)| self.member(&name, value.get()))
            }
            Record::Fields(header, fields) => {
                let mut fields = header.iter().zip(fields).filter(|(name, _)| is_kept(name));
                fields.try_for_each(|(name, field)| self.member(name, &json::line(field)?))
            }
            Record::Line(_) => Ok(()),
            #[cfg(feature = "parquet")]
            Record::Batch(batch, row) => {
                let schema = batch.schema();
                let columns = schema.fields().iter().zip(batch.columns());
                let mut columns = columns.filter(|(field, _)| is_kept(field.name()));
                columns
                    .try_for_each(|(field, array)| self.member(field.name(), &crate::files::table::json(array, *row)?))
            }
        }
    }
}

impl Sink for JsonSink {
    fn encode(&mut self, record: Option<&Record>, cells: &[Cell]) -> Result<()> {
        self.line.clear();
        self.line.push(b'{');
        if let Some(record) = record {
            self.record(record)?;
        }
        for (column, cell) in self.columns.clone().iter().zip(cells) {
            let value = value(column, cell)?;
            self.member(&column.name, &value)?;
        }
        self.line.extend_from_slice(b"}\n");
        Ok(())
    }

    fn commit(&mut self) -> io::Result<()> {
        self.file.write_all(&self.line)
    }

    fn copy(&mut self, row: &[u8]) -> io::Result<()> {
        self.file.write_all(row)
    }

    fn finish(self: Box<Self>) -> io::Result<File> {
        self.file.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

fn value(column: &Column, cell: &Cell) -> Result<String> {
    Ok(match cell {
        Cell::Null => "null".to_owned(),
        Cell::Bool(value) => value.to_string(),
        Cell::Integer(value) => value.to_string(),
        Cell::Float(value) => number(*value, &column.name)?,
        Cell::Text(text) => json::line(text)?,
        Cell::Json(text) => {
            // Written again, so that it has no line breaks.
            let value: Result<serde_json::Value, _> = serde_json::from_str(text);
            let value =
                value.map_err(|error| Error::invalid_input(format!("`{}` is not JSON: {error}", column.name)))?;
            json::line(&value)?
        }
        Cell::Vector(bytes) => {
            let dtype = match column.kind {
                ColumnType::Vector { dtype, .. } => dtype,
                _ => DType::U8,
            };
            let mut text = String::with_capacity(12 * bytes.len() / dtype.size().max(1) + 2);
            text.push('[');
            for bytes in bytes.chunks_exact(dtype.size()) {
                if text.len() > 1 {
                    text.push(',');
                }
                match (dtype, bytes) {
                    (DType::F32, &[a, b, c, d]) => text += &number(f32::from_le_bytes([a, b, c, d]), &column.name)?,
                    (DType::F16, &[a, b]) => text += &number(f16::from_le_bytes([a, b]).to_f32(), &column.name)?,
                    (DType::I8, &[a]) => text += &(a as i8).to_string(),
                    (_, bytes) => text += &bytes[0].to_string(),
                }
            }
            text.push(']');
            text
        }
    })
}

fn number(number: f32, column: &str) -> Result<String> {
    match number.is_finite() {
        true => json::line(&number),
        false => Err(Error::invalid_input(format!("`{column}` has the number {number}, which JSON has not"))),
    }
}
