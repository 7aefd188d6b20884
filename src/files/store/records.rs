//! Which parts of a job in a store are finished: an object for each of them, and the manifest in the end.

mod check;

use std::collections::{BTreeMap, BTreeSet};

use object_store::ObjectMeta;

use crate::{
    error::{Error, Result},
    files::{
        folder::{Folder, Lock, MANIFEST, letters_name},
        manifest::{self, Log, Parts},
        store::{
            folder::StoredFolder,
            objects::{Found, MOST_TEXT, Version, bare, delete, get, head, list},
            record::{MOST, Record, epoch, read_all},
        },
    },
};

/// The most tries to read a folder that others change meanwhile.
const TRIES: usize = 20;

/// Reads the records of a folder.
#[derive(Debug)]
pub(super) struct Records {
    folder: StoredFolder,
    /// The manifest that the job goes on from.
    base: Option<Base>,
    /// What was noted since, by name.
    noted: BTreeMap<String, Noted>,
}

#[derive(Debug)]
struct Base {
    version: Version,
    parts: Parts,
}

#[derive(Debug)]
struct Noted {
    version: Version,
    record: Record,
}

impl Records {
    pub(super) fn new(folder: &StoredFolder) -> Self {
        Self { folder: folder.clone(), base: None, noted: BTreeMap::new() }
    }

    fn done(&self) -> String {
        format!("_gristmill/work-{}/done", self.folder.epoch())
    }

    /// Reads the manifest if it is another one than before; whether it is.
    fn read_base(&mut self) -> Result<bool> {
        let (store, key) = (self.folder.store(), self.folder.key(MANIFEST));
        let was = self.base.as_ref().map(|base| bare(base.version.e_tag.as_deref()).to_owned());
        let found = self.folder.ask(MANIFEST, async move {
            let now = head(&store, &key).await?.map(|meta| bare(meta.e_tag.as_deref()).to_owned());
            if now == was {
                return Ok(None);
            }
            get(&store, &key, MOST_TEXT).await.map(Some)
        })?;
        let Some(found) = found else { return Ok(false) };
        self.noted.clear();
        self.base = None;
        *self.folder.epoch() = "0".to_owned();
        if let Some(Found { bytes, version }) = found {
            let mut parts = Parts::new();
            manifest::read_lines(&bytes, &self.folder.path(MANIFEST), &mut parts)?;
            *self.folder.epoch() = epoch(&bytes);
            self.base = Some(Base { version, parts });
        }
        Ok(true)
    }

    /// Reads the records that are new; false if some went away meanwhile.
    fn read_noted(&mut self) -> Result<bool> {
        let folder = self.done();
        let (store, key) = (self.folder.store(), self.folder.key(&folder));
        let listed = self.folder.ask(&folder, async move { list(&store, &key).await })?;
        let mut names = BTreeSet::new();
        let mut keys = Vec::new();
        for ObjectMeta { location, e_tag, .. } in listed {
            let Some(name) = location.filename().and_then(|name| name.strip_suffix(".json")) else { continue };
            names.insert(name.to_owned());
            let known = self.noted.get(name).map(|noted| bare(noted.version.e_tag.as_deref()));
            if known != Some(bare(e_tag.as_deref())) {
                keys.push((name.to_owned(), location.clone()));
            }
        }
        self.noted.retain(|name, _| names.contains(name));
        let store = self.folder.store();
        for (name, found) in self.folder.ask(&folder, read_all(store, keys))? {
            let Some(found) = found else { return Ok(false) };
            self.note(name, &found)?;
        }
        Ok(true)
    }

    fn note(&mut self, name: String, found: &Found) -> Result<()> {
        let place = self.folder.path(&format!("{}/{name}.json", self.done()));
        let record = Record::parse(&found.bytes).filter(|record| record.name() == name);
        let record = record.ok_or_else(|| {
            Error::invalid_input(format!("{} is damaged; run the job into a new folder", place.display()))
        })?;
        self.noted.insert(name, Noted { version: found.version.clone(), record });
        Ok(())
    }

    fn fill(&self, finished: &mut Parts) {
        *finished = self.base.as_ref().map(|base| base.parts.clone()).unwrap_or_default();
        for name in self.noted.keys() {
            self.fill_part(name, finished);
        }
    }

    fn fill_part(&self, name: &str, finished: &mut Parts) {
        match self.noted.get(name).map(|noted| &noted.record) {
            Some(Record::Finished { part, .. }) => drop(finished.insert(name.to_owned(), part.clone())),
            Some(Record::Reopened { .. }) => drop(finished.remove(name)),
            None => {}
        }
    }
}

impl Log for Records {
    fn read(&mut self, finished: &mut Parts) -> Result<()> {
        for _ in 0..TRIES {
            self.read_base()?;
            // Records are removed once a manifest has them.
            if self.read_noted()? && !self.read_base()? {
                self.fill(finished);
                return Ok(());
            }
        }
        let root = self.folder.path("");
        Err(Error::limit(format!("{} changes faster than it can be read; try again", root.display())))
    }

    fn read_part(&mut self, name: &str, finished: &mut Parts) -> Result<()> {
        let file = format!("{}/{name}.json", self.done());
        let (store, key) = (self.folder.store(), self.folder.key(&file));
        let found = self.folder.ask(&file, async move { get(&store, &key, MOST).await })?;
        let is_known = self.noted.contains_key(name);
        if self.read_base()? || (found.is_none() && is_known) {
            return self.read(finished);
        }
        if let Some(found) = found {
            self.note(name.to_owned(), &found)?;
            self.fill_part(name, finished);
        }
        Ok(())
    }

    fn check(&mut self, _: Option<&Lock>, finished: &mut Parts) -> Result<()> {
        if finished.is_empty() {
            return Ok(());
        }
        if self.reopen_changed(finished, &self.files()?)? {
            self.read(finished)?;
        }
        Ok(())
    }

    fn complete(&mut self, finished: &mut Parts) -> Result<()> {
        let files = self.files()?;
        if self.reopen_changed(finished, &files)? {
            return self.read(finished);
        }
        // In this order: what others write from here on is not removed.
        let (store, key) = (self.folder.store(), self.folder.key("_gristmill"));
        let work = self.folder.ask("_gristmill", async move { list(&store, &key).await })?;
        let mut epoch = self.folder.epoch().clone();
        if self.base.is_none() || !self.noted.is_empty() {
            match self.write(finished)? {
                Some(written) => epoch = written,
                None => return self.read(finished),
            }
        }
        let mut rests = self.rests(work, &epoch);
        let letters = finished.values().filter(|part| part.failed == 0).map(|part| letters_name(&part.name));
        rests.extend(letters.filter_map(|name| files.get(&name)).map(|meta| meta.location.clone()));
        if !rests.is_empty() {
            let store = self.folder.store();
            let removed = self.folder.tell("_gristmill", async move { delete(&store, rests).await });
            if let Err(error) = removed {
                // They harm nobody, and the next run removes them.
                tracing::warn!(%error, "objects that a finished job no longer needs could not be removed");
            }
        }
        self.read(finished)
    }
}
