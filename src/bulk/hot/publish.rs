//! Files and folders that are replaced while others, in this process or another, read them.
//!
//! A writer fills a neighbour, `NAME.new`, and then, under the exclusive lock of another one, `NAME.lock`, lets it take
//! the name; readers hold the shared lock while they open. Writers take turns by the lock of a third, `NAME.writing`, so
//! that readers wait only for the renaming. The two lock files are empty, and stay.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    threads::panics,
};

/// Where something is published.
struct Place {
    path: PathBuf,
    /// What is to take its name.
    new: PathBuf,
    /// The folder that had its name before.
    old: PathBuf,
    lock: PathBuf,
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

    /// Waits for the exclusive lock of `file`, which is made if need be; it lasts as long as the value.
    fn exclusive(&self, file: &Path) -> Result<File> {
        let locked = File::options().write(true).create(true).truncate(false).open(file).and_then(|file| {
            file.lock()?;
            Ok(file)
        });
        locked.map_err(|error| self.error(error, "locking"))
    }

    /// Waits for the readers' lock; `None` where nobody has published anything.
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

    /// Whether a writer was ended between the two renames of a folder.
    fn is_torn(&self) -> bool {
        !exists(&self.path) && exists(&self.old)
    }

    /// Under the exclusive lock: lets the old folder have its name back if it is torn.
    fn mend(&self) -> io::Result<()> {
        if self.is_torn() { fs::rename(&self.old, &self.path) } else { Ok(()) }
    }

    /// Gives the name to what is new.
    fn swap(&self) -> Result<()> {
        let lock = self.exclusive(&self.lock)?;
        let replaced = self.mend().and_then(|()| {
            // A file takes the name of another in one step, a folder only that of none.
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
        // Best effort: the next writer removes what is left over.
        let _ = remove(&self.old);
        Ok(())
    }
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Removes a file or a folder, if there is one.
fn remove(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Has the system write a file, or all files of a folder, to its medium.
fn sync(path: &Path) -> io::Result<()> {
    if !path.is_dir() {
        return File::open(path)?.sync_all();
    }
    fs::read_dir(path)?.try_for_each(|entry| sync(&entry?.path()))
}

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

/// Writes a file so that readers in any process see the old content or the new, never a half: `write` fills a
/// neighbour of it, which then takes its name. Several writers take turns.
///
/// # Errors
/// What `write` returns, and failures of the file system; the old content then stands.
pub fn publish(path: impl AsRef<Path>, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let path = path.as_ref();
    publish_with(path, |new| {
        let io = |error| Error::io(error, format!("writing beside {}", path.display()));
        let mut file = File::create(new).map_err(io)?;
        write(&mut file)?;
        file.flush().map_err(io)
    })
}

/// [`publish`] for a folder of files that belong together: `write` fills an empty neighbour of it, whose path it is
/// given, and which then takes the name.
///
/// Unlike a file, a folder cannot be replaced in one step: readers that are to see the old files or the new ones,
/// never some of each, open them by [`read_published`]. [`Hot`](super::Hot) does so by itself.
///
/// # Errors
/// What `write` returns, and failures of the file system; the old folder then stands.
pub fn publish_folder(folder: impl AsRef<Path>, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let folder = folder.as_ref();
    publish_with(folder, |new| {
        fs::create_dir(new)
            .map_err(|error| Error::io(error, format!("making a folder beside {}", folder.display())))?;
        write(new)
    })
}

/// Opens a file or folder that others publish meanwhile: `open` is given its path, and what has that path is not
/// replaced before it returns. Where it was published for the first time meanwhile, what `open` gave is dropped and it
/// is called again. It must not itself publish there.
///
/// # Errors
/// What `open` returns, a panic in it, and failures of the file system.
pub fn read_published<T>(path: impl AsRef<Path>, open: impl Fn(&Path) -> Result<T>) -> Result<T> {
    let path = path.as_ref();
    // What has no name has nobody beside it.
    let Ok(place) = Place::of(path) else { return panics::catch(|| open(path)) };
    let mut lock = place.shared()?;
    let open = || panics::catch(|| open(path));
    if lock.is_none() {
        // What this finds may be of two ages; then there is a lock afterwards.
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
