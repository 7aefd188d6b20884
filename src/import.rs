//! Models from files.
//!
//! A file is not trusted: what is unread, unbounded or inconsistent in it is an error. The caps are
//! [`ImportOptions`].

mod fingerprint;
#[cfg(feature = "hugging-face")]
pub mod hugging_face;
#[cfg(feature = "onnx")]
pub mod onnx;
#[cfg(feature = "hugging-face")]
pub mod safetensors;

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use crate::{
    backend::{Session, options::SessionOptions},
    error::{Context, Error, Result},
    graph::Graph,
    import::fingerprint::FingerprintHasher,
    shape::Shape,
    tensor::Tensor,
};

/// What a file may ask for. The defaults hold for any model that fits its format; lower them where files come from
/// strangers.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ImportOptions {
    /// The largest ONNX file that is read, in bytes. The format itself ends at 2 GiB.
    pub max_file_bytes: u64,
    /// The most messages and names that an ONNX file may hold.
    pub max_items: usize,
    /// The most bytes of an ONNX file besides its weights.
    pub max_structure_bytes: usize,
    /// The largest header of a safetensors file, in bytes.
    pub max_header_bytes: u64,
    /// A folder whose files may be reached through symbolic links and may have several names (hard links), as in the
    /// caches of model hubs. `None`: a model's data lie in its own folder, in files of one name.
    pub trusted_root: Option<PathBuf>,
    /// Inputs of an ONNX model that have the same value in every run, by name: they are constants then, and operators
    /// that need an operand when the model is loaded (a shape, an axis) can read them.
    pub constants: Vec<(String, Tensor)>,
    /// Where the weights of a Hugging Face folder stay.
    pub weights: Weights,
}

/// Where weights stay once a model is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Weights {
    /// In the process's own memory, in the order in which kernels read them: the fastest.
    #[default]
    Own,
    /// In their safetensors file, which is mapped and read in place: all processes that do so share one copy, in the
    /// system's page cache, and it may be larger than memory. Products order a matrix anew in each run, so chunks should
    /// be large; the results are the same bits. Weights that are not f32 are copied all the same, and a note says so.
    ///
    /// The files must not change while a model of them is open: one that is cut short then ends the process with `SIGBUS`,
    /// which no library can catch. Replace a model by a new file under the old name
    /// ([`publish`](crate::bulk::publish)), never by writing into the old one.
    Mapped,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            max_file_bytes: 2 << 30,
            max_items: 1 << 20,
            max_structure_bytes: 64 << 20,
            max_header_bytes: 16 << 20,
            trusted_root: None,
            constants: Vec::new(),
            weights: Weights::Own,
        }
    }
}

impl ImportOptions {
    /// Trusts links that lead into the folder `root`, and files there that have several names.
    #[must_use]
    pub fn trust_root(mut self, root: impl Into<PathBuf>) -> Self {
        self.trusted_root = Some(root.into());
        self
    }

    /// Gives an input of an ONNX model a value for good; it is no input of the model any more.
    #[must_use]
    pub fn constant(mut self, name: impl Into<String>, value: Tensor) -> Self {
        self.constants.push((name.into(), value));
        self
    }

    /// Says where the weights of a Hugging Face folder stay.
    #[must_use]
    pub fn weights(mut self, weights: Weights) -> Self {
        self.weights = weights;
        self
    }

    /// Caps the size of an ONNX file.
    #[must_use]
    pub fn max_file_bytes(mut self, bytes: u64) -> Self {
        self.max_file_bytes = bytes;
        self
    }

    /// Caps the messages and names of an ONNX file.
    #[must_use]
    pub fn max_items(mut self, items: usize) -> Self {
        self.max_items = items;
        self
    }

    /// Caps the header of a safetensors file.
    #[must_use]
    pub fn max_header_bytes(mut self, bytes: u64) -> Self {
        self.max_header_bytes = bytes;
        self
    }

    /// Caps the bytes of an ONNX file besides its weights.
    #[must_use]
    pub fn max_structure_bytes(mut self, bytes: usize) -> Self {
        self.max_structure_bytes = bytes;
        self
    }
}

/// A model read from a file, before it is loaded onto a device.
#[derive(Debug)]
pub struct Model {
    graph: Graph,
    notes: Vec<String>,
    origin: Origin,
    reading: Duration,
}

/// Where the fingerprint comes from when it is asked for.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    Named(String),
    Files(Vec<FileStamp>),
}

/// A file as it was when it was read.
#[derive(Clone, Debug)]
pub(crate) struct FileStamp {
    pub(crate) path: PathBuf,
    pub(crate) len: u64,
    modified: Option<SystemTime>,
}

impl FileStamp {
    pub(crate) fn of(path: PathBuf, meta: &fs::Metadata) -> Self {
        Self { path, len: meta.len(), modified: meta.modified().ok() }
    }

    /// Opens the file again, if it is still the same.
    fn reopen(&self) -> Option<File> {
        let file = File::open(&self.path).ok()?;
        let meta = file.metadata().ok()?;
        (meta.len() == self.len && meta.modified().ok() == self.modified).then_some(file)
    }
}

impl Origin {
    /// The fingerprint; says so where a file has changed since.
    pub(crate) fn fingerprint(&self) -> String {
        let files = match self {
            Origin::Named(name) => return name.clone(),
            Origin::Files(files) => files,
        };
        let mut fingerprint = FingerprintHasher::new();
        let mut piece = vec![0; 1 << 18];
        for stamp in files {
            let Some(mut file) = stamp.reopen() else {
                return "unknown: the file has changed since it was read".to_owned();
            };
            loop {
                match file.read(&mut piece) {
                    Ok(0) => break,
                    Ok(count) => fingerprint.update(&piece[..count]),
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(error) => return format!("unknown: reading the file failed: {error}"),
                }
            }
        }
        fingerprint.name()
    }
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

    /// Fixes the dimensions of an input; those of all other values follow from them.
    ///
    /// A single symbolic dimension is fixed by [`SessionOptions::dimension`].
    ///
    /// # Errors
    /// When no input has that name, or an operator does not accept the dimensions.
    pub fn set_input_shape(&mut self, name: &str, dims: &[usize]) -> Result<()> {
        self.graph.set_input_shape(name, Shape::fixed(dims))
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
