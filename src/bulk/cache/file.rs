//! The file of a cache, and the thread that keeps it.
//!
//! redb lets one process write a file or any number read it. So a cache holds its file open for reading, which several
//! processes can, and opens it for writing only for a moment. Who wants to write holds the *turn*, a lock on a file
//! beside it; whoever reads sees that the turn is taken and steps aside until it is free again. All of that is done by
//! a thread of the cache's own, `mill-cache`: workers only look up what is open, and leave what is to be written.

mod keeper;
mod record;

use std::{
    fmt,
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Instant,
};

use record::unwrap;
use redb::{ReadOnlyDatabase, ReadOnlyTable, ReadableDatabase, TableDefinition};

use crate::{
    error::{Context, Error, ErrorKind, Result},
    threads::panics::{self, lock},
};

pub(crate) type Key = [u8; 32];

/// Results in the order of writing, so that new ones fill page after page and the oldest come first: key, bytes,
/// checksum.
const RESULTS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("gristmill results 1");
/// The numbers of results by their keys.
const INDEX: TableDefinition<'static, &Key, u64> = TableDefinition::new("gristmill index 1");

/// So many bytes are written without waiting longer, and so many wait at most.
const MANY: usize = 4 << 20;
const MOST: usize = 32 << 20;

/// A file of results, shared by the jobs, threads and processes that have it open; clones are the same.
///
/// Results are written about once a second, by [`flush`](Self::flush), and when the last clone is dropped; a job has one
/// too, and may hold it for a moment longer than its results are held. A process that ends in between loses what it had
/// not written, and nothing else: a file is whole at any time. While one process writes (some hundredths
/// of a second), the others find nothing and run their items instead.
///
/// The file stays within the size it was opened with: the results written first make room for new ones. Beside the
/// file lies another one of the same name and `.lock`.
#[derive(Clone)]
pub struct Cache(Arc<Keeper>);

/// Ends the thread with the last clone.
struct Keeper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    path: PathBuf,
    turn: File,
    /// What results may take in the file.
    most_bytes: u64,
    /// What they may take that are written in one transaction.
    most_at_once: u64,
    /// Open unless somebody writes.
    reader: RwLock<Option<Reader>>,
    waiting: Mutex<Waiting>,
    /// Told when something is to be done, and when it has been.
    changed: Condvar,
    /// Results that were not what was written.
    damaged: AtomicUsize,
    notes: Mutex<Vec<String>>,
}

/// What waits to be written.
#[derive(Default)]
struct Waiting {
    results: Vec<(Key, Vec<u8>)>,
    bytes: usize,
    since: Option<Instant>,
    /// Requests to write and look again, and how many of them have been met.
    wanted: u64,
    met: u64,
    closed: bool,
}

struct Reader {
    index: ReadOnlyTable<&'static Key, u64>,
    results: ReadOnlyTable<u64, &'static [u8]>,
    /// Behind the tables, so that it is dropped after them.
    _database: ReadOnlyDatabase,
}

/// Why the file could not be used.
enum Trouble {
    /// Others have it, and go on having it.
    Busy,
    /// It must be made anew.
    Damaged(String),
    Other(Error),
}

impl Reader {
    fn new(database: ReadOnlyDatabase) -> Result<Self> {
        let failed = |error: redb::Error| Error::user(error);
        let read = database.begin_read().map_err(|error| failed(error.into()))?;
        let index = read.open_table(INDEX).map_err(|error| failed(error.into()))?;
        let results = read.open_table(RESULTS).map_err(|error| failed(error.into()))?;
        Ok(Self { index, results, _database: database })
    }
}

