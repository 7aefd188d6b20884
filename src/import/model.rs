//! A model read from a file.

use std::{
    path::Path,
    time::{Duration, Instant},
};

#[cfg(feature = "hugging-face")]
use crate::import::hugging_face;
#[cfg(feature = "onnx")]
use crate::import::onnx::file::{open_file, read_bytes};
use crate::{
    backend::{Session, options::SessionOptions},
    error::{Context, Result},
    graph::Graph,
    import::{
        find::find,
        fingerprint::FingerprintHasher,
        options::ImportOptions,
        origin::{FileStamp, Origin},
    },
    shape::Shape,
};

/// A model read from a file, before it is loaded onto a device.
#[derive(Debug)]
pub struct Model {
    graph: Graph,
    notes: Vec<String>,
    origin: Origin,
    /// The time that reading took.
    reading: Duration,
}

impl Model {
    /// Opens an ONNX file, or a Hugging Face folder of a text encoder.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, or needs operators that are not supported; the error
    /// lists all of them.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &ImportOptions::default())
    }

    /// Opens a model as [`open`](Self::open) does, with options.
    ///
    /// # Errors
    /// As [`open`](Self::open), and if an option does not fit the model.
    pub fn open_with(path: impl AsRef<Path>, options: &ImportOptions) -> Result<Self> {
        let path = path.as_ref();
        let started = Instant::now();
        let read = || {
            let meta = find(path, "an ONNX file or a Hugging Face folder")?;
            if meta.is_dir() { open_folder(path, options) } else { open_file(path, &meta, options) }
        };
        let (graph, notes, files) = read().context(|| path.display().to_string())?;
        Ok(Self { graph, notes, origin: Origin::Files(files), reading: started.elapsed() })
    }

    /// Reads an ONNX model without external data from memory.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::from_bytes_with(bytes, &ImportOptions::default())
    }

    /// Reads an ONNX model from memory, with options.
    ///
    /// # Errors
    /// As [`open_with`](Self::open_with).
    pub fn from_bytes_with(bytes: &[u8], options: &ImportOptions) -> Result<Self> {
        let started = Instant::now();
        let (graph, notes, _) = read_bytes(bytes, "model", None, options)?;
        let mut fingerprint = FingerprintHasher::new();
        fingerprint.update(bytes);
        let origin = Origin::Named(fingerprint.name());
        Ok(Self { graph, notes, origin, reading: started.elapsed() })
    }

    /// Fixes the dimensions of an input; those of all other values follow from them.
    ///
    /// A single symbolic dimension is fixed by [`SessionOptions::dimension`].
    ///
    /// # Errors
    /// When no input has that name, or an operator does not accept the dimensions.
    pub fn set_input_shape(&mut self, name: &str, dims: &[usize]) -> Result<()> {
        self.graph.set_input_shape(name, Shape::fixed(dims))
    }

    /// The inputs that have a default in the file, which became a constant.
    ///
    /// [`ImportOptions::no_default`] opens the model with such an input to be given by each item.
    pub fn defaults(&self) -> &[String] {
        self.graph.defaults()
    }

    /// The graph as read from the file, for tests.
    #[doc(hidden)]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The graph as read from the file, for tests.
    #[doc(hidden)]
    pub fn graph_mut(&mut self) -> &mut Graph {
        &mut self.graph
    }

    /// Remarks on the file for the report.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// A BLAKE3 hash of the model's files, external data included.
    ///
    /// Reads the files again. If one has changed since it was opened, the text says that the hash
    /// is unknown.
    pub fn fingerprint(&self) -> String {
        self.origin.fingerprint()
    }

    /// Loads the model onto a device.
    ///
    /// # Errors
    /// As [`Session::load`].
    pub fn session(self, options: &SessionOptions) -> Result<Session> {
        let started = Instant::now();
        let session = Session::load(self.graph, options)?;
        // Counts the time of reading but not what the caller did between reading and loading.
        let started = started.checked_sub(self.reading).unwrap_or(started);
        let origin = self.origin;
        Ok(session.with_origin(started, self.notes, move || origin.fingerprint()))
    }
}

/// The graph of a model, notes on its files, and the files.
type Opened = (Graph, Vec<String>, Vec<FileStamp>);

#[cfg(feature = "hugging-face")]
fn open_folder(path: &Path, options: &ImportOptions) -> Result<Opened> {
    let options = hugging_face::FolderOptions { import: options.clone(), ..Default::default() };
    let hugging_face::Folder { graph, notes, files, .. } = hugging_face::read(path, &options)?;
    Ok((graph, notes, files))
}

#[cfg(not(feature = "hugging-face"))]
fn open_folder(_: &Path, _: &ImportOptions) -> Result<Opened> {
    Err(crate::error::Error::unsupported(
        "this build reads no Hugging Face folders; the feature `hugging-face` adds them",
    ))
}

#[cfg(not(feature = "onnx"))]
fn open_file(_: &Path, _: &std::fs::Metadata, _: &ImportOptions) -> Result<Opened> {
    Err(crate::error::Error::unsupported("this build reads no ONNX files; the feature `onnx` adds them"))
}

#[cfg(not(feature = "onnx"))]
fn read_bytes(_: &[u8], _: &str, _: Option<&Path>, _: &ImportOptions) -> Result<Opened> {
    Err(crate::error::Error::unsupported("this build reads no ONNX files; the feature `onnx` adds them"))
}
