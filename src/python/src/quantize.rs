//! Vectors in fewer bytes, by the library's quantizer.

use gristmill::text::{Quantizer, Ranges, VectorFormat};
use numpy::{IntoPyArray, PyArray2, PyArrayMethods, PyReadonlyArray2};
use pyo3::{Bound, PyResult, Python, exceptions::PyValueError, pyfunction};

use crate::errors::failed;

/// The bytes of vectors in rows; those of `int8` and `uint8` are places in the ranges of their columns.
#[pyfunction]
pub(crate) fn quantize<'py>(
    py: Python<'py>,
    vectors: PyReadonlyArray2<'py, f32>,
    precision: &str,
) -> PyResult<Bound<'py, PyArray2<u8>>> {
    let format = match precision {
        "int8" => VectorFormat::Int8,
        "uint8" => VectorFormat::Uint8,
        "binary" => VectorFormat::Binary,
        "ubinary" => VectorFormat::Ubinary,
        other => return Err(PyValueError::new_err(format!("the precision {other:?}"))),
    };
    let vectors = vectors.as_array();
    let (rows, width) = vectors.dim();
    let standard = vectors.as_standard_layout();
    let numbers = standard.as_slice().unwrap_or_default();
    let bytes = || {
        let each = || numbers.chunks_exact(width.max(1));
        let mut ranges = Ranges::none(width);
        if format.needs_ranges() {
            each().try_for_each(|vector| ranges.include(vector))?;
        }
        let mut bytes = Vec::with_capacity(rows * format.bytes(width));
        if rows > 0 {
            let quantizer = Quantizer::new(format, Some(&ranges))?;
            each().try_for_each(|vector| quantizer.append(vector, &mut bytes))?;
        }
        Ok(bytes)
    };
    let bytes = py.detach(bytes).map_err(|error| failed(py, &error))?;
    bytes.into_pyarray(py).reshape([rows, format.bytes(width)])
}
