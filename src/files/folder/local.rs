//! A folder on this machine: files that appear whole, and locks that end with their owner.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crate::{
    bulk::CancelToken,
    error::{Error, ErrorKind, Result},
    files::{
        folder::{
            Claim, Folder, LOOK, Lock, PLAN, Publishing, Written, letters_name,
            lines::{self, Lines},
            reading, stem, writing,
        },
        manifest::{Line, Manifest},
    },
};

/// A folder of a job on this machine.
#[derive(Clone, Debug)]
pub(in crate::files) struct LocalFolder {
    root: PathBuf,
    cancel: CancelToken,
}

/// A part whose lock this process holds.
#[derive(Debug)]
struct LocalClaim {
    folder: LocalFolder,
    name: String,
    _lock: Lock,
}

impl LocalFolder {
    pub(in crate::files) fn new(root: &Path, cancel: &CancelToken) -> Self {
        Self { root: root.to_owned(), cancel: cancel.clone() }
    }

    fn inner(&self) -> PathBuf {
        self.root.join("_gristmill")
    }

    fn locks(&self) -> PathBuf {
        self.inner().join("locks")
    }

    /// Where a file lies until it is whole; its owner holds a lock.
    fn temporary(&self, name: &str) -> PathBuf {
        self.inner().join("temporary").join(Path::new(name).file_name().unwrap_or_default())
    }

    fn make_inner(&self) -> Result<()> {
        for folder in [self.inner().join("temporary"), self.locks()] {
            fs::create_dir_all(&folder).map_err(|error| Error::io(error, format!("making {}", folder.display())))?;
        }
        Ok(())
    }

    /// Removes what no finished job needs: locks, and what killed processes left.
    pub(super) fn tidy(&self) {
        // What cannot be removed harms nobody.
        let _ = fs::remove_dir_all(self.inner().join("temporary"));
        let _ = fs::remove_dir_all(self.locks());
    }

    /// Locks the plan and the manifest, waiting for others.
    pub(super) fn wait_for_lock(&self, cancel: &CancelToken) -> Result<Lock> {
        loop {
            if let Some(lock) = self.try_lock("job")? {
                return Ok(lock);
            }
            if cancel.is_cancelled() {
                return Err(Error::new(ErrorKind::Cancelled, "the job was cancelled"));
            }
            thread::sleep(LOOK);
        }
    }

    /// Takes a lock; `None` if another process, or another job of this one, has it.
    fn try_lock(&self, name: &str) -> Result<Option<Lock>> {
        let path = self.locks().join(format!("{}.lock", stem(name)));
        let open = || OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = match open() {
            // A process that saw the end of the job has removed the folder.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make_inner().and_then(|()| {
                open().map_err(|error| Error::io(error, format!("making the lock {}", path.display())))
            })?,
            opened => opened.map_err(|error| Error::io(error, format!("making the lock {}", path.display())))?,
        };
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => {
                let doing = format!("locking {}, which needs a file system with locks", path.display());
                Err(Error::io(error, doing))
            }
        }
    }

    /// Begins a file that will appear under a name; the caller holds the lock for it.
    fn begin(&self, name: &str) -> Result<File> {
        let path = self.temporary(name);
        let fail = |error| writing(&self.path(name), error);
        let make = || OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&path);
        match make() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_inner()?;
                make().map_err(fail)
            }
            made => made.map_err(fail),
        }
    }

    /// Makes a whole file appear under its name, on the disk for good.
    fn publish(&self, file: &File, name: &str) -> Result<()> {
        let place = self.path(name);
        let fail = |error| writing(&place, error);
        file.sync_all().map_err(fail)?;
        fs::rename(self.temporary(name), &place).map_err(fail)?;
        sync(place.parent().unwrap_or(&self.root)).map_err(fail)
    }

    /// Drops a file that was begun.
    fn drop_begun(&self, name: &str) {
        // What stays is overwritten by the next owner, and removed at the end of the job.
        let _ = fs::remove_file(self.temporary(name));
    }

    /// Replaces a file whole.
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut file = self.begin(name)?;
        file.write_all(bytes).map_err(|error| writing(&self.path(name), error))?;
        self.publish(&file, name)
    }
}

