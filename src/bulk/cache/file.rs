//! The file of a cache, and the thread that maintains it.
//!
//! redb lets one process write a file or any number of processes read it. So a cache holds its file
//! open for reading and opens it for writing only briefly. A writer holds the *turn*, a lock on a
//! file beside it; readers that see the turn taken close the file until it is free again. All of
//! that is done by the cache's own thread, `mill-cache`: workers only look up results in the open
//! file, and queue those to be written.

mod keeper;
mod record;
mod write;

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

/// Results by number, in the order of writing: key, bytes, checksum.
///
/// New ones fill page after page, and the oldest come first.
const RESULTS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("gristmill results 1");
/// The numbers of results by key.
const INDEX: TableDefinition<'static, &Key, u64> = TableDefinition::new("gristmill index 1");

/// Waiting bytes that are written without further delay.
const MANY: usize = 4 << 20;
/// The most bytes that may wait.
const MOST: usize = 32 << 20;

/// A file of results, shared by the jobs, threads and processes that have it open; clones share it
/// too.
///
/// Results are written about once a second, by [`flush`](Self::flush), and when the last clone is
/// dropped. A job holds a clone, and may hold it a moment longer than its results exist. A process
/// that is killed loses only what it had not written: the file is consistent at any time. While one
/// process writes, for some hundredths of a second, the others find nothing and run their items
/// instead.
///
/// The file stays within the size it was opened with: the oldest results make room for new ones. A
/// lock file of the same name with `.lock` appended is kept beside it.
#[derive(Clone)]
pub struct Cache(Arc<Keeper>);

/// Ends the thread when the last clone is dropped.
struct Keeper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    path: PathBuf,
    /// The lock file that writers lock.
    turn: File,
    /// Bytes that results may occupy in the file.
    most_bytes: u64,
    /// Bytes that the results of one transaction may occupy.
    most_at_once: u64,
    /// Open unless a process writes.
    reader: RwLock<Option<Reader>>,
    waiting: Mutex<Waiting>,
    /// Notified when the thread has work, and when it has done it.
    changed: Condvar,
    /// Results whose bytes were not those that were written.
    damaged: AtomicUsize,
    notes: Mutex<Vec<String>>,
}

/// Results that wait to be written.
#[derive(Default)]
struct Waiting {
    results: Vec<(Key, Vec<u8>)>,
    bytes: usize,
    /// When the oldest of them was added.
    since: Option<Instant>,
    /// Requests to write and reopen the file.
    wanted: u64,
    /// Requests that were met.
    met: u64,
    closed: bool,
}

/// The file, open for reading.
struct Reader {
    index: ReadOnlyTable<&'static Key, u64>,
    results: ReadOnlyTable<u64, &'static [u8]>,
    /// Declared after the tables, to be dropped after them.
    _database: ReadOnlyDatabase,
}

/// Why the file could not be used.
enum Trouble {
    /// Other processes hold it for too long.
    Busy,
    /// It is damaged and must be recreated.
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
    /// Opens or creates a cache whose file holds at most `max_bytes`; results occupy a quarter to a
    /// half of them.
    ///
    /// Below 4 MiB nothing fits. A damaged file is recreated, which the reports of jobs that use it
    /// note.
    ///
    /// # Errors
    /// If the file exists and is not a cache, if it cannot be read or written, or if a thread cannot be started.
    pub fn open(path: impl AsRef<Path>, max_bytes: u64) -> Result<Self> {
        let path = path.as_ref();
        let place = || format!("the cache {}", path.display());
        let mut lock_name = path.file_name().unwrap_or_default().to_owned();
        lock_name.push(".lock");
        // The largest size of a redb file below the limit: slightly above a power of two.
        let step = (max_bytes - max_bytes / 64).checked_ilog2().map_or(0, |log| 1_u64 << log);
        let lock_path = path.with_file_name(lock_name);
        let turn = File::options().create(true).truncate(false).read(true).write(true).open(lock_path);
        let shared = Shared {
            path: path.to_owned(),
            turn: turn.map_err(|error| Error::io(error, "opening its lock")).context(place)?,
            // redb doubles a full file, and writes new pages before it frees old ones.
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

    /// Writes waiting results and returns when they are written; gives up on busy processes after
    /// about 5 s.
    pub fn flush(&self) {
        self.sync();
    }

    /// Writes waiting results, and reopens the file to see those of other processes.
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

    /// The decoded result of `key`, if it is cached.
    pub(in crate::bulk) fn get<T>(&self, key: &Key, decode: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        let shared = &self.0.shared;
        // The thread holds this lock only while it closes or opens the file.
        let reader = shared.reader.read().unwrap_or_else(PoisonError::into_inner);
        let reader = reader.as_ref()?;
        // The file may be damaged in any way: panics and errors of redb count as a damaged result.
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

    /// Queues a result to be written; false if too much waits already.
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

    /// Notes for reports on what happened to the file.
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
        // A worker that drops the last clone does not wait.
        if let Some(thread) = self.thread.take()
            && rayon::current_thread_index().is_none()
        {
            // A panic of the thread concerns no one any more.
            let _ = thread.join();
        }
    }
}

/// Bytes that a waiting result holds in memory.
fn waiting_bytes(result: &(Key, Vec<u8>)) -> usize {
    size_of_val(result) + result.1.len()
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("path", &self.0.shared.path).finish_non_exhaustive()
    }
}
