//! An array of Arrow's for whoever takes it by its capsules.

use std::{panic::AssertUnwindSafe, ptr::NonNull, sync::Arc};

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use arrow_array::{Array, ArrayRef, FixedSizeListArray, PrimitiveArray, types::Float32Type};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field};
use gristmill::ErrorKind;
use numpy::{PyArray2, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::{Bound, PyAny, PyResult, Python, pyclass, pymethods, types::PyCapsule};

use super::capsule::{ARRAY, SCHEMA};
use crate::{arrays::ArrayBytes, errors::wrong};

/// Results as an array of Arrow's, which pyarrow, Polars, DuckDB and others take by its capsules.
#[pyclass(frozen, module = "gristmill")]
pub(crate) struct ArrowArray {
    array: ArrayRef,
}

impl ArrowArray {
    pub(crate) fn new(array: ArrayRef) -> Self {
        Self { array }
    }
}

pub(super) fn failed(py: Python<'_>, error: impl std::fmt::Display) -> pyo3::PyErr {
    wrong(py, ErrorKind::Internal, format!("Arrow data: {error}"))
}

#[pymethods]
impl ArrowArray {
    /// Vectors as an array of fixed-size lists over their memory, with null in the places `nulls`.
    #[staticmethod]
    fn of_vectors(py: Python<'_>, vectors: &Bound<'_, PyArray2<f32>>, nulls: Vec<usize>) -> PyResult<Self> {
        if !vectors.is_c_contiguous() {
            return Err(failed(py, "vectors are not contiguous"));
        }
        let (rows, size) = (vectors.shape()[0], vectors.shape()[1]);
        let bytes = ArrayBytes::of(vectors.as_untyped());
        let (start, len) = (NonNull::from(bytes.as_ref()).cast::<u8>(), bytes.as_ref().len());
        // SAFETY: `bytes` has that memory and keeps it.
        let buffer = unsafe { Buffer::from_custom_allocation(start, len, Arc::new(AssertUnwindSafe(bytes))) };
        let values = PrimitiveArray::<Float32Type>::new(ScalarBuffer::new(buffer, 0, rows * size), None);
        let nulls = (!nulls.is_empty()).then(|| {
            let mut valid = vec![true; rows];
            nulls.iter().for_each(|&place| valid[place] = false);
            NullBuffer::new(BooleanBuffer::from(valid))
        });
        let item = Arc::new(Field::new("item", DataType::Float32, true));
        let list = FixedSizeListArray::try_new_with_length(item, size as i32, Arc::new(values), nulls, rows);
        Ok(Self { array: Arc::new(list.map_err(|error| failed(py, error))?) })
    }

    fn __len__(&self) -> usize {
        self.array.len()
    }

    fn __repr__(&self) -> String {
        format!("<gristmill.ArrowArray of {} rows: {}>", self.array.len(), self.array.data_type())
    }

    /// The type, for takers of Arrow's data.
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let schema = FFI_ArrowSchema::try_from(self.array.data_type()).map_err(|error| failed(py, error))?;
        PyCapsule::new_with_value(py, schema, SCHEMA)
    }

    /// The type and the array, for takers of Arrow's data; `requested_schema` is a wish that is not granted.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
        let _ = requested_schema;
        let array = FFI_ArrowArray::new(&self.array.to_data());
        Ok((self.__arrow_c_schema__(py)?, PyCapsule::new_with_value(py, array, ARRAY)?))
    }
}
