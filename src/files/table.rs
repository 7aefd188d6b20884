//! Values of Arrow's arrays, one row at a time.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, RecordBatch,
    cast::AsArray,
    types::{
        Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
        UInt32Type, UInt64Type,
    },
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};

use crate::{
    error::{Error, ErrorKind, Result},
    files::json,
};

/// The failure of Arrow's reader or writer.
pub(in crate::files) fn arrow(error: ArrowError) -> Error {
    match error {
        ArrowError::IoError(message, error) => Error::io(error, message),
        error => Error::invalid_input(error.to_string()),
    }
}

/// A batch whose dictionaries are replaced by their values, so that equal rows are equal bytes.
pub(in crate::files) fn without_dictionaries(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let column = |column: &ArrayRef| match column.as_any_dictionary_opt() {
        Some(dictionary) => arrow_select::take::take(dictionary.values(), dictionary.keys(), None).map_err(arrow),
        None => Ok(Arc::clone(column)),
    };
    let columns = batch.columns().iter().map(column).collect::<Result<_>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(arrow)
}

/// The schema of such batches.
pub(in crate::files) fn plain_schema(schema: &Schema) -> Result<SchemaRef> {
    let field = |field: &Arc<Field>| match field.data_type() {
        DataType::Dictionary(_, values) => Ok(Arc::new(field.as_ref().clone().with_data_type(values.as_ref().clone()))),
        kind if has_within(kind, &|kind| matches!(kind, DataType::Dictionary(..) | DataType::RunEndEncoded(..))) => {
            let message = format!("the column `{}` has dictionaries within its type {kind}", field.name());
            Err(Error::new(ErrorKind::Unsupported, message))
        }
        _ => Ok(Arc::clone(field)),
    };
    let fields = schema.fields().iter().map(field).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

/// Whether a type, or one within it, is such a type.
fn has_within(kind: &DataType, is_such: &impl Fn(&DataType) -> bool) -> bool {
    is_such(kind)
        || match kind {
            DataType::List(field)
            | DataType::LargeList(field)
            | DataType::ListView(field)
            | DataType::LargeListView(field)
            | DataType::FixedSizeList(field, _)
            | DataType::Map(field, _) => has_within(field.data_type(), is_such),
            DataType::Struct(fields) => fields.iter().any(|field| has_within(field.data_type(), is_such)),
            DataType::Union(fields, _) => fields.iter().any(|(_, field)| has_within(field.data_type(), is_such)),
            _ => false,
        }
}

/// The text at a row; `None` if the array is not of texts.
pub(in crate::files) fn text(array: &dyn Array, row: usize) -> Option<&str> {
    if let Some(texts) = array.as_string_opt::<i32>() {
        return Some(texts.value(row));
    }
    if let Some(texts) = array.as_string_opt::<i64>() {
        return Some(texts.value(row));
    }
    array.as_string_view_opt().map(|texts| texts.value(row))
}

/// Calls a macro with each type of numbers.
macro_rules! each_number {
    ($call:ident!($array:expr, $row:expr)) => {
        $call!($array, $row; Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
            Float32Type, Float64Type)
    };
}

/// Adds the numbers at a row, also those within lists; `None` if there is something else.
pub(in crate::files) fn numbers(array: &dyn Array, row: usize, numbers: &mut Vec<f64>) -> Option<()> {
    if array.is_null(row) {
        return None;
    }
    if let Some(list) = list(array, row) {
        return (0..list.len()).try_for_each(|row| self::numbers(&*list, row, numbers));
    }
    macro_rules! read {
        ($array:expr, $row:expr; $($type:ty),*) => {$(
            if let Some(array) = $array.as_primitive_opt::<$type>() {
                numbers.push(array.value($row) as f64);
                return Some(());
            }
        )*};
    }
    each_number!(read!(array, row));
    if let Some(array) = array.as_primitive_opt::<Float16Type>() {
        numbers.push(array.value(row).to_f64());
        return Some(());
    }
    numbers.push(f64::from(u8::from(array.as_boolean_opt()?.value(row))));
    Some(())
}

fn list(array: &dyn Array, row: usize) -> Option<ArrayRef> {
    if let Some(lists) = array.as_list_opt::<i32>() {
        return Some(lists.value(row));
    }
    if let Some(lists) = array.as_list_opt::<i64>() {
        return Some(lists.value(row));
    }
    array.as_fixed_size_list_opt().map(|lists| lists.value(row))
}

/// Whether lines of JSON have a value for a type.
pub(in crate::files) fn is_json(kind: &DataType) -> bool {
    match kind {
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            is_json(field.data_type())
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Boolean | DataType::Null => true,
        kind => kind.is_integer() || kind.is_floating(),
    }
}

/// The value at a row as JSON; numbers that are not finite are null.
pub(in crate::files) fn json(array: &dyn Array, row: usize) -> Result<String> {
    if array.is_null(row) || *array.data_type() == DataType::Null {
        return Ok("null".to_owned());
    }
    if let Some(text) = text(array, row) {
        return json::line(text);
    }
    if let Some(list) = list(array, row) {
        let values = (0..list.len()).map(|row| json(&*list, row)).collect::<Result<Vec<_>>>()?;
        return Ok(format!("[{}]", values.join(",")));
    }
    macro_rules! read {
        ($array:expr, $row:expr; $($type:ty),*) => {$(
            if let Some(array) = $array.as_primitive_opt::<$type>() {
                return json::line(&array.value($row));
            }
        )*};
    }
    each_number!(read!(array, row));
    if let Some(array) = array.as_primitive_opt::<Float16Type>() {
        return json::line(&array.value(row).to_f32());
    }
    match array.as_boolean_opt() {
        Some(array) => Ok(array.value(row).to_string()),
        // For a dead letter alone: such columns are not written as lines of JSON.
        None => json::line(&format!("a value of type {}", array.data_type())),
    }
}
