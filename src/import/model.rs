//! A model read from a file.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
    time::{Duration, Instant},
};

#[cfg(feature = "hugging-face")]
use crate::import::hugging_face;
#[cfg(feature = "onnx")]
use crate::import::onnx;
use crate::{
    backend::{Session, options::SessionOptions},
    error::{Context, Error, Result},
    graph::Graph,
    import::{
        fingerprint::FingerprintHasher,
        options::{ImportOptions, Weights},
        origin::{FileStamp, Origin},
    },
};

/// A model read from a file, before it is loaded onto a device.
#[derive(Debug)]
pub struct Model {
    graph: Graph,
    notes: Vec<String>,
    origin: Origin,
    reading: Duration,
}

impl Model {
    /// Opens an ONNX file, or a Hugging Face folder of the BERT family.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or needs an operator that is not built here; the error names all
    /// operators that are missing.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &ImportOptions::default())
    }

    /// As [`open`](Self::open), with other caps.
    ///
    /// # Errors
    /// As there.
    pub fn open_with(path: impl AsRef<Path>, options: &ImportOptions) -> Result<Self> {
        let path = path.as_ref();
        let started = Instant::now();
        let opened = (|| {
            let meta = fs::metadata(path).map_err(|error| Error::io(error, "opening the model"))?;
            if meta.is_dir() {
                return open_folder(path, options);
            }
            open_file(path, &meta, options)
        })();
        let mut model: Self = opened.context(|| path.display().to_string())?;
        model.reading = started.elapsed();
        Ok(model)
    }

    /// Reads an ONNX model from memory; its data must all lie in these bytes.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::from_bytes_with(bytes, &ImportOptions::default())
    }

    /// As [`from_bytes`](Self::from_bytes), with other caps.
    ///
    /// # Errors
    /// As there.
    pub fn from_bytes_with(bytes: &[u8], options: &ImportOptions) -> Result<Self> {
        let started = Instant::now();
        let mut model = read_onnx(bytes, "model", None, options)?;
        let mut fingerprint = FingerprintHasher::new();
        fingerprint.update(bytes);
        model.origin = Origin::Named(fingerprint.name());
        model.reading = started.elapsed();
        Ok(model)
    }

    /// The graph as the file has it.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The graph, to give its inputs other dimensions ([`Graph::set_input_shape`], [`Graph::fix_symbol`]).
    pub fn graph_mut(&mut self) -> &mut Graph {
        &mut self.graph
    }

    /// What is worth telling about the file.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// A name for the file's bytes (BLAKE3), the files of external data included; read again when asked for. Where a
    /// file has changed since, the text says that it is unknown.
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
        // The time between opening and loading is the caller's own.
        let started = started.checked_sub(self.reading).unwrap_or(started);
        let origin = self.origin;
        Ok(session.with_origin(started, self.notes, move || origin.fingerprint()))
    }
}

#[cfg(feature = "hugging-face")]
fn open_folder(path: &Path, options: &ImportOptions) -> Result<Model> {
    let options = hugging_face::FolderOptions { import: options.clone(), ..Default::default() };
    let hugging_face::Folder { graph, notes, origin, .. } = hugging_face::read(path, &options)?;
    Ok(Model { graph, notes, origin, reading: Duration::ZERO })
}

#[cfg(not(feature = "hugging-face"))]
fn open_folder(_: &Path, _: &ImportOptions) -> Result<Model> {
    Err(Error::unsupported("this build reads no Hugging Face folders; the feature `hugging-face` adds them"))
}

#[cfg(feature = "onnx")]
fn open_file(path: &Path, meta: &fs::Metadata, options: &ImportOptions) -> Result<Model> {
    // A pipe or a device would be waited for, or never end.
    if !meta.is_file() {
        return Err(Error::invalid_input("not a regular file"));
    }
    let io = |error| Error::io(error, "reading the model");
    let file = File::open(path).map_err(io)?;
    let stamp = FileStamp::of(path.to_owned(), &file.metadata().map_err(io)?);
    let most = options.max_file_bytes;
    let mut bytes = Vec::new();
    if stamp.len <= most {
        let len = usize::try_from(stamp.len).unwrap_or(usize::MAX);
        bytes.try_reserve_exact(len).map_err(|_| Error::limit(format!("no memory for a file of {len} bytes")))?;
        file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
    }
    if stamp.len > most || bytes.len() as u64 > most {
        return Err(Error::limit(format!("larger than {most} bytes; ImportOptions::max_file_bytes sets the cap")));
    }
    let folder = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("."),
    };
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut model = read_onnx(&bytes, &name, Some(folder), options)?;
    if let Origin::Files(files) = &mut model.origin {
        files.insert(0, stamp);
    }
    Ok(model)
}

#[cfg(feature = "onnx")]
fn read_onnx(bytes: &[u8], name: &str, folder: Option<&Path>, options: &ImportOptions) -> Result<Model> {
    if options.weights == Weights::Mapped {
        return Err(Error::unsupported(
            "only the weights of Hugging Face folders can be mapped, not those of ONNX files",
        ));
    }
    let mut external = onnx::External::new(folder, options);
    let (graph, notes) = onnx::read(bytes, name, &mut external, options)?;
    Ok(Model { graph, notes, origin: Origin::Files(external.into_files()), reading: Duration::ZERO })
}

#[cfg(not(feature = "onnx"))]
fn open_file(_: &Path, _: &fs::Metadata, _: &ImportOptions) -> Result<Model> {
    Err(Error::unsupported("this build reads no ONNX files; the feature `onnx` adds them"))
}

#[cfg(not(feature = "onnx"))]
fn read_onnx(_: &[u8], _: &str, _: Option<&Path>, _: &ImportOptions) -> Result<Model> {
    Err(Error::unsupported("this build reads no ONNX files; the feature `onnx` adds them"))
}
