//! Images to vectors.

use std::{path::PathBuf, sync::Arc};

use gristmill::{
    bulk::CancelToken,
    vision::{self, Image, ImageOptions},
};
use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::{
    Bound, IntoPyObjectExt, PyAny, PyResult, Python,
    exceptions::{PyTypeError, PyValueError},
    pyclass, pymethods,
    types::{PyAnyMethods, PyBytes, PyBytesMethods, PyTypeMethods},
};

use crate::{
    arrays,
    errors::failed,
    job::check_process,
    options::{place, session},
    results::{LastReport, OnError, Results, Source},
};

/// An image embedding model of a Hugging Face folder.
#[pyclass(frozen, module = "gristmill._native")]
pub(crate) struct ImageEmbedder {
    embedder: vision::ImageEmbedder,
    workers: Option<usize>,
}

#[pymethods]
impl ImageEmbedder {
    #[new]
    #[pyo3(signature = (path, device, precision, workers, max_pixels, weights))]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        device: &str,
        precision: &str,
        workers: Option<usize>,
        max_pixels: Option<u64>,
        weights: &str,
    ) -> PyResult<Self> {
        check_process(py)?;
        let mut options =
            ImageOptions::default().session(session(py, device, precision, workers)?).weights(place(py, weights)?);
        if let Some(pixels) = max_pixels {
            options = options.max_pixels(pixels);
        }
        let opened = py.detach(|| vision::ImageEmbedder::open_with(&path, &options));
        Ok(Self { embedder: opened.map_err(|error| failed(py, &error))?, workers })
    }

    /// Numbers of a vector.
    #[getter]
    fn dimension(&self) -> usize {
        self.embedder.dimension()
    }

    /// The vectors of the images of an iterable.
    fn map(
        &self,
        py: Python<'_>,
        images: &Bound<'_, PyAny>,
        on_error: &str,
        window: Option<usize>,
    ) -> PyResult<Results> {
        check_process(py)?;
        let on_error = OnError::named(on_error)?;
        let source = Source::new(images, Box::new(image))?;
        let token = CancelToken::new();
        let mut bulk = self.embedder.bulk().cancel(token.clone());
        if let Some(workers) = self.workers {
            bulk = bulk.workers(workers);
        }
        if let Some(items) = window {
            bulk = bulk.window(items);
        }
        let give = |py: Python<'_>, vector: Vec<f32>| arrays::vector(py, vector).into_py_any(py);
        let start = |source| bulk.stream_results(source);
        Ok(Results::new(source, token, on_error, LastReport::default(), start, give))
    }
}

/// An image of a path, the bytes of a file, an image of PIL's, or an array of pixels.
fn image(given: &Bound<'_, PyAny>) -> PyResult<Image> {
    if let Ok(bytes) = given.cast::<PyBytes>() {
        return Ok(Image::bytes(Arc::<[u8]>::from(bytes.as_bytes())));
    }
    if let Ok(array) = given.cast::<PyUntypedArray>() {
        return pixels(array);
    }
    if given.hasattr("convert")? && given.hasattr("tobytes")? {
        let converted = given.call_method1("convert", ("RGB",))?;
        let (width, height) = converted.getattr("size")?.extract()?;
        return rgb(width, height, &converted);
    }
    match given.extract::<PathBuf>() {
        Ok(path) => Ok(Image::path(path)),
        Err(_) => {
            let kind = given.get_type().qualname()?;
            Err(PyTypeError::new_err(format!("an image is a path, bytes, an image of PIL's or an array, not {kind}")))
        }
    }
}

/// The image of an array of bytes, `[height, width, 3]`.
fn pixels(array: &Bound<'_, PyUntypedArray>) -> PyResult<Image> {
    let descr = array.dtype();
    match *array.shape() {
        [height, width, 3] if (descr.kind(), descr.itemsize()) == (b'u', 1) => rgb(width, height, array.as_any()),
        ref shape => Err(PyTypeError::new_err(format!(
            "an array of pixels is uint8 of the shape [height, width, 3], red, green and blue; given is {descr} of {shape:?}"
        ))),
    }
}

/// The image of what `tobytes` gives, row by row.
fn rgb(width: usize, height: usize, given: &Bound<'_, PyAny>) -> PyResult<Image> {
    let bytes = given.call_method0("tobytes")?;
    let image = Image::rgb(width, height, bytes.cast::<PyBytes>()?.as_bytes().to_vec());
    image.map_err(|error| PyValueError::new_err(error.to_string()))
}
