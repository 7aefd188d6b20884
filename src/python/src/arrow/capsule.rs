//! Arrays out of the capsules of Arrow's PyCapsule interface.
//!
//! What a capsule points to is trusted to have the layout of its name, as everywhere in Arrow; its contents are
//! validated, texts included.

use std::ffi::{CStr, CString, c_int};

use arrow_array::{
    ArrayRef,
    ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi_and_data_type},
    ffi_stream::FFI_ArrowArrayStream,
    make_array,
};
use arrow_schema::{ArrowError, DataType, Field};
use gristmill::{Error, ErrorKind};
use pyo3::{
    Bound, PyAny, PyResult, Python,
    types::{PyAnyMethods, PyCapsule, PyCapsuleMethods},
};

use crate::errors::wrong;

pub(super) const ARRAY: &CStr = c"arrow_array";
pub(super) const SCHEMA: &CStr = c"arrow_schema";
pub(super) const STREAM: &CStr = c"arrow_array_stream";

/// Whether an object has Arrow's data.
pub(crate) fn is_arrow(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(object.hasattr("__arrow_c_stream__")? || object.hasattr("__arrow_c_array__")?)
}

/// The arrays of an object, one after another.
pub(crate) struct Reader {
    /// The type of the arrays; a table's is a struct of its columns.
    pub data_type: DataType,
    arrays: Arrays,
}

enum Arrays {
    /// At most one array.
    One(Option<ArrayRef>),
    Stream(FFI_ArrowArrayStream),
}

impl Reader {
    /// Takes the arrays of an object that [has some](is_arrow).
    pub(crate) fn of(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = object.py();
        let failed = |error: ArrowError| wrong(py, ErrorKind::InvalidInput, format!("Arrow data: {error}"));
        if object.hasattr("__arrow_c_stream__")? {
            let capsule = object.call_method0("__arrow_c_stream__")?;
            let pointer = capsule.cast::<PyCapsule>()?.pointer_checked(Some(STREAM))?;
            // SAFETY: the capsule's name says what it points to. The stream is moved out, as its consumer may.
            let mut stream = unsafe { FFI_ArrowArrayStream::from_raw(pointer.cast().as_ptr()) };
            let data_type = py.detach(|| schema_of(&mut stream)).map_err(failed)?;
            return Ok(Self { data_type, arrays: Arrays::Stream(stream) });
        }
        let pair = object.call_method0("__arrow_c_array__")?;
        let (schema, array) = pair.extract::<(Bound<'_, PyCapsule>, Bound<'_, PyCapsule>)>()?;
        let schema = schema.pointer_checked(Some(SCHEMA))?.cast::<FFI_ArrowSchema>();
        let array = array.pointer_checked(Some(ARRAY))?.cast::<FFI_ArrowArray>();
        // SAFETY: the capsules' names say what they point to. The schema is read alone, and stays as long as its
        // capsule; the array is moved out, as its consumer may.
        let (field, array) = unsafe { (Field::try_from(schema.as_ref()), FFI_ArrowArray::from_raw(array.as_ptr())) };
        let data_type = field.map_err(failed)?.data_type().clone();
        let array = py.detach(|| imported(array, &data_type)).map_err(failed)?;
        Ok(Self { data_type, arrays: Arrays::One(Some(array)) })
    }

    /// The next array.
    ///
    /// # Errors
    /// If the producer fails, or its array is not sound.
    pub(crate) fn next(&mut self) -> Result<Option<ArrayRef>, Error> {
        match &mut self.arrays {
            Arrays::One(array) => Ok(array.take()),
            Arrays::Stream(stream) => {
                next_of(stream, &self.data_type).map_err(|error| Error::invalid_input(format!("Arrow data: {error}")))
            }
        }
    }

    /// All arrays; the interpreter's lock is left to others, as a producer may want it.
    pub(crate) fn all(mut self, py: Python<'_>) -> Result<Vec<ArrayRef>, Error> {
        py.detach(|| {
            let mut arrays = Vec::new();
            while let Some(array) = self.next()? {
                arrays.push(array);
            }
            Ok(arrays)
        })
    }
}

fn released() -> ArrowError {
    ArrowError::CDataInterface("its stream is used up".to_owned())
}

fn schema_of(stream: &mut FFI_ArrowArrayStream) -> Result<DataType, ArrowError> {
    let get = stream.get_schema.ok_or_else(released)?;
    let mut schema = FFI_ArrowSchema::empty();
    // SAFETY: a function of the stream's own, called with the stream and a place for the schema.
    let code = unsafe { get(stream, &mut schema) };
    check(stream, code)?;
    Ok(Field::try_from(&schema)?.data_type().clone())
}

fn next_of(stream: &mut FFI_ArrowArrayStream, data_type: &DataType) -> Result<Option<ArrayRef>, ArrowError> {
    let get = stream.get_next.ok_or_else(released)?;
    let mut array = FFI_ArrowArray::empty();
    // SAFETY: as in `schema_of`.
    let code = unsafe { get(stream, &mut array) };
    check(stream, code)?;
    if array.is_released() { Ok(None) } else { imported(array, data_type).map(Some) }
}

/// The stream's error where a function of it returned a code.
fn check(stream: &mut FFI_ArrowArrayStream, code: c_int) -> Result<(), ArrowError> {
    if code == 0 {
        return Ok(());
    }
    let message = stream.get_last_error.and_then(|get| {
        // SAFETY: a function of the stream's own; it returns null or a text that lives until the next call.
        let message = unsafe { get(stream) };
        // SAFETY: as above.
        (!message.is_null()).then(|| CString::from(unsafe { CStr::from_ptr(message) }))
    });
    let message = message.map_or_else(|| format!("code {code}"), |text| text.to_string_lossy().into_owned());
    Err(ArrowError::CDataInterface(message))
}

fn imported(array: FFI_ArrowArray, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.is_released() {
        return Err(ArrowError::CDataInterface("its array is used up".to_owned()));
    }
    // SAFETY: the producer's array has the layout of its type; what it says of lengths, offsets and texts is validated
    // before anything is read by it.
    let data = unsafe { from_ffi_and_data_type(array, data_type.clone()) }?;
    data.validate_full()?;
    Ok(make_array(data))
}
