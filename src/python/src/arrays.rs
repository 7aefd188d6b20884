//! NumPy's arrays as tensors and back, over the same memory.

use std::ffi::c_int;

use gristmill::{DType, ErrorKind, Tensor, Tensors, Value};
use numpy::{
    IntoPyArray, PY_ARRAY_API, PyArrayDescr, PyArrayDescrMethods, PyArrayDyn, PyArrayMethods, PyUntypedArray,
    PyUntypedArrayMethods,
    npyffi::{NPY_ARRAY_WRITEABLE, NpyTypes, get_type_object, npy_intp},
};
use pyo3::{
    Bound, Py, PyAny, PyErr, PyResult, Python,
    exceptions::{PyTypeError, PyValueError},
    pybacked::PyBackedStr,
    pyclass,
    sync::PyOnceLock,
    types::{PyAnyMethods, PyDict, PyDictMethods, PyList, PyListMethods, PyString, PyStringMethods, PyTypeMethods},
};

use crate::errors::wrong;

/// Element types with NumPy's kind and name; the kind and the size make the type.
const TYPES: [(DType, u8, &str); 12] = [
    (DType::Bool, b'b', "bool"),
    (DType::I8, b'i', "int8"),
    (DType::I16, b'i', "int16"),
    (DType::I32, b'i', "int32"),
    (DType::I64, b'i', "int64"),
    (DType::U8, b'u', "uint8"),
    (DType::U16, b'u', "uint16"),
    (DType::U32, b'u', "uint32"),
    (DType::U64, b'u', "uint64"),
    (DType::F16, b'f', "float16"),
    (DType::F32, b'f', "float32"),
    (DType::F64, b'f', "float64"),
];

/// The memory of an array, which is kept with it.
pub(crate) struct ArrayBytes {
    start: *const u8,
    len: usize,
    _array: Py<PyUntypedArray>,
}

// SAFETY: the memory is read alone, and stays as long as the array, whose count of references any thread may lower.
// Writing to it meanwhile is what the documentation forbids to callers.
unsafe impl Send for ArrayBytes {}
// SAFETY: as above.
unsafe impl Sync for ArrayBytes {}

