//! The folder of a job in a store.
//!
//! | object | holds |
//! |---|---|
//! | `_gristmill/work-E/claims/PART.json` | who makes a part now ([`Lease`]) |
//! | `_gristmill/work-E/done/PART.json` | that a part is finished ([`Record`](super::record::Record)) |
//!
//! `E` tells which manifest the job goes on from: its hash, or 0 before the first one. When all parts are finished, the
//! manifest is written over that one, and the objects of `E` are removed; no later run writes objects of these names, so
//! a process that is late removes nothing of it.

use std::{
    fmt,
    fs::File,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use object_store::{Error as E, PutMode, PutOptions, Result as Answer, UpdateVersion, path::Path};

use crate::{
    bulk::CancelToken,
    error::{Error, Result},
    files::{
        folder::{
            Claim, Folder, LOOK, Lock, PLAN, letters_name, reading,
            scratch::{in_folder, scratch},
            writing,
        },
        manifest::Manifest,
        store::{
            Object, Ranges,
            connect::{Client, connect, failure},
            lease::{Lease, Seen, take},
            objects::{MOST_TEXT, Stored, get, head, is_refusal, put},
            publish::StoredClaim,
            records::Records,
            runtime::{Task, next, spawn, wait},
        },
        url::Url,
    },
};

/// How long the end of a job waits for claims to be given up.
const LEAVING: Duration = Duration::from_millis(1500);

/// The folder of a job in a store.
#[derive(Clone)]
pub(in crate::files) struct StoredFolder(Arc<Inner>);

/// What the clones of a folder share.
pub(in crate::files) struct Inner {
    pub(super) client: Client,
    root: Path,
    url: String,
    pub(super) cancel: CancelToken,
    lease: Duration,
    epoch: Mutex<String>,
    seen: Seen,
    /// Claims that a stopped job asked for, and does not know yet whether it has them.
    claims: Mutex<Vec<Task<Answer<Option<Lease>>>>>,
    releases: Mutex<Vec<Task<Answer<bool>>>>,
}

impl std::ops::Deref for StoredFolder {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl fmt::Debug for StoredFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoredFolder").field(&self.url).finish()
    }
}

impl StoredFolder {
    pub(in crate::files) fn open(url: &Url, cancel: &CancelToken, lease: Duration) -> Result<Self> {
        let base = format!("{}://{}", url.scheme.name(), url.root);
        let key = url.key.trim_end_matches('/');
        let root = Path::parse(key).map_err(|error| Error::unsupported(format!("{base}/{key}: {error}")))?;
        let url_text = if key.is_empty() { base } else { format!("{base}/{key}") };
        Ok(Self(Arc::new(Inner {
            client: connect(url)?,
            root,
            url: url_text,
            cancel: cancel.clone(),
            lease,
            epoch: Mutex::new("0".to_owned()),
            seen: Seen::default(),
            claims: Mutex::default(),
            releases: Mutex::default(),
        })))
    }

    pub(super) fn store(&self) -> Stored {
        Arc::clone(&self.client.store)
    }

    /// The key of a file in the folder.
    pub(super) fn key(&self, name: &str) -> Path {
        name.split('/').filter(|part| !part.is_empty()).fold(self.root.clone(), Path::join)
    }

    /// The manifest that the job goes on from.
    pub(super) fn epoch(&self) -> MutexGuard<'_, String> {
        self.epoch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs requests, and waits for their answer.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        name: &str,
        request: impl Future<Output = Answer<T>> + Send + 'static,
    ) -> Result<T> {
        let fail = |error| reading(&self.path(name), error);
        wait(&self.cancel, request).map_err(fail)?.map_err(|error| fail(failure(&error)))
    }

    /// As [`ask`](Self::ask), for requests that write.
    pub(super) fn tell<T: Send + 'static>(
        &self,
        name: &str,
        request: impl Future<Output = Answer<T>> + Send + 'static,
    ) -> Result<T> {
        let fail = |error| writing(&self.path(name), error);
        wait(&self.cancel, request).map_err(fail)?.map_err(|error| fail(failure(&error)))
    }

    /// Gives a claim up, without waiting for it.
    pub(super) fn release(&self, lease: Arc<Lease>) {
        if let Ok(task) = spawn(async move { lease.release().await }) {
            self.releases.lock().unwrap_or_else(PoisonError::into_inner).push(task);
        }
    }

    fn object(&self, name: &str) -> Result<Option<Object>> {
        let (store, key) = (self.store(), self.key(name));
        let Some(meta) = self.ask(name, async move { head(&store, &key).await })? else { return Ok(None) };
        let object = Object::new(&self.client.store, meta, &self.cancel);
        object.map(Some).map_err(|error| reading(&self.path(name), error))
    }

    fn refuse(&self, why: &str) -> Error {
        Error::unsupported(format!(
            "{}: {why}, without which processes could write over each other's parts; write to a local folder, and copy it",
            self.url
        ))
    }
}

