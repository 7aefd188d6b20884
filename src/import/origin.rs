//! The files of a model, from which its fingerprint is computed.

use std::{
    fs::{self, File},
    io::{ErrorKind, Read},
    path::PathBuf,
    time::SystemTime,
};

use crate::import::fingerprint::FingerprintHasher;

/// The source of a model's fingerprint.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// The fingerprint itself.
    Named(String),
    /// The files to hash when the fingerprint is needed.
    Files(Vec<FileStamp>),
}

/// A file's path, length and time of modification when it was read.
#[derive(Clone, Debug)]
pub(crate) struct FileStamp {
    pub(crate) path: PathBuf,
    pub(crate) len: u64,
    modified: Option<SystemTime>,
}

impl FileStamp {
    /// The stamp of the file at `path` with the metadata `meta`.
    pub(crate) fn of(path: PathBuf, meta: &fs::Metadata) -> Self {
        Self { path, len: meta.len(), modified: meta.modified().ok() }
    }

    /// Opens the file again, unless its length or time has changed.
    fn reopen(&self) -> Option<File> {
        let file = File::open(&self.path).ok()?;
        let meta = file.metadata().ok()?;
        (meta.len() == self.len && meta.modified().ok() == self.modified).then_some(file)
    }
}

impl Origin {
    /// The fingerprint, or a text that says why it is unknown.
    pub(crate) fn fingerprint(&self) -> String {
        match self {
            Self::Named(name) => name.clone(),
            Self::Files(files) => fingerprint_of(files),
        }
    }
}

/// The fingerprint of files, or a text that says why it is unknown.
pub(crate) fn fingerprint_of(files: &[FileStamp]) -> String {
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
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return format!("unknown: reading the file failed: {error}"),
            }
        }
    }
    fingerprint.name()
}
