//! A walk over files and folders that holds one folder's names at a time.

use std::{fs, path::PathBuf};

use gristmill::{Error, Result};

/// Walks paths in the given order, and folders in the order of names.
///
/// A folder is an item itself, before its contents. A link to a folder found on the way is an item that is not entered,
/// so every walk ends.
pub struct Files {
    /// The paths still to visit, the next one last, each with whether the user named it.
    pending: Vec<(PathBuf, bool)>,
}

impl Files {
    /// Starts a walk over `paths`.
    pub fn below(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut pending: Vec<_> = paths.into_iter().map(|path| (path, true)).collect();
        pending.reverse();
        Self { pending }
    }
}

impl Iterator for Files {
    /// A path, or a folder that could not be listed with the reason.
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
                Err(error) => return Some(Err((path, Error::io(error, "listing it")))),
            }
        }
        Some(Ok(path))
    }
}
