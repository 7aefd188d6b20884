//! The files below some paths, one after another, without holding them all.

use std::{fs, path::PathBuf};

use gristmill::{Error, Result};

/// Walks paths in the order given, folders in the order of their names. A folder is an item too, ahead of what is in
/// it; a link to a folder that is met on the way is an item that is not entered, so that no walk is endless.
pub struct Files {
    /// What comes next is last.
    pending: Vec<(PathBuf, bool)>,
}

impl Files {
    /// Below these paths.
    pub fn below(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut pending: Vec<_> = paths.into_iter().map(|path| (path, true)).collect();
        pending.reverse();
        Self { pending }
    }
}

impl Iterator for Files {
    /// A path, or the folder that could not be listed and why.
    type Item = Result<PathBuf, (PathBuf, Error)>;

    fn next(&mut self) -> Option<Self::Item> {
        let (path, given) = self.pending.pop()?;
        // A path that the user named is entered even if it is a link.
        let is_folder = if given { fs::metadata(&path) } else { fs::symlink_metadata(&path) };
        if is_folder.is_ok_and(|kind| kind.is_dir()) {
            let listed = fs::read_dir(&path).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
            match listed {
                Ok(below) => {
                    let mut below: Vec<PathBuf> = below;
                    below.sort_unstable();
                    self.pending.extend(below.into_iter().rev().map(|path| (path, false)));
                }
                Err(error) => return Some(Err((path, Error::io(error, "cannot be listed")))),
            }
        }
        Some(Ok(path))
    }
}