impl Folder for LocalFolder {
    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.root.clone() } else { self.root.join(name) }
    }

    fn make(&self) -> Result<()> {
        let root = &self.root;
        match fs::read_dir(root) {
            Ok(mut entries) => {
                // In this order: another process makes `_gristmill` before anything else.
                if entries.next().is_some() && !self.inner().is_dir() {
                    return Err(Error::new(
                        ErrorKind::InvalidInput,
                        format!("the folder {} holds other files; name an empty or a new one", root.display()),
                    ));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io(error, format!("reading the folder {}", root.display()))),
        }
        self.make_inner()
    }

    fn lock(&self) -> Result<Option<Lock>> {
        self.wait_for_lock(&self.cancel).map(Some)
    }

    fn plan(&self) -> Result<Option<String>> {
        let path = self.path(PLAN);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(reading(&path, error)),
        }
    }

    /// The lock keeps others from writing it meanwhile.
    fn write_plan(&self, text: &str, _: Option<&str>) -> Result<bool> {
        self.replace(PLAN, text.as_bytes()).map(|()| true)
    }

    fn check_writes(&self, _: &str) -> Result<()> {
        Ok(())
    }

    fn manifest(&self) -> Result<Manifest> {
        Manifest::read(Lines::new(self))
    }

    fn claim(&self, name: &str) -> Result<Option<Box<dyn Claim>>> {
        let claim = |lock| LocalClaim { folder: self.clone(), name: name.to_owned(), _lock: lock };
        Ok(self.try_lock(name)?.map(|lock| Box::new(claim(lock)) as Box<dyn Claim>))
    }

    fn open(&self, name: &str) -> Result<Option<File>> {
        let path = self.path(name);
        match File::open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(reading(&path, error)),
        }
    }

    fn names(&self) -> Result<Vec<String>> {
        let entries = fs::read_dir(&self.root).map_err(|error| reading(&self.root, error))?;
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        entries.map(|entry| entry.map(name).map_err(|error| reading(&self.root, error))).collect()
    }

    fn pause(&self) -> Duration {
        10 * LOOK
    }

    fn leave(&self) {}
}

impl Claim for LocalClaim {
    fn is_lost(&self) -> bool {
        false
    }

    fn begin(&self, name: &str) -> Result<File> {
        self.folder.begin(name)
    }

    fn writing(&self, name: &str, error: io::Error) -> Error {
        writing(&self.folder.path(name), error)
    }

    fn reopen(&mut self) -> Result<()> {
        let lock = self.folder.wait_for_lock(&self.folder.cancel)?;
        lines::append(&self.folder, &lock, &Line::Reopened { reopened: self.name.clone() })
    }

    fn publish(self: Box<Self>, mut written: Written) -> Result<Publishing> {
        let Self { folder, name, .. } = &*self;
        written.seal().map_err(|error| writing(&folder.path(name), error))?;
        let letters = letters_name(name);
        if let Some(file) = &written.letters {
            folder.publish(file, &letters)?;
        } else if let Err(error) = fs::remove_file(folder.path(&letters))
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(writing(&folder.path(&letters), error));
        }
        folder.publish(&written.file, name)?;
        let lock = folder.wait_for_lock(&CancelToken::new())?;
        lines::append(folder, &lock, &Line::Finished(written.finished.clone()))?;
        Ok(Publishing::Ended(Some(written.finished)))
    }
}

impl Drop for LocalClaim {
    fn drop(&mut self) {
        self.folder.drop_begun(&self.name);
        self.folder.drop_begun(&letters_name(&self.name));
    }
}

/// Makes names in a folder last through a crash of the machine.
fn sync(folder: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    match File::open(folder)?.sync_all() {
        // Some file systems cannot.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}