impl AsRef<[u8]> for ArrayBytes {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `of` took both from a contiguous array, which is kept.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl ArrayBytes {
    /// The memory of a C-contiguous array.
    pub(crate) fn of(array: &Bound<'_, PyUntypedArray>) -> Self {
        // SAFETY: nothing is read as an element: only the address is asked for.
        let start = unsafe { array.cast_unchecked::<PyArrayDyn<u8>>() }.data();
        let len = array.len() * array.dtype().itemsize();
        Self { start, len, _array: array.clone().unbind() }
    }
}

/// The tensor of an array, or of what NumPy makes an array of.
///
/// It is over the array's memory where that is row-major, aligned and of native byte order, and over that of a copy
/// otherwise.
pub(crate) fn tensor(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Tensor> {
    match value.cast_exact::<PyUntypedArray>() {
        Ok(array) => plain(name, array),
        Err(_) => {
            let numpy = value.py().import("numpy")?;
            if numpy.getattr("ma")?.call_method1("is_masked", (value,))?.is_truthy()? {
                let message = format!("array `{name}` has masked elements; fill them first, such as by `.filled(0)`");
                return Err(PyValueError::new_err(message));
            }
            plain(name, numpy.call_method1("asarray", (value,))?.cast::<PyUntypedArray>()?)
        }
    }
}

fn plain(name: &str, array: &Bound<'_, PyUntypedArray>) -> PyResult<Tensor> {
    let descr = array.dtype();
    let Some(dtype) = number_type(&descr) else { return strings(name, array, &descr) };
    let native = descr.byteorder() != if cfg!(target_endian = "little") { b'>' } else { b'<' };
    let bytes = if native && array.is_c_contiguous() {
        ArrayBytes::of(array)
    } else {
        let options = PyDict::new(array.py());
        options.set_item("dtype", descr.call_method1("newbyteorder", ("=",))?)?;
        options.set_item("order", "C")?;
        let copy = array.py().import("numpy")?.call_method("array", (array,), Some(&options))?;
        ArrayBytes::of(copy.cast::<PyUntypedArray>()?)
    };
    let tensor = Tensor::from_owner(dtype, array.shape(), bytes);
    tensor.map_err(|error| PyValueError::new_err(format!("array `{name}`: {error}")))
}

/// The element type of numbers and booleans.
fn number_type(descr: &Bound<'_, PyArrayDescr>) -> Option<DType> {
    /// The number of NumPy's last own type, `float16`; those of other packages come later.
    const LAST: c_int = 23;
    if descr.num() > LAST {
        return None;
    }
    let (kind, size) = (descr.kind(), descr.itemsize());
    TYPES.iter().find(|(dtype, own, _)| (*own, dtype.size()) == (kind, size)).map(|(dtype, ..)| *dtype)
}

/// The tensor of an array of texts.
fn strings(name: &str, array: &Bound<'_, PyUntypedArray>, descr: &Bound<'_, PyArrayDescr>) -> PyResult<Tensor> {
    let refused = |why: &str| {
        PyTypeError::new_err(format!(
            "array `{name}` has elements of type {descr}{why}; numbers, booleans and str are taken"
        ))
    };
    match descr.kind() {
        b'U' | b'T' | b'O' => {}
        b'M' | b'm' => return Err(refused(", which `.view(\"int64\")` makes numbers")),
        b'S' => return Err(refused(", which have no encoding")),
        _ => return Err(refused("")),
    }
    let texts = array.call_method0("ravel")?.call_method0("tolist")?;
    let texts: Vec<PyBackedStr> = texts.extract().map_err(|_| refused(", not all of them str"))?;
    Tensor::from_strings(array.shape(), &texts).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// Keeps the memory of an array.
#[pyclass(frozen, module = "gristmill._native")]
struct Memory {
    _tensor: Tensor,
}

/// An array over the memory of a tensor.
pub(crate) fn array<'py>(py: Python<'py>, name: &str, mut tensor: Tensor) -> PyResult<Bound<'py, PyAny>> {
    if tensor.dtype() == DType::String {
        return texts(py, &tensor);
    }
    let Some(descr) = descr(py, tensor.dtype())? else {
        let message = format!("result `{name}` has elements of type {}, which NumPy lacks", tensor.dtype());
        return Err(wrong(py, ErrorKind::Unsupported, message));
    };
    let mut dims: Vec<npy_intp> = tensor.shape().iter().map(|&dim| dim as npy_intp).collect();
    // Of this tensor alone from here on: bytes that another one shares are copied.
    let data = tensor.bytes_mut().as_mut_ptr();
    let memory = Bound::new(py, Memory { _tensor: tensor })?;
    // SAFETY: `data` has as many bytes as `dims` elements of `descr`; `memory` keeps them, and nothing else reads or
    // writes them. Both calls take over the reference that they are given.
    unsafe {
        let array = PY_ARRAY_API.PyArray_NewFromDescr(
            py,
            get_type_object(py, NpyTypes::PyArray_Type),
            descr.into_ptr().cast(),
            dims.len() as c_int,
            dims.as_mut_ptr(),
            std::ptr::null_mut(),
            data.cast(),
            NPY_ARRAY_WRITEABLE,
            std::ptr::null_mut(),
        );
        let array = Bound::from_owned_ptr_or_err(py, array)?;
        if PY_ARRAY_API.PyArray_SetBaseObject(py, array.as_ptr().cast(), memory.into_ptr()) < 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(array)
    }
}

/// Vectors, which stand one after another, as an array of that memory.
pub(crate) fn vectors(py: Python<'_>, vectors: Vec<f32>, dimension: usize) -> PyResult<Bound<'_, PyAny>> {
    let rows = vectors.len() / dimension.max(1);
    let array = vectors.into_pyarray(py);
    Ok(array.reshape([rows, dimension])?.into_any())
}

/// A vector as an array of that memory.
pub(crate) fn vector(py: Python<'_>, vector: Vec<f32>) -> Bound<'_, PyAny> {
    vector.into_pyarray(py).into_any()
}

/// NumPy's description of an element type.
fn descr<'py>(py: Python<'py>, dtype: DType) -> PyResult<Option<Bound<'py, PyArrayDescr>>> {
    static DESCRS: PyOnceLock<Vec<Py<PyArrayDescr>>> = PyOnceLock::new();
    let made = || TYPES.iter().map(|(.., name)| Ok(PyArrayDescr::new(py, *name)?.unbind())).collect::<PyResult<_>>();
    let descrs = DESCRS.get_or_try_init(py, made)?;
    let place = TYPES.iter().position(|(own, ..)| *own == dtype);
    Ok(place.map(|place| descrs[place].bind(py).clone()))
}

/// An array of Python's texts.
fn texts<'py>(py: Python<'py>, tensor: &Tensor) -> PyResult<Bound<'py, PyAny>> {
    let texts = tensor.as_strings().map_err(|error| PyValueError::new_err(error.to_string()))?;
    let array = py.import("numpy")?.call_method1("empty", (texts.len(), "object"))?;
    for (place, text) in texts.into_iter().enumerate() {
        array.set_item(place, text)?;
    }
    array.call_method1("reshape", (tensor.shape(),))
}

