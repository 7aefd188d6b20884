//! The way of a file into a store: at once, or in pieces.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    sync::Arc,
    time::{Duration, Instant},
};

use object_store::{PutPayload, Result as Answer, multipart::PartId};

use crate::{
    error::Result,
    files::{
        folder::{Claim, Folder, hash, letters_name, writing},
        store::{
            connect::failure,
            lease::{Upload, abort},
            objects::{Version, bare, head, put, version},
            publish::{StoredClaim, TRIES},
            runtime::{Task, spawn},
        },
    },
};

/// The most pieces of an object.
const MOST_PIECES: u64 = 10_000;

/// Pieces of an object that are on their way at once.
const AT_ONCE: usize = 2;

/// How long an upload that is given up is waited for.
const GIVING_UP: Duration = Duration::from_millis(1500);

impl StoredClaim {
    /// Writes a file over the version `over` of its object; returns its ETag, or `None` if the claim is lost.
    pub(super) fn send(
        &self,
        is_letters: bool,
        file: &mut File,
        mut over: Option<Version>,
        blake3: &str,
    ) -> io::Result<Option<String>> {
        let size = file.seek(SeekFrom::End(0))?;
        file.rewind()?;
        if size > self.folder.client.piece {
            return self.send_pieces(is_letters, file, size, blake3);
        }
        let mut bytes = Vec::with_capacity(size as usize);
        file.take(size).read_to_end(&mut bytes)?;
        let bytes = bytes::Bytes::from(bytes);
        for _ in 0..TRIES {
            let (store, key, bytes) = (self.folder.store(), self.key(is_letters), bytes.clone());
            if let Some(done) = self.wait(async move { put(&store, &key, &bytes, over.as_ref()).await })? {
                return self.sent(is_letters, bare(done.e_tag.as_deref()), size);
            }
            let (store, key) = (self.folder.store(), self.key(is_letters));
            over = self.wait(async move { version(&store, &key).await })?;
            if !self.renew(|_| ())? {
                return Ok(None);
            }
        }
        Err(io::Error::other("other programs write it again and again"))
    }

    /// The ETag of an object that was written with an answer of `etag`; `None` if the claim is lost.
    fn sent(&self, is_letters: bool, etag: &str, size: u64) -> io::Result<Option<String>> {
        let (store, key) = (self.folder.store(), self.key(is_letters));
        let there = self.wait(async move { head(&store, &key).await })?;
        let Some(there) = there else {
            return match self.renew(|_| ())? {
                true => Err(io::Error::other("another program removed it")),
                false => Ok(None),
            };
        };
        let now = bare(there.e_tag.as_deref());
        // Some stores answer with another ETag than the object's: it is this one while the claim is held.
        if now != etag && !self.renew(|_| ())? {
            return Ok(None);
        }
        match there.size == size {
            true => Ok(Some(now.to_owned())),
            false => Err(io::Error::other(format!("its store has {} bytes of it, not {size}", there.size))),
        }
    }

    /// Writes a file in pieces; returns its ETag, or `None` if the claim is lost.
    fn send_pieces(&self, is_letters: bool, file: &mut File, size: u64, blake3: &str) -> io::Result<Option<String>> {
        let pieces = self.folder.client.pieces.clone();
        let pieces = pieces.ok_or_else(|| io::Error::other("its store takes no objects in pieces"))?;
        let (store, key) = (Arc::clone(&pieces), self.key(is_letters));
        let beginning = spawn(async move { store.create_multipart(&key).await })?;
        let id = match beginning.wait(&self.folder.cancel) {
            Ok(begun) => begun.map_err(|error| failure(&error))?,
            Err(error) => {
                // The store may begin it although the job was cancelled.
                if let Ok(Some(Ok(id))) = beginning.wait_until(Instant::now() + GIVING_UP) {
                    self.give_up(is_letters, id);
                }
                return Err(error);
            }
        };
        let upload = Upload { is_letters, id: id.clone() };
        let named = self.renew(move |text| text.uploads.push(upload));
        let mut sent = match named {
            Ok(true) => self.put_pieces(is_letters, file, size, &id),
            Ok(false) => Ok(None),
            Err(error) => Err(error),
        };
        // Nobody has given the upload up before the claim is renewed, and nobody completes it after it is taken over.
        if matches!(sent, Ok(Some(_))) {
            match self.renew(|_| ()) {
                Ok(true) => {}
                Ok(false) => sent = Ok(None),
                Err(error) => sent = Err(error),
            }
        }
        let parts = match sent {
            Ok(Some(parts)) => parts,
            Ok(None) => {
                self.give_up(is_letters, id);
                return Ok(None);
            }
            Err(error) => {
                self.give_up(is_letters, id);
                return Err(error);
            }
        };
        let (key, completed) = (self.key(is_letters), id.clone());
        match self.wait(async move { pieces.complete_multipart(&key, &completed, parts).await }) {
            Ok(done) => self.sent(is_letters, bare(done.e_tag.as_deref()), size),
            // The answer may have been lost.
            Err(error) => match self.is_there(is_letters, blake3) {
                Ok(true) => self.sent(is_letters, "", size),
                _ => {
                    self.give_up(is_letters, id);
                    Err(error)
                }
            },
        }
    }

    fn put_pieces(&self, is_letters: bool, file: &mut File, size: u64, id: &str) -> io::Result<Option<Vec<PartId>>> {
        let length = self.folder.client.piece.max(size.div_ceil(MOST_PIECES));
        let (mut running, mut parts) = (VecDeque::new(), Vec::new());
        for index in 0..size.div_ceil(length) {
            let mut bytes = Vec::with_capacity(length.min(size - index * length) as usize);
            file.take(length).read_to_end(&mut bytes)?;
            let (client, key, id) = (self.folder.client.clone(), self.key(is_letters), id.to_owned());
            running.push_back(spawn(async move {
                let pieces = client.pieces.ok_or(object_store::Error::NotImplemented {
                    operation: "writing pieces".to_owned(),
                    implementer: "store".to_owned(),
                })?;
                pieces.put_part(&key, &id, index as usize, PutPayload::from(bytes)).await
            })?);
            if running.len() >= AT_ONCE
                && let Some(piece) = running.pop_front()
            {
                parts.push(self.piece(piece)?);
            }
            if self.is_lost() {
                return Ok(None);
            }
        }
        for piece in running {
            parts.push(self.piece(piece)?);
        }
        Ok(Some(parts))
    }

    fn piece(&self, piece: Task<Answer<PartId>>) -> io::Result<PartId> {
        piece.wait(&self.folder.cancel)?.map_err(|error| failure(&error))
    }

    /// Gives an upload up, also where the job was cancelled.
    fn give_up(&self, is_letters: bool, id: String) {
        let (client, key, lease) = (self.folder.client.clone(), self.key(is_letters), Arc::clone(&self.lease));
        let giving_up = spawn(async move {
            if abort(&client, &key, &id).await.is_ok() {
                let _ = lease.renew(|text| text.uploads.retain(|upload| upload.id != id)).await;
            }
        });
        // One that stays is named in the claim.
        let _ = giving_up.and_then(|task| task.wait_until(Instant::now() + GIVING_UP));
    }

    /// Whether the object has the bytes of this hash.
    fn is_there(&self, is_letters: bool, blake3: &str) -> Result<bool> {
        let name = if is_letters { letters_name(&self.name) } else { self.name.clone() };
        let Some(mut file) = self.folder.open(&name)? else { return Ok(false) };
        let hash = hash(&mut file, &self.folder.cancel).map_err(|error| writing(&self.folder.path(&name), error))?;
        Ok(hash.1 == blake3)
    }
}
