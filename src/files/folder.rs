//! The folder of a job: names in it, files that appear whole, and locks that end with their owner.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crate::{
    bulk::CancelToken,
    error::{Error, ErrorKind, Result},
    files::url::Scheme,
};

/// How often a lock that another process holds is asked for.
pub(in crate::files) const LOOK: Duration = Duration::from_millis(20);

/// The folder of a job.
#[derive(Clone, Debug)]
pub(in crate::files) struct Folder(PathBuf);

/// A lock that is released when dropped, and when its process dies.
#[derive(Debug)]
pub(in crate::files) struct Lock(#[expect(dead_code, reason = "an open file is the lock")] File);

impl Folder {
    /// # Errors
    /// If the path is a URL.
    pub(in crate::files) fn new(root: &Path) -> Result<Self> {
        match Scheme::of(root) {
            Some((scheme, _)) => Err(Error::unsupported(format!(
                "a folder of a job is on this machine, not below {}://; write to a local folder, and copy it",
                scheme.name()
            ))),
            None => Ok(Self(root.to_owned())),
        }
    }

    pub(in crate::files) fn root(&self) -> &Path {
        &self.0
    }

    fn inner(&self) -> PathBuf {
        self.0.join("_gristmill")
    }

    pub(in crate::files) fn plan(&self) -> PathBuf {
        self.inner().join("plan.json")
    }

    pub(in crate::files) fn manifest(&self) -> PathBuf {
        self.inner().join("manifest.jsonl")
    }

    pub(in crate::files) fn part(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The file of a part's dead letters.
    pub(in crate::files) fn letters(&self, name: &str) -> PathBuf {
        self.0.join(format!("{}.errors.jsonl", stem(name)))
    }

    /// Where a file lies until it is whole; its owner holds a lock.
    pub(in crate::files) fn temporary(&self, place: &Path) -> PathBuf {
        let name = place.file_name().unwrap_or_default();
        self.inner().join("temporary").join(name)
    }

    fn locks(&self) -> PathBuf {
        self.inner().join("locks")
    }

    /// Makes the folder and those inside, unless they are there.
    ///
    /// # Errors
    /// If it cannot be written, or holds something other than a job.
    pub(in crate::files) fn make(&self) -> Result<()> {
        let root = &self.0;
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

    fn make_inner(&self) -> Result<()> {
        for folder in [self.inner().join("temporary"), self.locks()] {
            fs::create_dir_all(&folder).map_err(|error| Error::io(error, format!("making {}", folder.display())))?;
        }
        Ok(())
    }

    /// Removes what no finished job needs: locks, and what killed processes left.
    pub(in crate::files) fn tidy(&self) {
        // What cannot be removed harms nobody.
        let _ = fs::remove_dir_all(self.inner().join("temporary"));
        let _ = fs::remove_dir_all(self.locks());
    }

    /// Locks the plan and the manifest, waiting for others.
    pub(in crate::files) fn lock(&self, cancel: &CancelToken) -> Result<Lock> {
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

    /// Locks a shard; `None` if another process, or another job of this one, has it.
    pub(in crate::files) fn try_lock(&self, name: &str) -> Result<Option<Lock>> {
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

    /// Begins a file that will appear under `place`; the caller holds the lock for it.
    pub(in crate::files) fn begin(&self, place: &Path) -> Result<File> {
        let path = self.temporary(place);
        let fail = |error| writing(place, error);
        match File::create(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_inner()?;
                File::create(&path).map_err(fail)
            }
            made => made.map_err(fail),
        }
    }

    /// Makes a whole file appear under `place`, on the disk for good.
    pub(in crate::files) fn publish(&self, file: &File, place: &Path) -> Result<()> {
        let fail = |error| writing(place, error);
        file.sync_all().map_err(fail)?;
        fs::rename(self.temporary(place), place).map_err(fail)?;
        sync(place.parent().unwrap_or(&self.0)).map_err(fail)
    }

    /// Drops a file that was begun.
    pub(in crate::files) fn drop_begun(&self, place: &Path) {
        // What stays is overwritten by the next owner, and removed at the end of the job.
        let _ = fs::remove_file(self.temporary(place));
    }

    /// Replaces a file whole.
    pub(in crate::files) fn replace(&self, place: &Path, bytes: &[u8]) -> Result<()> {
        let mut file = self.begin(place)?;
        file.write_all(bytes).map_err(|error| writing(place, error))?;
        self.publish(&file, place)
    }
}

/// A name without its extension.
pub(in crate::files) fn stem(name: &str) -> &str {
    name.split_once('.').map_or(name, |(stem, _)| stem)
}

/// The failure to write a file of a job.
pub(in crate::files) fn writing(place: &Path, error: io::Error) -> Error {
    Error::io(error, format!("writing {}; finished parts stay valid, and the job can be resumed", place.display()))
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

/// The size and the BLAKE3 hash of a file on this machine.
pub(in crate::files) fn hash_file(path: &Path, cancel: &CancelToken) -> Result<(u64, String)> {
    let file = File::open(path).map_err(|error| Error::io(error, format!("reading {}", path.display())))?;
    hash(file, path, cancel)
}

/// The size and the BLAKE3 hash of what a reader of the file has.
pub(in crate::files) fn hash(mut file: impl Read, path: &Path, cancel: &CancelToken) -> Result<(u64, String)> {
    let fail = |error| Error::io(error, format!("reading {}", path.display()));
    let (mut hasher, mut bytes, mut buffer) = (blake3::Hasher::new(), 0, vec![0; 1 << 18]);
    loop {
        if cancel.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "the job was cancelled"));
        }
        match file.read(&mut buffer) {
            Ok(0) => return Ok((bytes, hasher.finalize().to_hex().to_string())),
            Ok(read) => {
                hasher.update(&buffer[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(fail(error)),
        }
    }
}
