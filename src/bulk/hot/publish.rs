//! Replacing files and folders while this or another process reads them.
//!
//! A writer fills `NAME.new` and then renames it to `NAME` under an exclusive lock on `NAME.lock`;
//! readers hold a shared lock on it while they open. Writers take turns by a lock on
//! `NAME.writing`, so that readers wait only for the rename. The two lock files are empty and are
//! not removed.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::{
    error::{AnyError, Error, Result},
    threads::panics,
};

/// The paths of something that is published.
struct Place {
    path: PathBuf,
    /// The file or folder that will replace it.
    new: PathBuf,
    /// The folder that was replaced.
    old: PathBuf,
    /// Locked by readers, and by a writer that renames.
    lock: PathBuf,
    /// Locked by a writer.
    turn: PathBuf,
}

impl Place {
    fn of(path: &Path) -> Result<Self> {
        let whole;
        let path = if path.file_name().is_some() {
            path
        } else {
            whole = fs::canonicalize(path).map_err(|error| Error::io(error, format!("finding {}", path.display())))?;
            &whole
        };
        let Some(name) = path.file_name() else {
            return Err(Error::invalid_input(format!("{} has no name that could be given anew", path.display())));
        };
        let neighbour = |ending: &str| {
            let mut name = name.to_owned();
            name.push(ending);
            path.with_file_name(name)
        };
        let [new, old, lock, turn] = [".new", ".old", ".lock", ".writing"].map(neighbour);
        Ok(Self { path: path.to_owned(), new, old, lock, turn })
    }

    fn error(&self, error: io::Error, doing: &str) -> Error {
        Error::io(error, format!("{doing} {}", self.path.display()))
    }

    /// Waits for the exclusive lock on `file`, which is created if missing; dropping the result
    /// releases it.
    fn exclusive(&self, file: &Path) -> Result<File> {
        let locked = File::options().write(true).create(true).truncate(false).open(file).and_then(|file| {
            file.lock()?;
            Ok(file)
        });
        locked.map_err(|error| self.error(error, "locking"))
    }

    /// Waits for the readers' lock; `None` if nothing has been published.
    fn shared(&self) -> Result<Option<File>> {
        let locked = File::open(&self.lock).and_then(|file| {
            file.lock_shared()?;
            Ok(file)
        });
        match locked {
            Ok(file) => Ok(Some(file)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(self.error(error, "locking")),
        }
    }

    /// Whether a writer was killed between the two renames of a folder.
    fn is_torn(&self) -> bool {
        !exists(&self.path) && exists(&self.old)
    }

    /// Renames the old folder back if a writer was killed; to be called under the exclusive lock.
    fn mend(&self) -> io::Result<()> {
        if self.is_torn() { fs::rename(&self.old, &self.path) } else { Ok(()) }
    }

    /// Replaces the old file or folder by the new one.
    fn swap(&self) -> Result<()> {
        let lock = self.exclusive(&self.lock)?;
        let replaced = self.mend().and_then(|()| {
            // A file can replace another in one step; a folder cannot.
            let aside = self.new.is_dir() && exists(&self.path);
            if aside {
                remove(&self.old)?;
                fs::rename(&self.path, &self.old)?;
            }
            fs::rename(&self.new, &self.path).or_else(|error| {
                self.mend()?;
                Err(error)
            })
        });
        drop(lock);
        replaced.map_err(|error| self.error(error, "replacing"))?;
        // Best effort: the next writer removes leftovers.
        let _ = remove(&self.old);
        Ok(())
    }
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Removes a file or folder if it exists.
fn remove(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Flushes a file, or all files of a folder, to the storage device.
fn sync(path: &Path) -> io::Result<()> {
    if !path.is_dir() {
        return File::open(path)?.sync_all();
    }
    fs::read_dir(path)?.try_for_each(|entry| sync(&entry?.path()))
}

/// Has `write` fill the new file or folder, and replaces the old one by it.
fn publish_with(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let place = Place::of(path)?;
    let _turn = place.exclusive(&place.turn)?;
    let io = |error| place.error(error, "writing beside");
    remove(&place.new).map_err(io)?;
    let written = write(&place.new).and_then(|()| sync(&place.new).map_err(io)).and_then(|()| place.swap());
    if written.is_err() {
        // Best effort, as above.
        let _ = remove(&place.new);
    }
    written
}

/// Writes a file so that readers in any process see the old content or the new, never a part.
///
/// `write` fills a file beside it, which is then renamed; `?` converts any error in it. Several
/// writers take turns.
///
/// # Errors
/// Those of `write`, and failures of the file system; the old content then stays.
pub fn publish(path: impl AsRef<Path>, write: impl FnOnce(&mut File) -> Result<(), AnyError>) -> Result<()> {
    let path = path.as_ref();
    publish_with(path, |new| {
        let io = |error| Error::io(error, format!("writing beside {}", path.display()));
        let mut file = File::create(new).map_err(io)?;
        write(&mut file).map_err(Error::of_closure)?;
        file.flush().map_err(io)
    })
}

/// [`publish`] for a folder of files that belong together.
///
/// `write` gets the path of an empty folder beside it, which is then renamed. Unlike a file, a
/// folder cannot be replaced in one step: readers must open it by [`read_published`] to see only
/// old files or only new ones. [`Hot`](super::Hot) does.
///
/// # Errors
/// Those of `write`, and failures of the file system; the old folder then stays.
pub fn publish_folder(folder: impl AsRef<Path>, write: impl FnOnce(&Path) -> Result<(), AnyError>) -> Result<()> {
    let folder = folder.as_ref();
    publish_with(folder, |new| {
        fs::create_dir(new)
            .map_err(|error| Error::io(error, format!("making a folder beside {}", folder.display())))?;
        write(new).map_err(Error::of_closure)
    })
}

/// Opens a file or folder that may be [published](publish_folder) at the same time.
///
/// `open` gets its path, which is not replaced before `open` returns. If it is published for the
/// first time meanwhile, the result of `open` is dropped and `open` is called again. `open` must
/// not publish at this path.
///
/// # Errors
/// Those of `open`, a panic in it, and failures of the file system.
pub fn read_published<T>(path: impl AsRef<Path>, open: impl Fn(&Path) -> Result<T, AnyError>) -> Result<T> {
    let path = path.as_ref();
    let open = || panics::catch(|| open(path).map_err(Error::of_closure));
    // A path without a file name has no lock files.
    let Ok(place) = Place::of(path) else { return open() };
    let mut lock = place.shared()?;
    if lock.is_none() {
        // This may find old and new files; then the lock file exists afterwards.
        let opened = open();
        lock = place.shared()?;
        if lock.is_none() {
            return opened;
        }
    }
    if place.is_torn() {
        drop(lock);
        let exclusive = place.exclusive(&place.lock)?;
        place.mend().map_err(|error| place.error(error, "restoring"))?;
        drop(exclusive);
        lock = place.shared()?;
    }
    let opened = open();
    drop(lock);
    opened
}
