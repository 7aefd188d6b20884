//! Tensor data in files beside the model.
//!
//! The location must be a path below the model's own folder. No part of it may be a symbolic link,
//! and the file must have no second hard link, since either would let a model read files elsewhere. [`ImportOptions::trust_root`] admits links into a folder, as caches of model
//! hubs need.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::Path,
};

use crate::{
    error::{Context, Error, Result},
    import::{onnx::tensor, options::ImportOptions, origin::FileStamp},
    tensor::{AlignedBytes, DType, Tensor},
};

/// The files of external data of one model.
#[derive(Debug)]
pub(crate) struct External<'a> {
    folder: Option<&'a Path>,
    options: &'a ImportOptions,
    seen: HashMap<String, Seen>,
    /// The file read last, which stays open.
    open: Option<(String, File)>,
    /// The tensors read so far, so that tensors that share bytes in the file share memory.
    parts: HashMap<(String, u64, usize, DType), Tensor>,
}

#[derive(Debug)]
struct Seen {
    stamp: FileStamp,
    /// Bytes not read yet; limits overlapping tensors to the size of the file in total.
    left: u64,
}

impl<'a> External<'a> {
    /// The files in `folder`; `None` for a model in memory, which may have none.
    pub(crate) fn new(folder: Option<&'a Path>, options: &'a ImportOptions) -> Self {
        Self { folder, options, seen: HashMap::new(), open: None, parts: HashMap::new() }
    }

    /// The files that were read, sorted by path.
    pub(crate) fn into_files(self) -> Vec<FileStamp> {
        let mut files: Vec<_> = self.seen.into_values().map(|seen| seen.stamp).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    }

    /// Reads the tensor of `bytes` bytes at the location that `entries` give.
    pub(super) fn read(
        &mut self,
        dtype: DType,
        shape: Vec<usize>,
        bytes: usize,
        entries: &[(&str, &str)],
    ) -> Result<Tensor> {
        let (mut location, mut offset, mut length) = (None, 0, None);
        for &(key, value) in entries {
            match key {
                "location" => location = Some(value),
                "offset" => offset = number(key, value)?,
                "length" => length = Some(number(key, value)?),
                // A SHA-1 of the file, which ONNX Runtime does not compare either.
                "checksum" => {}
                _ => return Err(Error::unsupported(format!("external data have the key {key:?}, not known here"))),
            }
        }
        let location = location.ok_or_else(|| Error::invalid_model("external data name no file"))?;
        if self.folder.is_none() {
            return Err(of_bytes());
        }
        let location = &path_below(location).context(|| format!("file {location:?}"))?;
        if length.is_some_and(|length| length != bytes as u64) {
            return Err(Error::invalid_model(format!("a tensor {dtype}{shape:?} takes {bytes} bytes, not {length:?}")));
        }
        let key = (location.to_owned(), offset, bytes, dtype);
        if let Some(tensor) = self.parts.get(&key) {
            return tensor.clone().reshape(shape);
        }
        let tensor = self.load(location, offset, dtype, shape, bytes).context(|| format!("file {location:?}"))?;
        self.parts.insert(key, tensor.clone());
        Ok(tensor)
    }

