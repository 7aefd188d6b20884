//! The claim of a part in a store, and the way of its files there.
//!
//! A file is written only over what was there while the claim was this process's own: it is looked up first, then the
//! claim is renewed, and only that version is replaced. An upload in pieces cannot be conditional; it is named in the
//! claim before it begins, and whoever takes the claim over gives it up first.

mod upload;

use std::{fmt, fs::File, io, sync::Arc, thread};

use object_store::{Result as Answer, path::Path};

use crate::{
    error::{Error, Result},
    files::{
        folder::{
            Claim, Folder, Publishing, Written, letters_name,
            scratch::{in_folder, scratch},
            writing,
        },
        manifest::Finished,
        store::{
            connect::failure,
            folder::StoredFolder,
            lease::{Lease, Text},
            objects::{Found, bare, get, head, put, version},
            record::Record,
            runtime::{Task, spawn, wait},
        },
    },
};

/// The most tries to write an object that others write too.
const TRIES: usize = 8;

/// A part that this process has claimed.
pub(super) struct StoredClaim {
    folder: StoredFolder,
    name: String,
    /// The manifest that the job went on from.
    epoch: String,
    lease: Arc<Lease>,
    keeper: Option<Task<()>>,
    is_done: bool,
}

impl fmt::Debug for StoredClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredClaim").field("name", &self.name).finish_non_exhaustive()
    }
}

impl StoredClaim {
    pub(super) fn new(folder: &StoredFolder, name: &str, epoch: String, lease: Lease) -> Result<Self> {
        let lease = Arc::new(lease);
        let kept = Arc::clone(&lease);
        let keeper = spawn(async move { kept.keep().await }).map_err(|error| writing(&folder.path(name), error))?;
        Ok(Self { folder: folder.clone(), name: name.to_owned(), epoch, lease, keeper: Some(keeper), is_done: false })
    }

    fn wait<T: Send + 'static>(&self, request: impl Future<Output = Answer<T>> + Send + 'static) -> io::Result<T> {
        wait(&self.folder.cancel, request)?.map_err(|error| failure(&error))
    }

    /// Renews the claim; false if it is lost.
    fn renew(&self, change: impl FnOnce(&mut Text) + Send + 'static) -> io::Result<bool> {
        let lease = Arc::clone(&self.lease);
        self.wait(async move { lease.renew(change).await })
    }

    fn key(&self, is_letters: bool) -> Path {
        if is_letters { self.folder.key(&letters_name(&self.name)) } else { self.folder.key(&self.name) }
    }

    fn upload(mut self, mut written: Written) -> Result<Option<Finished>> {
        let fail = |error| writing(&self.folder.path(&self.name), error);
        if self.is_lost() {
            return Ok(None);
        }
        written.seal().map_err(|error| fail(in_folder(&error)))?;
        let finished = self.write(&mut written).map_err(fail)?;
        self.is_done = finished.is_some();
        Ok(finished)
    }

    /// Writes the dead letters, the part and its record; `None` if the claim is lost.
    fn write(&self, written: &mut Written) -> io::Result<Option<Finished>> {
        let (store, keys) = (self.folder.store(), [self.key(true), self.key(false)]);
        let [letters_there, part_there] =
            self.wait(async move { Ok([version(&store, &keys[0]).await?, version(&store, &keys[1]).await?]) })?;
        if !self.renew(|_| ())? {
            return Ok(None);
        }
        let part = written.finished.clone();
        let mut errors_etag = String::new();
        if let Some(letters) = &mut written.letters {
            match self.send(true, letters, letters_there, &part.errors_blake3)? {
                Some(etag) => errors_etag = etag,
                None => return Ok(None),
            }
        }
        let Some(etag) = self.send(false, &mut written.file, part_there, &part.blake3)? else { return Ok(None) };
        self.note(Record::Finished { part: part.clone(), etag, errors_etag }).map(|noted| noted.then_some(part))
    }

    fn record_key(&self) -> Path {
        self.folder.key(&format!("_gristmill/work-{}/done/{}.json", self.epoch, self.name))
    }

    fn record(&self) -> io::Result<Option<Found>> {
        let (store, key) = (self.folder.store(), self.record_key());
        self.wait(async move { get(&store, &key, 1 << 16).await })
    }

    /// Notes a record of the part; false if another process has made the part.
    fn note(&self, record: Record) -> io::Result<bool> {
        let bytes = record.bytes().map_err(io::Error::other)?;
        for _ in 0..TRIES {
            let found = self.record()?;
            let other = found.as_ref().and_then(|found| Record::parse(&found.bytes));
            if other.as_ref() == Some(&record) {
                return Ok(true);
            }
            // Where another process finished the part too, the files tell whose they are.
            if let (Some(Record::Finished { .. }), Record::Finished { .. }) = (&other, &record)
                && !self.is_of_files(&record)?
            {
                return match self.renew(|_| ())? {
                    true => Err(io::Error::other("another program wrote over it")),
                    false => Ok(false),
                };
            }
            let (store, key, bytes) = (self.folder.store(), self.record_key(), bytes.clone());
            let over = found.map(|found| found.version);
            if self.wait(async move { put(&store, &key, &bytes, over.as_ref()).await })?.is_some() {
                return Ok(true);
            }
        }
        Err(io::Error::other("other programs write its record again and again"))
    }

    /// Whether the files that are there are those of a record.
    fn is_of_files(&self, record: &Record) -> io::Result<bool> {
        let Record::Finished { part, etag, errors_etag } = record else { return Ok(false) };
        let (store, keys) = (self.folder.store(), [self.key(false), self.key(true)]);
        let [now, errors_now] = self.wait(async move {
            let mut etags = [String::new(), String::new()];
            for (etag, key) in etags.iter_mut().zip(&keys) {
                let found = head(&store, key).await?;
                *etag = found.map(|meta| bare(meta.e_tag.as_deref()).to_owned()).unwrap_or_default();
            }
            Ok(etags)
        })?;
        Ok(now == *etag && (part.failed == 0 || errors_now == *errors_etag))
    }
}

impl Claim for StoredClaim {
    fn is_lost(&self) -> bool {
        self.lease.is_lost() || *self.folder.epoch() != self.epoch
    }

    fn begin(&self, name: &str) -> Result<File> {
        scratch().map_err(|error| writing(&self.folder.path(name), error))
    }

    fn writing(&self, name: &str, error: io::Error) -> Error {
        writing(&self.folder.path(name), in_folder(&error))
    }

    fn reopen(&mut self) -> Result<()> {
        let fail = |error| writing(&self.folder.path(&self.name), error);
        if self.renew(|_| ()).map_err(fail)? {
            self.note(Record::Reopened { reopened: self.name.clone() }).map_err(fail)?;
        }
        Ok(())
    }

    fn publish(self: Box<Self>, written: Written) -> Result<Publishing> {
        let place = self.folder.path(&self.name);
        let thread = thread::Builder::new().name("mill-upload".to_owned());
        let thread = thread.spawn(move || self.upload(written)).map_err(|error| writing(&place, error))?;
        Ok(Publishing::Running(thread))
    }
}

impl Drop for StoredClaim {
    fn drop(&mut self) {
        drop(self.keeper.take());
        if !(self.is_done || self.lease.is_lost()) {
            self.folder.release(Arc::clone(&self.lease));
        }
    }
}
