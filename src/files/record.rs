//! Rows as they were read.

use std::sync::Arc;

#[cfg(feature = "parquet")]
use arrow_array::{Array, RecordBatch};

#[cfg(feature = "parquet")]
use crate::files::table;
use crate::{
    error::{Error, Result},
    files::members::{Members, flatten, kind},
};

/// The column of plain lines.
pub(in crate::files) const TEXT: &str = "text";

/// A row as it was read, with all its columns.
#[derive(Clone, Debug)]
pub(in crate::files) enum Record {
    /// A line of text.
    Line(String),
    /// A line that should be a JSON object.
    Json(String),
    /// The fields below a header.
    Fields(Arc<[String]>, Vec<String>),
    /// A row of a batch without dictionaries.
    #[cfg(feature = "parquet")]
    Batch(Arc<RecordBatch>, usize),
}

/// A row of an input, whose columns are asked for by name.
#[derive(Debug)]
pub struct Row<'r>(Content<'r>);

#[derive(Debug)]
enum Content<'r> {
    Line(&'r str),
    Object(Members<'r>),
    Fields(&'r [String], &'r [String]),
    #[cfg(feature = "parquet")]
    Batch(&'r RecordBatch, usize),
}

impl Record {
    /// Opens the row for reading.
    pub(in crate::files) fn row(&self) -> Result<Row<'_>> {
        Ok(Row(match self {
            Self::Line(line) => Content::Line(line),
            Self::Json(line) => Content::Object(Members::of(line)?),
            Self::Fields(header, fields) => Content::Fields(header, fields),
            #[cfg(feature = "parquet")]
            Self::Batch(batch, row) => Content::Batch(batch, *row),
        }))
    }

    /// Adds the row to a hash of rows.
    pub(in crate::files) fn hash(&self, hasher: &mut blake3::Hasher) {
        let mut add = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        match self {
            Self::Line(text) | Self::Json(text) => add(text),
            Self::Fields(_, fields) => fields.iter().for_each(|field| add(field)),
            // A table is never repaired in place: its file has a hash.
            #[cfg(feature = "parquet")]
            Self::Batch(..) => add(""),
        }
    }

    /// The text of a column as an id, empty if there is none.
    pub(in crate::files) fn id(&self, column: &str) -> String {
        let Ok(row) = self.row() else { return String::new() };
        match &row.0 {
            Content::Object(members) => match members.get(column) {
                Some(value) => serde_json::from_str::<String>(value.get()).unwrap_or_else(|_| value.get().to_owned()),
                None => String::new(),
            },
            #[cfg(feature = "parquet")]
            Content::Batch(batch, row) => match batch.column_by_name(column) {
                Some(array) => match table::text(array, *row).filter(|_| !array.is_null(*row)) {
                    Some(text) => text.to_owned(),
                    None => table::json(array, *row).unwrap_or_default(),
                },
                None => String::new(),
            },
            _ => row.text(column).unwrap_or_default(),
        }
    }
}

impl Row<'_> {
    /// The text in a column.
    ///
    /// # Errors
    /// If there is no such column, or it has no text in this row.
    pub fn text(&self, column: &str) -> Result<String> {
        match &self.0 {
            Content::Object(members) => {
                let value = members.get(column).ok_or_else(|| self.missing(column))?;
                match kind(value) {
                    "a text" => serde_json::from_str(value.get())
                        .map_err(|error| Error::invalid_input(format!("the field `{column}` is no text: {error}"))),
                    other => Err(Error::invalid_input(format!("the field `{column}` is {other}, not a text"))),
                }
            }
            #[cfg(feature = "parquet")]
            Content::Batch(batch, row) => {
                let array = batch.column_by_name(column).ok_or_else(|| self.missing(column))?;
                if array.is_null(*row) {
                    return Err(Error::invalid_input(format!("the column `{column}` is null, not a text")));
                }
                let text = table::text(array, *row).map(str::to_owned);
                text.ok_or_else(|| {
                    let kind = array.data_type();
                    Error::invalid_input(format!("the column `{column}` is of type {kind}, not of texts"))
                })
            }
            _ => Ok(self.plain(column)?.to_owned()),
        }
    }

    /// The numbers in a column: a number, or a list of them, also within lists.
    ///
    /// # Errors
    /// If there is no such column, or it has something else in this row.
    pub fn numbers(&self, column: &str) -> Result<Vec<f64>> {
        match &self.0 {
            Content::Object(members) => {
                let value = members.get(column).ok_or_else(|| self.missing(column))?;
                let no_numbers =
                    || Error::invalid_input(format!("the field `{column}` is {}, not numbers", kind(value)));
                let mut numbers = Vec::new();
                let value = serde_json::from_str(value.get()).map_err(|_| no_numbers())?;
                flatten(&value, &mut numbers).ok_or_else(no_numbers)?;
                Ok(numbers)
            }
            #[cfg(feature = "parquet")]
            Content::Batch(batch, row) => {
                let array = batch.column_by_name(column).ok_or_else(|| self.missing(column))?;
                let mut numbers = Vec::new();
                table::numbers(array, *row, &mut numbers).ok_or_else(|| {
                    let kind = array.data_type();
                    Error::invalid_input(format!("the column `{column}` of type {kind} has no numbers in this row"))
                })?;
                Ok(numbers)
            }
            _ => {
                let text = self.plain(column)?.trim();
                let number = text.parse();
                number.map(|number| vec![number]).map_err(|_| {
                    let start: String = text.chars().take(40).collect();
                    Error::invalid_input(format!("the column `{column}` is no number: `{start}`"))
                })
            }
        }
    }

    fn plain(&self, column: &str) -> Result<&str> {
        match &self.0 {
            Content::Line(line) if column == TEXT => Ok(line),
            Content::Fields(header, fields) => {
                let place = header.iter().position(|name| name == column);
                place.and_then(|place| fields.get(place)).map(String::as_str).ok_or_else(|| self.missing(column))
            }
            _ => Err(self.missing(column)),
        }
    }

    fn missing(&self, column: &str) -> Error {
        Error::invalid_input(match &self.0 {
            Content::Line(_) => format!("no column `{column}`: plain lines have the column `{TEXT}` alone"),
            Content::Object(_) => format!("no field `{column}`"),
            Content::Fields(header, _) => format!("no column `{column}`: there are {}", header.join(", ")),
            #[cfg(feature = "parquet")]
            Content::Batch(batch, _) => {
                let schema = batch.schema();
                let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
                format!("no column `{column}`: there are {}", names.join(", "))
            }
        })
    }

    /// Refuses a row that has a column of that name already.
    pub(in crate::files) fn check_free(&self, name: &str) -> Result<()> {
        let taken = match &self.0 {
            Content::Line(_) => name == TEXT,
            Content::Object(members) => members.get(name).is_some(),
            Content::Fields(header, _) => header.iter().any(|other| other == name),
            #[cfg(feature = "parquet")]
            Content::Batch(batch, _) => batch.column_by_name(name).is_some(),
        };
        match taken {
            true => Err(Error::invalid_input(format!(
                "the input has a column `{name}` already, which the job writes; leave it out or write another name"
            ))),
            false => Ok(()),
        }
    }
}