    fn load(&mut self, name: &str, offset: u64, dtype: DType, shape: Vec<usize>, bytes: usize) -> Result<Tensor> {
        if self.open.as_ref().is_none_or(|(other, _)| other != name) {
            let (file, stamp) = self.open(name)?;
            let left = stamp.len;
            self.seen.entry(name.to_owned()).or_insert(Seen { stamp, left });
            self.open = Some((name.to_owned(), file));
        }
        let (Some((_, file)), Some(seen)) = (&mut self.open, self.seen.get_mut(name)) else {
            return Err(Error::internal("a file that was opened is gone"));
        };
        let (len, wanted) = (seen.stamp.len, bytes as u64);
        if offset.checked_add(wanted).is_none_or(|end| end > len) {
            let what = format!("{bytes} bytes from {offset} on are past the file's end at {len}");
            return Err(Error::invalid_model(what));
        }
        seen.left = seen
            .left
            .checked_sub(wanted)
            .ok_or_else(|| Error::invalid_model("the tensors in the file overlap and are larger than it together"))?;
        let mut data = AlignedBytes::try_zeroed(bytes)?;
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.read_exact(&mut data))
            .map_err(|error| Error::io(error, "reading"))?;
        tensor::checked(Tensor::from_aligned(dtype, shape, data)?)
    }

    fn open(&self, name: &str) -> Result<(File, FileStamp)> {
        let folder = self.folder.ok_or_else(of_bytes)?;
        let folder = fs::canonicalize(folder).map_err(|error| Error::io(error, "finding the model's folder"))?;
        let mut path = folder.join(name);
        let root = match &self.options.trusted_root {
            Some(root) => {
                Some(fs::canonicalize(root).map_err(|error| Error::io(error, format!("{}", root.display())))?)
            }
            None => None,
        };
        let trusted = |path: &Path| root.as_ref().is_some_and(|root| path.starts_with(root));
        let target = fs::canonicalize(&path).map_err(|error| Error::io(error, "finding it"))?;
        if target != path {
            if !trusted(&target) {
                return Err(refused("reached by a symbolic link"));
            }
            path = target;
        }
        let file = open_without_links(&path).map_err(|error| Error::io(error, "opening it"))?;
        let meta = file.metadata().map_err(|error| Error::io(error, "asking for its size"))?;
        if !meta.is_file() {
            return Err(Error::invalid_model("it is not a regular file"));
        }
        if names_of(&meta) > 1 && !trusted(&path) {
            return Err(refused("a file of several names (hard links)"));
        }
        // Detects a path that was changed in the meantime.
        if fs::canonicalize(&path).ok().as_ref() != Some(&path) {
            return Err(Error::invalid_model("it is not in the model's folder"));
        }
        Ok((file, FileStamp::of(path, &meta)))
    }
}

fn of_bytes() -> Error {
    Error::unsupported("a model that was given as bytes cannot have data in other files; open it by its path")
}

fn refused(what: &str) -> Error {
    Error::unsupported(format!(
        "it is {what}, which could give a model what lies outside its folder; \
         where the files come from a cache, name its folder with ImportOptions::trust_root"
    ))
}

/// The path of a file below a folder, in its shortest form; anything else is refused, on any system.
fn path_below(name: &str) -> Result<String> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    let parts: Vec<&str> = name.split('/').filter(|part| *part != ".").collect();
    if name.contains(['\\', ':', '\0']) || parts.is_empty() || !parts.iter().all(|part| plain(part)) {
        return Err(Error::invalid_model("external data must lie in the model's folder or below it"));
    }
    Ok(parts.join("/"))
}

/// Parses a decimal number without sign or spaces.
fn number(key: &str, value: &str) -> Result<u64> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    value
        .parse()
        .ok()
        .filter(|_| digits)
        .ok_or_else(|| Error::invalid_model(format!("external data: {key} is {value:?}, expected a number")))
}

#[cfg(unix)]
fn open_without_links(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    // Without O_NONBLOCK, opening a pipe would wait for a writer.
    File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)
}

#[cfg(not(unix))]
fn open_without_links(path: &Path) -> std::io::Result<File> {
    File::open(path)
}

#[cfg(unix)]
fn names_of(meta: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(meta)
}

/// The standard library cannot count hard links on this system.
#[cfg(not(unix))]
fn names_of(_: &fs::Metadata) -> u64 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_below_the_folder_pass() {
        for (name, path) in [
            ("weights.bin", "weights.bin"),
            ("a..b", "a..b"),
            (".hidden", ".hidden"),
            ("é", "é"),
            ("./a", "a"),
            ("./a/./b", "a/b"),
            ("a/b/c", "a/b/c"),
        ] {
            assert_eq!(path_below(name).unwrap(), path);
        }
        for name in
            ["", ".", "./", "..", "/etc/passwd", "../x", "a/../../b", "a/../b", "a//b", "a/", "a\\b", "C:x", "a\0b"]
        {
            assert!(path_below(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn only_plain_numbers_pass() {
        assert_eq!(number("offset", "18446744073709551615").unwrap(), u64::MAX);
        for value in ["", "-1", "+1", " 1", "1 ", "0x10", "18446744073709551616", "1e3"] {
            assert!(number("offset", value).is_err(), "{value:?}");
        }
    }
}
