//! The file of a cache, and the thread that keeps it.
//!
//! redb lets one process write a file or any number read it. So a cache holds its file open for reading, which several
//! processes can, and opens it for writing only for a moment. Who wants to write holds the *turn*, a lock on a file
//! beside it; whoever reads sees that the turn is taken and steps aside until it is free again. All of that is done by
//! a thread of the cache's own, `mill-cache`: workers only look up what is open, and leave what is to be written.

use std::{
    fmt,
    fs::{self, File, TryLockError},
    io::Read,
    mem,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use redb::{
    Builder, Database, DatabaseError, ReadOnlyDatabase, ReadOnlyTable, ReadableDatabase, ReadableTable, StorageError,
    TableDefinition, TableHandle,
};

use super::foreign;
use crate::{
    bulk::guard::{self, lock},
    error::{Context, Error, ErrorKind, Result},
};

pub(super) type Key = [u8; 32];

/// Results in the order of writing, so that new ones fill page after page and the oldest come first: key, bytes,
/// checksum.
const RESULTS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("gristmill results 1");
/// The numbers of results by their keys.
const INDEX: TableDefinition<'static, &Key, u64> = TableDefinition::new("gristmill index 1");
/// One number: the bytes that all results take in the file.
const TOTAL: TableDefinition<'static, (), u64> = TableDefinition::new("gristmill total 1");

const MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";
const CHECKSUM: usize = 8;
/// What redb may hold of the file in memory.
const PAGES: usize = 8 << 20;
/// How often the thread looks whether somebody else wants to write.
const LOOK: Duration = Duration::from_millis(50);
/// The longest that a result waits to be written.
const OLDEST: Duration = Duration::from_secs(1);
/// So many bytes are written without waiting longer, and so many wait at most.
const MANY: usize = 4 << 20;
const MOST: usize = 32 << 20;
/// Notes for reports, at most.
const MOST_NOTES: usize = 20;
/// How long to wait for other processes.
const PATIENCE: Duration = Duration::from_secs(5);

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
    pub(super) fn sync(&self) {
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
    pub(super) fn get<T>(&self, key: &Key, decode: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        let shared = &self.0.shared;
        // The thread holds this lock for no longer than it takes to let go of a file.
        let reader = shared.reader.read().unwrap_or_else(PoisonError::into_inner);
        let reader = reader.as_ref()?;
        // The file may be damaged in any way: whatever redb makes of that, here it is no result.
        let found = guard::catch(|| {
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
    pub(super) fn put(&self, key: Key, bytes: Vec<u8>) -> bool {
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
    pub(super) fn notes(&self) -> Vec<String> {
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

impl Shared {
    /// The body of the thread.
    fn keep(&self) {
        loop {
            let mut waiting = lock(&self.waiting);
            if !waiting.closed && waiting.wanted == waiting.met && waiting.bytes <= MANY {
                waiting = self.changed.wait_timeout(waiting, LOOK).unwrap_or_else(PoisonError::into_inner).0;
            }
            let (closed, wanted) = (waiting.closed, waiting.wanted);
            let asked = closed || wanted > waiting.met;
            let due = waiting.bytes > MANY || waiting.since.is_some_and(|since| since.elapsed() >= OLDEST);
            let results = if asked || due { mem::take(&mut waiting.results) } else { Vec::new() };
            if asked || due {
                (waiting.bytes, waiting.since) = (0, None);
            }
            drop(waiting);
            if !results.is_empty() {
                self.write_or_tell(results, closed);
            } else if asked || self.turn_is_taken() {
                self.step_aside();
            }
            let is_open = self.reader.read().unwrap_or_else(PoisonError::into_inner).is_some();
            // What a process that was killed has left behind is mended by whoever writes next.
            if !is_open && !closed && !self.read_again() && self.write(&[]).is_ok() {
                self.read_again();
            }
            if asked {
                lock(&self.waiting).met = wanted;
                self.changed.notify_all();
            }
            if closed {
                return;
            }
        }
    }

    fn write_or_tell(&self, mut results: Vec<(Key, Vec<u8>)>, closed: bool) {
        let why = match self.write(&results) {
            Ok(()) => return,
            Err(Trouble::Busy) if !closed => {
                // They wait on, in front of those that came meanwhile.
                let mut waiting = lock(&self.waiting);
                waiting.bytes += results.iter().map(waiting_bytes).sum::<usize>();
                results.append(&mut waiting.results);
                waiting.results = results;
                waiting.since.get_or_insert_with(Instant::now);
                return;
            }
            Err(Trouble::Busy) => "other processes hold the file".to_owned(),
            Err(Trouble::Damaged(why)) => why,
            Err(Trouble::Other(error)) => error.to_string(),
        };
        let note = format!("{} results were not kept in the cache {}: {why}", results.len(), self.path.display());
        self.tell(note);
    }

    fn step_aside(&self) {
        let reader = self.reader.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(reader);
    }

    fn turn_is_taken(&self) -> bool {
        match self.turn.try_lock_shared() {
            Ok(()) => {
                // Unlocking what is locked fails at most where the file is gone.
                let _ = self.turn.unlock();
                false
            }
            Err(_) => true,
        }
    }

    /// Waits for the turn.
    fn turn(&self, alone: bool) -> Option<Turn<'_>> {
        let started = Instant::now();
        loop {
            let locked = if alone { self.turn.try_lock() } else { self.turn.try_lock_shared() };
            match locked {
                Ok(()) => return Some(Turn(&self.turn)),
                Err(TryLockError::WouldBlock) if started.elapsed() < PATIENCE => thread::sleep(LOOK / 10),
                Err(_) => return None,
            }
        }
    }

    /// Opens the file for reading; false: others write for too long, or it must be mended first.
    fn read_again(&self) -> bool {
        let Some(_turn) = self.turn(false) else { return false };
        let started = Instant::now();
        let reader = loop {
            let opened = guard::catch(|| Ok(Builder::new().set_cache_size(PAGES).open_read_only(&self.path)));
            match opened {
                Ok(Ok(database)) => break guard::catch(|| Reader::new(database)).ok(),
                // A process that is just being started may hold a lock of this one for a moment.
                Ok(Err(DatabaseError::DatabaseAlreadyOpen)) if started.elapsed() < PATIENCE => {
                    thread::sleep(LOOK / 10);
                }
                _ => break None,
            }
        };
        let open = reader.is_some();
        *self.reader.write().unwrap_or_else(PoisonError::into_inner) = reader;
        open
    }

    /// Notes what happened to the file; the first few times.
    fn tell(&self, note: String) {
        tracing::warn!("{note}");
        let mut notes = lock(&self.notes);
        if notes.len() < MOST_NOTES {
            notes.push(note);
        }
    }

    /// Adds results, and lets go of the oldest for which there is no room. A damaged file is made anew.
    fn write(&self, results: &[(Key, Vec<u8>)]) -> Result<(), Trouble> {
        // Whoever has the turn waits for this reader.
        self.step_aside();
        let Some(_turn) = self.turn(true) else { return Err(Trouble::Busy) };
        let outcome = self.write_alone(results);
        let Err(Trouble::Damaged(why)) = outcome else { return outcome };
        self.check_foreign().map_err(Trouble::Other)?;
        let note = format!("the cache {} was damaged ({why}) and is begun anew", self.path.display());
        self.tell(note);
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Trouble::Other(Error::io(error, "removing the damaged file")))
            }
            _ => self.write_alone(results),
        }
    }

    fn write_alone(&self, results: &[(Key, Vec<u8>)]) -> Result<(), Trouble> {
        let mut outcome = Err(Trouble::Busy);
        let caught = guard::catch(|| {
            outcome = self.open_alone().and_then(|database| {
                let mut left = results;
                loop {
                    let mut bytes = 0;
                    let fits = |result: &&(Key, Vec<u8>)| {
                        bytes += stored_bytes(result.1.len());
                        bytes <= self.most_at_once
                    };
                    let count = left.iter().take_while(fits).count().max(1).min(left.len());
                    let inserted = self.insert(&database, &left[..count]);
                    inserted.map_err(|error| trouble(DatabaseError::Storage(error)))?;
                    left = &left[count..];
                    if left.is_empty() {
                        return Ok(());
                    }
                }
            });
            Ok(())
        });
        match caught {
            Ok(()) => outcome,
            // What redb takes for impossible is what damage looks like.
            Err(error) => Err(Trouble::Damaged(error.to_string())),
        }
    }

    fn open_alone(&self) -> Result<Database, Trouble> {
        let io = |error| Trouble::Other(Error::io(error, "making it"));
        if fs::metadata(&self.path).map_or(true, |meta| meta.len() == 0) {
            // Whoever is killed while he makes it leaves no half of a cache under its name.
            let mut name = self.path.file_name().unwrap_or_default().to_owned();
            name.push(".new");
            let new = self.path.with_file_name(name);
            File::create(&new).map_err(io)?;
            drop(Builder::new().set_cache_size(PAGES).create(&new).map_err(trouble)?);
            fs::rename(&new, &self.path).map_err(io)?;
        }
        let started = Instant::now();
        loop {
            match Builder::new().set_cache_size(PAGES).open(&self.path) {
                Ok(database) => return Ok(database),
                // Those that read have not seen yet that the turn is taken.
                Err(DatabaseError::DatabaseAlreadyOpen) if started.elapsed() < PATIENCE => {
                    thread::sleep(LOOK / 10);
                }
                Err(error) => return Err(trouble(error)),
            }
        }
    }

    fn insert(&self, database: &Database, new: &[(Key, Vec<u8>)]) -> Result<(), StorageError> {
        let write = database.begin_write().map_err(storage)?;
        {
            let mut results = write.open_table(RESULTS).map_err(storage)?;
            let mut index = write.open_table(INDEX).map_err(storage)?;
            let mut total_table = write.open_table(TOTAL).map_err(storage)?;
            let mut total = total_table.get(())?.map_or(0, |total| total.value());
            let mut number = results.last()?.map_or(0, |(number, _)| number.value() + 1);
            let taken = |stored: &[u8]| stored_bytes(stored.len());
            for (key, bytes) in new {
                let stored = wrap(key, bytes);
                if taken(&stored) > self.most_bytes {
                    continue;
                }
                let before = index.insert(key, number)?.map(|before| before.value());
                if let Some(before) = before
                    && let Some(gone) = results.remove(before)?
                {
                    total = total.saturating_sub(taken(gone.value()));
                }
                total += taken(&stored);
                results.insert(number, stored.as_slice())?;
                number += 1;
                while total > self.most_bytes {
                    let Some((_, gone)) = results.pop_first()? else { break };
                    total = total.saturating_sub(taken(gone.value()));
                    if let Some(key) = gone.value().first_chunk() {
                        index.remove(key)?;
                    }
                }
            }
            total_table.insert((), total)?;
        }
        write.commit().map_err(storage)
    }

    /// Whether a file that is there is one of ours, as far as it can be told.
    fn check_foreign(&self) -> Result<()> {
        let place = || format!("the cache {}", self.path.display());
        let mut start = Vec::new();
        let read = File::open(&self.path).and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut start));
        match read {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::io(error, "reading it")).context(place),
            Ok(_) if start.is_empty() => return Ok(()),
            Ok(_) if start != MAGIC => return Err(foreign(&self.path)),
            Ok(_) => {}
        }
        // Somebody else's tables; a file that cannot be read so far says nothing.
        let names = guard::catch(|| {
            let database = Builder::new().set_cache_size(PAGES).open_read_only(&self.path).map_err(Error::user)?;
            let read = database.begin_read().map_err(Error::user)?;
            let tables = read.list_tables().map_err(Error::user)?;
            Ok(tables.map(|table| table.name().to_owned()).collect::<Vec<_>>())
        });
        match names {
            Ok(names) if !names.is_empty() && !names.iter().any(|name| name == RESULTS.name()) => {
                Err(foreign(&self.path))
            }
            _ => Ok(()),
        }
    }
}

