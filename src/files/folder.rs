//! What the folder of a job does for it, on this machine or in a store.

mod lines;
pub(in crate::files) mod local;
pub(in crate::files) mod scratch;

use std::{
    fmt,
    fs::File,
    io::{self, Read, Seek},
    path::{Path, PathBuf},
    thread::JoinHandle,
    time::Duration,
};

use crate::{
    bulk::CancelToken,
    error::{Error, ErrorKind, Result},
    files::manifest::{Finished, Manifest},
};

/// How often a lock that another process holds is asked for.
pub(in crate::files) const LOOK: Duration = Duration::from_millis(20);

/// The plan within a folder.
pub(in crate::files) const PLAN: &str = "_gristmill/plan.json";

/// The manifest within a folder.
pub(in crate::files) const MANIFEST: &str = "_gristmill/manifest.jsonl";

/// The folder of a job; names within are those of its files.
pub(in crate::files) trait Folder: fmt::Debug + Send + Sync {
    /// The path or URL of a file in it, or of the folder itself for an empty name.
    fn path(&self, name: &str) -> PathBuf;

    /// Makes it ready for a job.
    ///
    /// # Errors
    /// If it cannot be written, or holds something other than a job.
    fn make(&self) -> Result<()>;

    /// Keeps other processes from starting a job here meanwhile, if it can.
    fn lock(&self) -> Result<Option<Lock>>;

    /// The text of the plan, if there is one.
    fn plan(&self) -> Result<Option<String>>;

    /// Writes the plan where `was` is the one that is there; false if it is another one.
    fn write_plan(&self, text: &str, was: Option<&str>) -> Result<bool>;

    /// Refuses a folder in which processes could harm each other's files; its plan is `text`.
    fn check_writes(&self, text: &str) -> Result<()>;

    /// Reads which parts are finished.
    fn manifest(&self) -> Result<Manifest>;

    /// Takes the part of a shard; `None` if another process, or another job of this one, has it.
    fn claim(&self, name: &str) -> Result<Option<Box<dyn Claim>>>;

    /// Opens a file for reading, if it is there; one of a store as a copy on this machine.
    fn open(&self, name: &str) -> Result<Option<File>>;

    /// The names of all files and folders right in it.
    fn names(&self) -> Result<Vec<String>>;

    /// How long to wait for parts that other processes have, before they are looked at again.
    fn pause(&self) -> Duration;

    /// Waits a short while until what claims that were dropped had to say is said.
    fn leave(&self);
}

/// A part of a shard that this process alone makes; dropped before its end it leaves nothing.
pub(in crate::files) trait Claim: fmt::Debug + Send {
    /// Whether another process has taken the part over.
    fn is_lost(&self) -> bool;

    /// Begins the part or its dead letters: a file that appears under its name with the rest of the part.
    fn begin(&self, name: &str) -> Result<File>;

    /// The failure to write a file that was begun.
    fn writing(&self, name: &str, error: io::Error) -> Error;

    /// Takes the finished part back, before it is made once more.
    fn reopen(&mut self) -> Result<()>;

    /// Makes the files of a part appear, and notes that it is finished.
    fn publish(self: Box<Self>, written: Written) -> Result<Publishing>;
}

/// A part with all its rows.
#[derive(Debug)]
pub(in crate::files) struct Written {
    /// Without sizes and hashes of files.
    pub(in crate::files) finished: Finished,
    pub(in crate::files) file: File,
    pub(in crate::files) letters: Option<File>,
}

impl Written {
    /// Reads the files back, so that the manifest states what is in them.
    pub(in crate::files) fn seal(&mut self) -> io::Result<()> {
        let never = CancelToken::new();
        (self.finished.bytes, self.finished.blake3) = hash(&mut self.file, &never)?;
        if let Some(letters) = &mut self.letters {
            self.finished.errors_blake3 = hash(letters, &never)?.1;
        }
        Ok(())
    }
}

/// How far the end of a part is.
pub(in crate::files) enum Publishing {
    /// The part is finished; `None` if another process has taken it over.
    Ended(Option<Finished>),
    /// A thread writes it into a store.
    Running(JoinHandle<Result<Option<Finished>>>),
}

/// A lock that is released when dropped, and when its process dies.
#[derive(Debug)]
pub(in crate::files) struct Lock(#[expect(dead_code, reason = "an open file is the lock")] File);

/// A name without its extension.
pub(in crate::files) fn stem(name: &str) -> &str {
    name.split_once('.').map_or(name, |(stem, _)| stem)
}

/// The name of the dead letters of a part.
pub(in crate::files) fn letters_name(part: &str) -> String {
    format!("{}.errors.jsonl", stem(part))
}

/// The failure to write a file of a job.
pub(in crate::files) fn writing(place: &Path, error: io::Error) -> Error {
    Error::io(error, format!("writing {}; finished parts stay valid, and the job can be resumed", place.display()))
}

/// The failure to read a file of a job.
pub(in crate::files) fn reading(place: &Path, error: io::Error) -> Error {
    Error::io(error, format!("reading {}", place.display()))
}

/// The size and the BLAKE3 hash of a file of a folder; `None` if it is not there.
pub(in crate::files) fn hash_of(
    folder: &dyn Folder,
    name: &str,
    cancel: &CancelToken,
) -> Result<Option<(u64, String)>> {
    let Some(mut file) = folder.open(name)? else { return Ok(None) };
    hash(&mut file, cancel).map(Some).map_err(|error| reading(&folder.path(name), error))
}

/// The size and the BLAKE3 hash of a file, which is read from its start.
pub(in crate::files) fn hash(file: &mut (impl Read + Seek), cancel: &CancelToken) -> io::Result<(u64, String)> {
    file.rewind()?;
    let (mut hasher, mut bytes, mut buffer) = (blake3::Hasher::new(), 0, vec![0; 1 << 18]);
    loop {
        if cancel.is_cancelled() {
            return Err(io::Error::other(Error::new(ErrorKind::Cancelled, "the job was cancelled")));
        }
        match file.read(&mut buffer) {
            Ok(0) => return Ok((bytes, hasher.finalize().to_hex().to_string())),
            Ok(read) => {
                hasher.update(&buffer[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
