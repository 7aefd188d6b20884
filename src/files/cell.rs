//! What a job writes beside the columns of its inputs.

use crate::{
    error::{Error, Result},
    tensor::DType,
};

/// A column that a job writes: its name and the type of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub(in crate::files) name: String,
    pub(in crate::files) kind: ColumnType,
}

/// The type of the values of a [`Column`]; each of them may also be null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ColumnType {
    /// True or false.
    Bool,
    /// A whole number of 64 bits.
    Integer,
    /// A number of 32 bits.
    Float,
    /// A text.
    Text,
    /// A text that is JSON; part of the line where the output is lines of JSON.
    Json,
    /// `width` numbers of the type `dtype`: f32, f16, i8 or u8.
    Vector {
        /// The type of a number.
        dtype: DType,
        /// The count of numbers.
        width: usize,
    },
}

/// A value of one row and one [`Column`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Cell {
    /// No value.
    Null,
    /// Of [`ColumnType::Bool`].
    Bool(bool),
    /// Of [`ColumnType::Integer`].
    Integer(i64),
    /// Of [`ColumnType::Float`].
    Float(f32),
    /// Of [`ColumnType::Text`].
    Text(String),
    /// Of [`ColumnType::Json`].
    Json(String),
    /// Of [`ColumnType::Vector`]: its numbers, little-endian.
    Vector(Vec<u8>),
}

impl Column {
    /// A column of this name and type.
    pub fn new(name: impl Into<String>, kind: ColumnType) -> Self {
        Self { name: name.into(), kind }
    }

    /// Its name and type, as the plan states them.
    pub(in crate::files) fn describe(&self) -> String {
        let kind = match self.kind {
            ColumnType::Bool => "bool".to_owned(),
            ColumnType::Integer => "integer".to_owned(),
            ColumnType::Float => "f32".to_owned(),
            ColumnType::Text => "text".to_owned(),
            ColumnType::Json => "json".to_owned(),
            ColumnType::Vector { dtype, width } => format!("{dtype}[{width}]"),
        };
        format!("{} {kind}", self.name)
    }

    fn fits(&self, cell: &Cell) -> bool {
        match (cell, self.kind) {
            (Cell::Null, _)
            | (Cell::Bool(_), ColumnType::Bool)
            | (Cell::Integer(_), ColumnType::Integer)
            | (Cell::Float(_), ColumnType::Float)
            | (Cell::Text(_), ColumnType::Text)
            | (Cell::Json(_), ColumnType::Json) => true,
            (Cell::Vector(bytes), ColumnType::Vector { dtype, width }) => {
                Some(bytes.len()) == dtype.size().checked_mul(width)
            }
            _ => false,
        }
    }
}

/// Refuses columns that no file can hold.
pub(in crate::files) fn check_columns(columns: &[Column]) -> Result<()> {
    for (index, column) in columns.iter().enumerate() {
        if columns[..index].iter().any(|other| other.name == column.name) {
            return Err(Error::invalid_input(format!("two columns to write have the name `{}`", column.name)));
        }
        if let ColumnType::Vector { dtype, width } = column.kind
            && (!matches!(dtype, DType::F32 | DType::F16 | DType::I8 | DType::U8) || width == 0)
        {
            let name = &column.name;
            return Err(Error::invalid_input(format!(
                "the column `{name}` of {dtype}[{width}] is no vector that fits"
            )));
        }
    }
    Ok(())
}

/// Refuses values that are not those of the columns.
pub(in crate::files) fn check_cells(columns: &[Column], cells: &[Cell]) -> Result<()> {
    if columns.len() != cells.len() {
        let (cells, columns) = (cells.len(), columns.len());
        return Err(Error::invalid_input(format!("{cells} values for {columns} columns")));
    }
    match columns.iter().zip(cells).find(|(column, cell)| !column.fits(cell)) {
        Some((column, _)) => {
            Err(Error::invalid_input(format!("a value does not fit its column, which is `{}`", column.describe())))
        }
        None => Ok(()),
    }
}

/// The first name of a column that occurs twice.
pub(in crate::files) fn repeated<T: PartialEq>(names: &[T]) -> Option<&T> {
    names.iter().enumerate().find(|(place, name)| names[..*place].contains(name)).map(|(_, name)| name)
}