impl Cache {
    /// Opens a cache, or makes one; its file will hold at most `max_bytes`, of which results take a quarter to a half.
    /// Below 4 MiB there is no room for anything.
    ///
    /// A file that is damaged is made anew, and the reports of the jobs that use it say so.
    ///
    /// # Errors
    /// If there is a file that is no cache, if it cannot be read or written, or if a thread cannot be started.
    pub fn open(path: impl AsRef<Path>, max_bytes: u64) -> Result<Self> {
        let path = path.as_ref();
        let place = || format!("the cache {}", path.display());
        let mut lock_name = path.file_name().unwrap_or_default().to_owned();
        lock_name.push(".lock");
        // The largest size that a file of redb has below the cap: a power of two, and a little.
        let step = (max_bytes - max_bytes / 64).checked_ilog2().map_or(0, |log| 1_u64 << log);
        let lock_path = path.with_file_name(lock_name);
        let turn = File::options().create(true).truncate(false).read(true).write(true).open(lock_path);
        let shared = Shared {
            path: path.to_owned(),
            turn: turn.map_err(|error| Error::io(error, "opening its lock")).context(place)?,
            // redb doubles a file that is full; new pages are written while the old ones stand.
            most_bytes: step / 2,
            most_at_once: step / 8,
            reader: RwLock::new(None),
            waiting: Mutex::default(),
            changed: Condvar::new(),
            damaged: AtomicUsize::new(0),
            notes: Mutex::default(),
        };
        shared.check_foreign()?;
        match shared.write(&[]) {
            Ok(()) | Err(Trouble::Busy) => {}
            Err(Trouble::Damaged(why)) => return Err(Error::new(ErrorKind::Io, why).context(place())),
            Err(Trouble::Other(error)) => return Err(error.context(place())),
        }
        shared.read_again();
        let shared = Arc::new(shared);
        let keep = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("mill-cache".into())
            .spawn(move || keep.keep())
            .map_err(|error| Error::io(error, "starting the thread of a cache"))?;
        Ok(Self(Arc::new(Keeper { shared, thread: Some(thread) })))
    }

    /// Writes what waits, and waits for it, but not for longer than other processes can be waited for: 5 s or so.
    pub fn flush(&self) {
        self.sync();
    }

    /// Writes what waits, and sees what others have written.
    pub(in crate::bulk) fn sync(&self) {
        let shared = &self.0.shared;
        let mut waiting = lock(&shared.waiting);
        waiting.wanted += 1;
        let wanted = waiting.wanted;
        shared.changed.notify_all();
        while waiting.met < wanted && !waiting.closed {
            waiting = shared.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What `decode` makes of the result of `key`, if there is one.
    pub(in crate::bulk) fn get<T>(&self, key: &Key, decode: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        let shared = &self.0.shared;
        // The thread holds this lock for no longer than it takes to let go of a file.
        let reader = shared.reader.read().unwrap_or_else(PoisonError::into_inner);
        let reader = reader.as_ref()?;
        // The file may be damaged in any way: whatever redb makes of that, here it is no result.
        let found = panics::catch(|| {
            let Ok(number) = reader.index.get(key) else { return Ok(Err(())) };
            let Some(number) = number else { return Ok(Ok(None)) };
            let Ok(Some(stored)) = reader.results.get(number.value()) else { return Ok(Err(())) };
            Ok(unwrap(key, stored.value()).and_then(&decode).map(Some).ok_or(()))
        });
        match found {
            Ok(Ok(found)) => found,
            Ok(Err(())) | Err(_) => {
                shared.damaged.fetch_add(1, Relaxed);
                None
            }
        }
    }

    /// Has a result written; false: too much waits already.
    pub(in crate::bulk) fn put(&self, key: Key, bytes: Vec<u8>) -> bool {
        let mut waiting = lock(&self.0.shared.waiting);
        if waiting.bytes.saturating_add(bytes.len()) > MOST {
            return false;
        }
        let result = (key, bytes);
        waiting.bytes += waiting_bytes(&result);
        waiting.results.push(result);
        let first = waiting.since.is_none();
        waiting.since.get_or_insert_with(Instant::now);
        let many = waiting.bytes > MANY;
        drop(waiting);
        if first || many {
            self.0.shared.changed.notify_all();
        }
        true
    }

    /// What happened to the file that is worth telling.
    pub(in crate::bulk) fn notes(&self) -> Vec<String> {
        let shared = &self.0.shared;
        let mut notes = lock(&shared.notes).clone();
        match shared.damaged.load(Relaxed) {
            0 => {}
            count => notes.push(format!(
                "{count} results in the cache {} are damaged; they were run again",
                shared.path.display()
            )),
        }
        notes
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        lock(&self.shared.waiting).closed = true;
        self.shared.changed.notify_all();
        // A job's last worker has better things to do than to wait.
        if let Some(thread) = self.thread.take()
            && rayon::current_thread_index().is_none()
        {
            // Whatever happened to it, there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

fn waiting_bytes(result: &(Key, Vec<u8>)) -> usize {
    size_of_val(result) + result.1.len()
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("path", &self.0.shared.path).finish_non_exhaustive()
    }
}