/// The names of a model's inputs and outputs, so that none is allocated for each item.
pub(crate) struct Names {
    pub inputs: Vec<std::sync::Arc<str>>,
    pub outputs: Vec<(String, Py<PyString>)>,
}

/// The tensors of a mapping from names to arrays.
pub(crate) fn tensors(names: &Names, item: &Bound<'_, PyAny>) -> PyResult<Tensors> {
    let mut tensors = Tensors::new();
    let mut insert = |key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>| -> PyResult<()> {
        let key = key.cast::<PyString>()?.to_cow()?;
        let known = names.inputs.iter().find(|name| ***name == *key).cloned();
        tensors.insert(known.unwrap_or_else(|| (*key).into()), tensor(&key, value)?);
        Ok(())
    };
    if let Ok(dict) = item.cast_exact::<PyDict>() {
        for (key, value) in dict.iter() {
            insert(&key, &value)?;
        }
        return Ok(tensors);
    }
    if !item.hasattr("items")? {
        let kind = item.get_type().qualname()?;
        return Err(PyTypeError::new_err(format!("an item is a mapping from names to arrays, not {kind}")));
    }
    for pair in item.call_method0("items")?.try_iter()? {
        let (key, value) = pair?.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
        insert(&key, &value)?;
    }
    Ok(tensors)
}

/// A dict of the arrays of a result.
pub(crate) fn arrays<'py>(py: Python<'py>, names: &Names, mut tensors: Tensors) -> PyResult<Bound<'py, PyAny>> {
    let dict = PyDict::new(py);
    for (name, key) in &names.outputs {
        if let Some(tensor) = tensors.take(name) {
            dict.set_item(key, array(py, name, tensor)?)?;
        } else if let Some(value) = tensors.get_value(name) {
            dict.set_item(key, object(py, name, value)?)?;
        }
    }
    Ok(dict.into_any())
}

/// A value of a run: an array, a list, or none.
fn object<'py>(py: Python<'py>, name: &str, value: Value) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Value::Tensor(tensor) => array(py, name, tensor),
        Value::Sequence(values) => {
            let list = PyList::empty(py);
            for value in values {
                list.append(object(py, name, value)?)?;
            }
            Ok(list.into_any())
        }
        Value::Optional(None) => Ok(py.None().into_bound(py)),
        Value::Optional(Some(value)) => object(py, name, *value),
        _ => Err(wrong(py, ErrorKind::Unsupported, format!("result `{name}` is of a kind without a form in Python"))),
    }
}
