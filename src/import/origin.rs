//! The files of a model, from which its fingerprint is computed.

use std::{
    fs::{self, File},
    io::{ErrorKind, Read},
    path::PathBuf,
    time::SystemTime,
};

use crate::import::fingerprint::FingerprintHasher;

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
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return format!("unknown: reading the file failed: {error}"),
                }
            }
        }
        fingerprint.name()
    }
}
