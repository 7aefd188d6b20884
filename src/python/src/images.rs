//! Images that Python gives, for every model of them.

use std::{path::PathBuf, sync::Arc};

use gristmill::{
    bulk::{Bulk, CancelToken, Staged, Stages},
    vision::{Image, ImageOptions},
};
use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::{
    Bound, Py, PyAny, PyResult, Python,
    exceptions::{PyTypeError, PyValueError},
    types::{PyAnyMethods, PyBytes, PyBytesMethods, PyTypeMethods},
};

use crate::{
    job::check_process,
    options::{place, session},
    results::{LastReport, OnError, Results, Source},
};

/// The options of a model of images.
pub(crate) fn options(
    py: Python<'_>,
    device: &str,
    precision: &str,
    workers: Option<usize>,
    max_pixels: Option<u64>,
    weights: &str,
) -> PyResult<ImageOptions> {
    check_process(py)?;
    let options =
        ImageOptions::default().session(session(py, device, precision, workers)?).weights(place(py, weights)?);
    Ok(match max_pixels {
        Some(pixels) => options.max_pixels(pixels),
        None => options,
    })
}

/// How a job over the images of an iterable is run.
pub(crate) struct Asked<'a> {
    pub(crate) workers: Option<usize>,
    pub(crate) on_error: &'a str,
    pub(crate) window: Option<usize>,
}

/// What a model finds of the images of an iterable, lazily.
pub(crate) fn map<S>(
    py: Python<'_>,
    bulk: Bulk<S>,
    images: &Bound<'_, PyAny>,
    asked: &Asked<'_>,
    give: impl Fn(Python<'_>, S::Output) -> PyResult<Py<PyAny>> + Send + 'static,
) -> PyResult<Results>
where
    S: Staged<Item = Image> + Stages<Image> + 'static,
{
    check_process(py)?;
    let on_error = OnError::named(asked.on_error)?;
    let source = Source::new(images, Box::new(image))?;
    let token = CancelToken::new();
    let mut bulk = bulk.cancel(token.clone());
    if let Some(workers) = asked.workers {
        bulk = bulk.workers(workers);
    }
    if let Some(items) = asked.window {
        bulk = bulk.window(items);
    }
    let start = |source| bulk.stream_results(source);
    Ok(Results::new(source, token, on_error, LastReport::default(), start, give))
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
