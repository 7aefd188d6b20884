//! The columns that a job writes, as Arrow's.

use std::{io, sync::Arc};

use arrow_array::{
    Array, ArrayRef, BooleanArray, FixedSizeListArray, Float16Array, Float32Array, Int8Array, Int64Array,
    LargeStringArray, StringArray, StringViewArray, UInt8Array,
};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, FieldRef};
use half::f16;

use crate::{
    error::{Error, Result},
    files::{
        cell::{Cell, Column, ColumnType},
        table,
    },
    tensor::DType,
};

/// The field of a column that the job writes.
pub(super) fn field(column: &Column) -> Field {
    let kind = match column.kind {
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Integer => DataType::Int64,
        ColumnType::Float => DataType::Float32,
        ColumnType::Text | ColumnType::Json => DataType::Utf8,
        ColumnType::Vector { dtype, width } => {
            DataType::FixedSizeList(item(dtype), i32::try_from(width).unwrap_or(i32::MAX))
        }
    };
    Field::new(&column.name, kind, true)
}

fn item(dtype: DType) -> Arc<Field> {
    let kind = match dtype {
        DType::F16 => DataType::Float16,
        DType::I8 => DataType::Int8,
        DType::U8 => DataType::UInt8,
        _ => DataType::Float32,
    };
    Arc::new(Field::new("item", kind, false))
}

/// The values of a column that the job writes.
pub(super) fn own_column(column: &Column, cells: &[&Cell]) -> io::Result<ArrayRef> {
    macro_rules! values {
        ($array:ty, $kind:ident, $value:ident => $made:expr) => {
            Arc::new(
                cells
                    .iter()
                    .map(|cell| match cell {
                        Cell::$kind($value) => Some($made),
                        _ => None,
                    })
                    .collect::<$array>(),
            )
        };
    }
    Ok(match column.kind {
        ColumnType::Bool => values!(BooleanArray, Bool, value => *value),
        ColumnType::Integer => values!(Int64Array, Integer, value => *value),
        ColumnType::Float => values!(Float32Array, Float, value => *value),
        ColumnType::Text => values!(StringArray, Text, value => value.as_str()),
        ColumnType::Json => values!(StringArray, Json, value => value.as_str()),
        ColumnType::Vector { dtype, width } => {
            let bytes = width * dtype.size();
            let mut all = Vec::with_capacity(bytes * cells.len());
            let mut valid = Vec::with_capacity(cells.len());
            for cell in cells {
                match cell {
                    Cell::Vector(vector) => all.extend_from_slice(vector),
                    _ => all.resize(all.len() + bytes, 0),
                }
                valid.push(matches!(cell, Cell::Vector(_)));
            }
            let numbers: ArrayRef = match dtype {
                DType::F16 => Arc::new(Float16Array::from(
                    all.chunks_exact(2).map(|bytes| f16::from_le_bytes([bytes[0], bytes[1]])).collect::<Vec<_>>(),
                )),
                DType::I8 => Arc::new(Int8Array::from(bytemuck::cast_slice::<u8, i8>(&all).to_vec())),
                DType::U8 => Arc::new(UInt8Array::from(all)),
                _ => Arc::new(Float32Array::from(
                    all.chunks_exact(4)
                        .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
                        .collect::<Vec<_>>(),
                )),
            };
            let width = i32::try_from(width).map_err(io::Error::other)?;
            let nulls = Some(NullBuffer::from(valid));
            Arc::new(FixedSizeListArray::try_new(item(dtype), width, numbers, nulls).map_err(io::Error::other)?)
        }
    })
}

/// The same texts as an array of another kind.
pub(super) fn texts_of(array: &dyn Array, kind: &DataType) -> ArrayRef {
    let texts = (0..array.len()).map(|row| table::text(array, row).filter(|_| !array.is_null(row)));
    match kind {
        DataType::LargeUtf8 => Arc::new(texts.collect::<LargeStringArray>()),
        DataType::Utf8View => Arc::new(texts.collect::<StringViewArray>()),
        _ => Arc::new(texts.collect::<StringArray>()),
    }
}

/// Columns of texts.
pub(in crate::files) fn texts<'n>(names: impl IntoIterator<Item = &'n str>) -> Vec<FieldRef> {
    names.into_iter().map(|name| Arc::new(Field::new(name, DataType::Utf8, true))).collect()
}

/// Refuses vectors that are too wide for Arrow.
pub(in crate::files) fn check(columns: &[Column]) -> Result<()> {
    let is_wide =
        |column: &&Column| matches!(column.kind, ColumnType::Vector { width, .. } if i32::try_from(width).is_err());
    match columns.iter().find(is_wide) {
        Some(column) => Err(Error::invalid_input(format!("the column `{}` is too wide", column.describe()))),
        None => Ok(()),
    }
}