impl Folder for StoredFolder {
    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.url.clone().into() } else { format!("{}/{name}", self.url).into() }
    }

    fn make(&self) -> Result<()> {
        let (store, plan, root) = (self.store(), self.key(PLAN), self.root.clone());
        let inner = self.key("_gristmill");
        let holds_others = self.ask("", async move {
            if head(&store, &plan).await?.is_some() {
                return Ok(false);
            }
            let mut list = store.list(Some(&root));
            while let Some(meta) = next(&mut list).await {
                let meta = meta?;
                // Some tools make a folder by an empty object of its name.
                if !(meta.location.prefix_matches(&inner) || meta.location == root) {
                    return Ok(true);
                }
            }
            Ok(false)
        })?;
        match holds_others {
            true => Err(Error::invalid_input(format!(
                "the folder {} holds other files; name an empty or a new one",
                self.url
            ))),
            false => Ok(()),
        }
    }

    fn lock(&self) -> Result<Option<Lock>> {
        Ok(None)
    }

    fn plan(&self) -> Result<Option<String>> {
        let (store, key) = (self.store(), self.key(PLAN));
        let Some(found) = self.ask(PLAN, async move { get(&store, &key, MOST_TEXT).await })? else { return Ok(None) };
        let text = String::from_utf8(found.bytes.into());
        text.map(Some).map_err(|error| reading(&self.path(PLAN), io::Error::other(error)))
    }

    fn write_plan(&self, text: &str, was: Option<&str>) -> Result<bool> {
        let (store, key) = (self.store(), self.key(PLAN));
        let (text, was) = (bytes::Bytes::from(text.to_owned()), was.map(str::to_owned));
        let written = self.tell(PLAN, async move {
            let Some(was) = was else { return put(&store, &key, &text, None).await };
            match get(&store, &key, MOST_TEXT).await? {
                Some(found) if found.bytes == was.as_bytes() => put(&store, &key, &text, Some(&found.version)).await,
                _ => Ok(None),
            }
        })?;
        Ok(written.is_some())
    }

    /// Writes the plan over itself on conditions that do not hold.
    fn check_writes(&self, text: &str) -> Result<()> {
        if self.client.pieces.is_none() {
            return Err(self.refuse("its store takes no objects in pieces"));
        }
        let (store, key) = (self.store(), self.key(PLAN));
        let text = bytes::Bytes::from(text.to_owned());
        let answers = self.tell(PLAN, async move {
            let etag = head(&store, &key).await?.and_then(|meta| meta.e_tag).unwrap_or_default();
            let (e_tag, version) = (Some("\"00000000000000000000000000000000\"".to_owned()), Some("1".to_owned()));
            let mut answers = Vec::new();
            for mode in [PutMode::Create, PutMode::Update(UpdateVersion { e_tag, version })] {
                answers.push(store.put_opts(&key, text.clone().into(), PutOptions::from(mode)).await.map(drop));
            }
            Ok((etag, answers))
        })?;
        let (etag, answers) = answers;
        if etag.is_empty() || etag.starts_with("W/") {
            return Err(self.refuse("its store has no strong ETags"));
        }
        for answer in answers {
            match answer {
                Err(error) if is_refusal(&error) => {}
                Ok(()) | Err(E::NotImplemented { .. } | E::NotSupported { .. }) => {
                    return Err(self.refuse("its store does not write on conditions (If-None-Match, If-Match)"));
                }
                Err(error) => return Err(writing(&self.path(PLAN), failure(&error))),
            }
        }
        Ok(())
    }

    fn manifest(&self) -> Result<Manifest> {
        Manifest::read(Records::new(self))
    }

    fn claim(&self, name: &str) -> Result<Option<Box<dyn Claim>>> {
        let epoch = self.epoch().clone();
        let key = self.key(&format!("_gristmill/work-{epoch}/claims/{name}.json"));
        let (folder, part, letters) = (self.clone(), self.key(name), self.key(&letters_name(name)));
        let fail = |error| writing(&self.path(name), error);
        let taking =
            spawn(async move { take(&folder.client, key, folder.lease, &folder.seen, [&part, &letters]).await })
                .map_err(fail)?;
        let lease = taking.wait(&self.cancel).map_err(|error| {
            self.claims.lock().unwrap_or_else(PoisonError::into_inner).push(taking);
            fail(error)
        })?;
        match lease.map_err(|error| fail(failure(&error)))? {
            Some(lease) => Ok(Some(Box::new(StoredClaim::new(self, name, epoch, lease)?))),
            None => Ok(None),
        }
    }

    fn open(&self, name: &str) -> Result<Option<File>> {
        let Some(object) = self.object(name)? else { return Ok(None) };
        let fail = |error| reading(&self.path(name), error);
        let mut file = scratch().map_err(fail)?;
        io::copy(&mut Ranges::new(&object), &mut file).map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull => fail(in_folder(&error)),
            _ => fail(error),
        })?;
        io::Seek::rewind(&mut file).map_err(fail)?;
        Ok(Some(file))
    }

    fn names(&self) -> Result<Vec<String>> {
        let (store, root) = (self.store(), self.root.clone());
        let found = self.ask("", async move { store.list_with_delimiter(Some(&root)).await })?;
        let keys = found.objects.iter().map(|meta| &meta.location).chain(&found.common_prefixes);
        let keys = keys.filter(|key| **key != self.root);
        Ok(keys.filter_map(|key| key.filename().map(str::to_owned)).collect())
    }

    fn pause(&self) -> Duration {
        (self.lease / 30).clamp(LOOK, Duration::from_secs(2))
    }

    fn leave(&self) {
        let end = Instant::now() + LEAVING;
        for claim in self.claims.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            if let Ok(Some(Ok(Some(lease)))) = claim.wait_until(end) {
                self.release(Arc::new(lease));
            }
        }
        for release in self.releases.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // What is not said in time is seen when the claim has ended.
            let _ = release.wait_until(end);
        }
    }
}