/// Gives the turn back.
struct Turn<'f>(&'f File);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // Unlocking what is locked fails at most where the file is gone.
        let _ = self.0.unlock();
    }
}

fn storage(error: impl Into<redb::Error>) -> StorageError {
    match error.into() {
        redb::Error::Io(error) => StorageError::Io(error),
        other => StorageError::Corrupted(other.to_string()),
    }
}

fn trouble(error: DatabaseError) -> Trouble {
    match error {
        DatabaseError::DatabaseAlreadyOpen => Trouble::Busy,
        // An end of file where there should be more is damage too.
        DatabaseError::Storage(StorageError::Io(error))
            if !matches!(error.kind(), std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidData) =>
        {
            Trouble::Other(Error::io(error, "opening or writing it"))
        }
        other => Trouble::Damaged(other.to_string()),
    }
}

/// A result as it stands in the file.
fn wrap(key: &Key, bytes: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(key.len() + bytes.len() + CHECKSUM);
    stored.extend_from_slice(key);
    stored.extend_from_slice(bytes);
    stored.extend_from_slice(&checksum(key, bytes));
    stored
}

/// The bytes of a result, if they are what was written for that key.
fn unwrap<'s>(key: &Key, stored: &'s [u8]) -> Option<&'s [u8]> {
    let (bytes, sum) = stored.strip_prefix(key)?.split_last_chunk::<CHECKSUM>()?;
    (*sum == checksum(key, bytes)).then_some(bytes)
}

fn checksum(key: &Key, bytes: &[u8]) -> [u8; CHECKSUM] {
    let hash = blake3::keyed_hash(key, bytes);
    // A hash has 32 bytes.
    *hash.as_bytes().first_chunk().unwrap_or(&[0; CHECKSUM])
}

/// What a result of so many bytes takes of the file at most: its part of pages of 4 KiB, or pages of its own, and its
/// place in the index, whose pages are half full at times, and stand twice while they are written.
fn stored_bytes(len: usize) -> u64 {
    let len = len as u64 + 80;
    let own =
        if len > 2000 { len.checked_next_power_of_two().unwrap_or(u64::MAX / 2).max(4096) } else { len + len / 3 };
    own + 300
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("path", &self.0.shared.path).finish_non_exhaustive()
    }
}
