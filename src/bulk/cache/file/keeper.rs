//! What the thread of a cache does: writes its file, closes it for other writers, reopens and
//! repairs it.

use std::{
    fs::{self, File, TryLockError},
    io::Read,
    mem,
    sync::PoisonError,
    thread,
    time::{Duration, Instant},
};

use redb::{Builder, DatabaseError, ReadableDatabase, TableHandle};

use crate::{
    bulk::cache::{
        file::{Key, MANY, RESULTS, Reader, Shared, Trouble, waiting_bytes},
        foreign,
    },
    error::{Context, Error, Result},
    threads::panics::{self, lock},
};

const MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";
/// Bytes of the file that redb may cache in memory.
pub(in crate::bulk) const PAGES: usize = 8 << 20;
/// How often the thread checks whether another process wants to write.
pub(in crate::bulk) const LOOK: Duration = Duration::from_millis(50);
/// The longest time that a result waits to be written.
const OLDEST: Duration = Duration::from_secs(1);
/// The most notes for reports.
const MOST_NOTES: usize = 20;
/// How long to wait for other processes.
pub(in crate::bulk) const PATIENCE: Duration = Duration::from_secs(5);
impl Shared {
    /// The body of the thread.
    pub(in crate::bulk) fn keep(&self) {
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
                self.write_or_note(results, closed);
            } else if asked || self.turn_is_taken() {
                self.close();
            }
            let is_open = self.reader.read().unwrap_or_else(PoisonError::into_inner).is_some();
            // A file that a killed process left damaged is repaired by the next writer.
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

    fn write_or_note(&self, mut results: Vec<(Key, Vec<u8>)>, closed: bool) {
        let why = match self.write(&results) {
            Ok(()) => return,
            Err(Trouble::Busy) if !closed => {
                // They go on waiting, in front of those added meanwhile.
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
        self.note(note);
    }

    fn close(&self) {
        let reader = self.reader.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(reader);
    }

    fn turn_is_taken(&self) -> bool {
        match self.turn.try_lock_shared() {
            Ok(()) => {
                // Unlocking fails at most if the file is gone.
                let _ = self.turn.unlock();
                false
            }
            Err(_) => true,
        }
    }

    /// Waits for the turn, exclusive if `alone`; `None` if other processes hold it for too long.
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

    /// Opens the file for reading; false if others write for too long or it must be repaired first.
    pub(in crate::bulk) fn read_again(&self) -> bool {
        let Some(_turn) = self.turn(false) else { return false };
        let started = Instant::now();
        let reader = loop {
            let opened = panics::catch(|| Ok(Builder::new().set_cache_size(PAGES).open_read_only(&self.path)));
            match opened {
                Ok(Ok(database)) => break panics::catch(|| Reader::new(database)).ok(),
                // A child process that is being started may hold this process's locks for a moment.
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

    /// Adds a note on what happened to the file, up to a limit.
    fn note(&self, note: String) {
        tracing::warn!("{note}");
        let mut notes = lock(&self.notes);
        if notes.len() < MOST_NOTES {
            notes.push(note);
        }
    }

    /// Writes results and removes the oldest past the limit; recreates a damaged file.
    pub(in crate::bulk) fn write(&self, results: &[(Key, Vec<u8>)]) -> Result<(), Trouble> {
        // A process that has the turn waits for this reader.
        self.close();
        let Some(_turn) = self.turn(true) else { return Err(Trouble::Busy) };
        let outcome = self.write_alone(results);
        let Err(Trouble::Damaged(why)) = outcome else { return outcome };
        self.check_foreign().map_err(Trouble::Other)?;
        let note = format!("the cache {} was damaged ({why}) and is begun anew", self.path.display());
        self.note(note);
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Trouble::Other(Error::io(error, "removing the damaged file")))
            }
            _ => self.write_alone(results),
        }
    }

    /// An error if the file exists and is recognizably not a cache.
    pub(in crate::bulk) fn check_foreign(&self) -> Result<()> {
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
        // Tables of another program. A file that cannot be read this far may be a damaged cache.
        let names = panics::catch(|| {
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

/// Releases the turn when dropped.
struct Turn<'f>(&'f File);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // Unlocking fails at most if the file is gone.
        let _ = self.0.unlock();
    }
}
