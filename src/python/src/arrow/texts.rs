//! Texts of Python or of a column of Arrow's, read in place.

use arrow_array::{Array, ArrayRef, LargeStringArray, StringArray, StringViewArray, StructArray, cast::AsArray};
use arrow_schema::DataType;
use gristmill::Error;
use pyo3::{
    Borrowed, FromPyObject, PyAny, PyErr, PyResult, exceptions::PyImportError, pybacked::PyBackedStr,
    types::PyAnyMethods,
};

use crate::{
    arrow::capsule::{Reader, is_arrow},
    errors::failed,
};

/// Texts of Python or of a column of Arrow's.
pub(crate) enum Texts {
    Python(Vec<PyBackedStr>),
    Arrow(Vec<Column>),
}

/// An array of texts.
pub(crate) enum Column {
    Small(StringArray),
    Large(LargeStringArray),
    View(StringViewArray),
}

impl Column {
    fn texts(&self) -> Box<dyn Iterator<Item = Option<&str>> + '_> {
        match self {
            Self::Small(array) => Box::new(array.iter()),
            Self::Large(array) => Box::new(array.iter()),
            Self::View(array) => Box::new(array.iter()),
        }
    }

    /// The texts of some rows.
    pub(super) fn slice(&self, rows: std::ops::Range<usize>) -> Box<dyn Iterator<Item = Option<&str>> + '_> {
        match self {
            Self::Small(array) => Box::new(rows.map(|row| array.is_valid(row).then(|| array.value(row)))),
            Self::Large(array) => Box::new(rows.map(|row| array.is_valid(row).then(|| array.value(row)))),
            Self::View(array) => Box::new(rows.map(|row| array.is_valid(row).then(|| array.value(row)))),
        }
    }

    /// The texts of an array, of a dictionary of texts, or of a table's only column.
    pub(super) fn of(array: &ArrayRef) -> Result<Self, Error> {
        Ok(match array.data_type() {
            DataType::Utf8 => Self::Small(array.as_string().clone()),
            DataType::LargeUtf8 => Self::Large(array.as_string().clone()),
            DataType::Utf8View => Self::View(array.as_string_view().clone()),
            DataType::Dictionary(..) => {
                let dictionary = array.as_any_dictionary();
                let taken = arrow_select::take::take(dictionary.values(), dictionary.keys(), None);
                return Self::of(&taken.map_err(|error| Error::invalid_input(format!("Arrow data: {error}")))?);
            }
            DataType::Struct(_) => return Self::of(only_column(array.as_struct())?),
            other => {
                return Err(Error::invalid_input(format!(
                    "an Arrow column of {other} was given where texts are taken: string, large_string, string_view \
                     or a dictionary of these"
                )));
            }
        })
    }
}

fn only_column(table: &StructArray) -> Result<&ArrayRef, Error> {
    match table.columns() {
        [column] if table.null_count() == 0 => Ok(column),
        _ => {
            let names = table.column_names();
            Err(Error::invalid_input(format!(
                "a table was given where texts are taken; pass one of its columns {names:?}"
            )))
        }
    }
}

impl<'py> FromPyObject<'_, 'py> for Texts {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let py = object.py();
        if !is_arrow(&object)? {
            return object.extract().map(Self::Python);
        }
        let reader = match Reader::of(&object) {
            // pandas without pyarrow has the method, and no way to do it.
            Err(error) if error.is_instance_of::<PyImportError>(py) => {
                let texts = object.try_iter()?.map(|text| text?.extract());
                return texts.collect::<PyResult<_>>().map(Self::Python);
            }
            reader => reader?,
        };
        let arrays = reader.all(py);
        let columns = arrays.and_then(|arrays| arrays.iter().map(Column::of).collect());
        columns.map(Self::Arrow).map_err(|error| failed(py, &error))
    }
}

impl Texts {
    /// The texts, and the places in the caller's list that have none.
    pub(crate) fn present(&self) -> (Vec<&str>, Vec<usize>) {
        match self {
            Self::Python(texts) => (texts.iter().map(|text| &**text).collect(), Vec::new()),
            Self::Arrow(columns) => {
                let (mut texts, mut nulls) = (Vec::new(), Vec::new());
                for (place, text) in columns.iter().flat_map(Column::texts).enumerate() {
                    match text {
                        Some(text) => texts.push(text),
                        None => nulls.push(place),
                    }
                }
                (texts, nulls)
            }
        }
    }
}
