//! Tensors as the Python half passes them: element type, shape and bytes.

use gristmill::{DType, ErrorKind, Tensor};
use pyo3::{Bound, PyResult, Python, pybacked::PyBackedBytes, types::PyByteArray};

use crate::errors::{failed, wrong};

/// Name, element type, shape and bytes of an array.
pub(crate) type Given = (String, String, Vec<usize>, PyBackedBytes);

/// As [`Given`], of a result.
pub(crate) type Made<'py> = (String, &'static str, Vec<usize>, Bound<'py, PyByteArray>);

/// NumPy's names of element types.
const NAMES: [(&str, DType); 12] = [
    ("bool", DType::Bool),
    ("int8", DType::I8),
    ("int16", DType::I16),
    ("int32", DType::I32),
    ("int64", DType::I64),
    ("uint8", DType::U8),
    ("uint16", DType::U16),
    ("uint32", DType::U32),
    ("uint64", DType::U64),
    ("float16", DType::F16),
    ("float32", DType::F32),
    ("float64", DType::F64),
];

/// The tensor of an array.
pub(crate) fn tensor(py: Python<'_>, (name, dtype, shape, bytes): &Given) -> PyResult<Tensor> {
    let known = NAMES.iter().find(|(own, _)| own == dtype).map(|(_, dtype)| *dtype);
    let dtype = known
        .ok_or_else(|| wrong(py, ErrorKind::InvalidInput, format!("array `{name}` has elements of type {dtype}")))?;
    Tensor::from_bytes(dtype, shape.clone(), bytes).map_err(|error| failed(py, &error))
}

/// The parts of an array.
pub(crate) fn array<'py>(py: Python<'py>, name: &str, tensor: &Tensor) -> PyResult<Made<'py>> {
    let known = NAMES.iter().find(|(_, dtype)| *dtype == tensor.dtype()).map(|(name, _)| *name);
    let dtype = known.ok_or_else(|| {
        let message = format!("result `{name}` has elements of type {}, which NumPy lacks", tensor.dtype());
        wrong(py, ErrorKind::Unsupported, message)
    })?;
    Ok((name.to_owned(), dtype, tensor.shape().to_vec(), PyByteArray::new(py, tensor.bytes())))
}
