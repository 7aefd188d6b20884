//! Writing the file of a cache, as its only user.

use std::{
    fs::{self, File},
    thread,
    time::Instant,
};

use redb::{Builder, Database, DatabaseError, ReadableTable, StorageError, TableDefinition};

use crate::{
    bulk::cache::file::{
        INDEX, Key, RESULTS, Shared, Trouble,
        keeper::{LOOK, PAGES, PATIENCE},
        record::{stored_bytes, wrap},
    },
    error::{Error, Result},
    threads::panics,
};

/// One number: the bytes that all results occupy in the file.
const TOTAL: TableDefinition<'static, (), u64> = TableDefinition::new("gristmill total 1");

impl Shared {
    /// Writes results while this process has the turn.
    pub(in crate::bulk) fn write_alone(&self, results: &[(Key, Vec<u8>)]) -> Result<(), Trouble> {
        let mut outcome = Err(Trouble::Busy);
        let caught = panics::catch(|| {
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
            // redb may panic on a damaged file.
            Err(error) => Err(Trouble::Damaged(error.to_string())),
        }
    }

    /// Opens the file for writing; creates it if it does not exist.
    fn open_alone(&self) -> Result<Database, Trouble> {
        let io = |error| Trouble::Other(Error::io(error, "making it"));
        if fs::metadata(&self.path).map_or(true, |meta| meta.len() == 0) {
            // A process that is killed while creating it leaves no partial cache under its name.
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
                // Readers have not seen yet that the turn is taken.
                Err(DatabaseError::DatabaseAlreadyOpen) if started.elapsed() < PATIENCE => {
                    thread::sleep(LOOK / 10);
                }
                Err(error) => return Err(trouble(error)),
            }
        }
    }

    /// Writes results in one transaction, and removes the oldest past the limit.
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
}

/// The error of a table.
fn storage(error: impl Into<redb::Error>) -> StorageError {
    match error.into() {
        redb::Error::Io(error) => StorageError::Io(error),
        other => StorageError::Corrupted(other.to_string()),
    }
}

/// What an error of the database means for the cache.
fn trouble(error: DatabaseError) -> Trouble {
    match error {
        DatabaseError::DatabaseAlreadyOpen => Trouble::Busy,
        // An unexpected end of file is damage too.
        DatabaseError::Storage(StorageError::Io(error))
            if !matches!(error.kind(), std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidData) =>
        {
            Trouble::Other(Error::io(error, "opening or writing it"))
        }
        other => Trouble::Damaged(other.to_string()),
    }
}
