//! Reading an ONNX file with its external data.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

use crate::{
    error::{Error, Result},
    graph::Graph,
    import::{
        onnx::{External, read},
        options::{ImportOptions, Weights},
        origin::FileStamp,
    },
};

/// A graph, notes on its files, and the files.
type ReadFiles = (Graph, Vec<String>, Vec<FileStamp>);

/// Reads the model in the file `path`, whose metadata is `meta`.
pub(crate) fn open_file(path: &Path, meta: &fs::Metadata, options: &ImportOptions) -> Result<ReadFiles> {
    // Reading a pipe or a device may block, or never end.
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
    let (graph, notes, mut files) = read_bytes(&bytes, &name, Some(folder), options)?;
    files.insert(0, stamp);
    Ok((graph, notes, files))
}

/// Reads a model from `bytes`; `folder` contains its external data, if it may have any.
pub(crate) fn read_bytes(
    bytes: &[u8],
    name: &str,
    folder: Option<&Path>,
    options: &ImportOptions,
) -> Result<ReadFiles> {
    if options.weights == Weights::Mapped {
        return Err(Error::unsupported(
            "only the weights of Hugging Face folders can be mapped, not those of ONNX files",
        ));
    }
    let mut external = External::new(folder, options);
    let (graph, notes) = read(bytes, name, &mut external, options)?;
    Ok((graph, notes, external.into_files()))
}
