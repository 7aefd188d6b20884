//! Whether parts are as they were noted, and what a finished job leaves.

use std::collections::BTreeMap;

use bytes::Bytes;
use object_store::{ObjectMeta, path::Path};

use crate::{
    error::Result,
    files::{
        folder::{MANIFEST, letters_name},
        manifest::{self, Parts},
        store::{
            objects::{Version, bare, head, put},
            record::{Record, epoch},
            records::Records,
        },
    },
};

impl Records {
    /// Takes parts back whose files are not as they were noted; whether there are any.
    pub(super) fn reopen_changed(&self, finished: &Parts, listed: &BTreeMap<String, ObjectMeta>) -> Result<bool> {
        let mut changed = false;
        for part in finished.values() {
            let noted = self.noted.get(&part.name);
            let mut expected = vec![(part.name.clone(), None, Some(part.bytes))];
            if let Some(Record::Finished { etag, errors_etag, .. }) = noted.map(|noted| &noted.record) {
                expected[0].1 = Some(etag.as_str());
                if part.failed > 0 {
                    expected.push((letters_name(&part.name), Some(errors_etag.as_str()), None));
                }
            }
            for (name, etag, bytes) in expected {
                let is_same = |meta: &ObjectMeta| {
                    etag.is_none_or(|etag| etag == bare(meta.e_tag.as_deref()))
                        && bytes.is_none_or(|bytes| bytes == meta.size)
                };
                if listed.get(&name).is_some_and(is_same) {
                    continue;
                }
                // Not every list is as new as its objects.
                let (store, key) = (self.folder.store(), self.folder.key(&name));
                let found = self.folder.ask(&name, async move { head(&store, &key).await })?;
                if !found.as_ref().is_some_and(is_same) {
                    self.reopen(&part.name, noted.map(|noted| noted.version.clone()))?;
                    changed = true;
                }
            }
        }
        Ok(changed)
    }

    /// Notes that a part is made once more, unless something else was noted meanwhile.
    fn reopen(&self, name: &str, over: Option<Version>) -> Result<()> {
        let file = format!("{}/{name}.json", self.done());
        let record = Record::Reopened { reopened: name.to_owned() }.bytes()?;
        let (store, key) = (self.folder.store(), self.folder.key(&file));
        self.folder.tell(&file, async move { put(&store, &key, &record, over.as_ref()).await.map(drop) })
    }

    /// The files right in the folder.
    pub(super) fn files(&self) -> Result<BTreeMap<String, ObjectMeta>> {
        let (store, root) = (self.folder.store(), self.folder.key(""));
        let found = self.folder.ask("", async move { store.list_with_delimiter(Some(&root)).await })?;
        let named = found.objects.into_iter().filter_map(|meta| Some((meta.location.filename()?.to_owned(), meta)));
        Ok(named.collect())
    }

    /// Writes the manifest over the one that the job goes on from; `None` if another process wrote it.
    pub(super) fn write(&self, finished: &Parts) -> Result<Option<String>> {
        let text = Bytes::from(manifest::lines(finished)?);
        let epoch = epoch(&text);
        let (store, key) = (self.folder.store(), self.folder.key(MANIFEST));
        let over = self.base.as_ref().map(|base| base.version.clone());
        let written = self.folder.tell(MANIFEST, async move { put(&store, &key, &text, over.as_ref()).await })?;
        Ok(written.map(|_| epoch))
    }

    /// The objects of `work` that no run after the manifest of `epoch` needs.
    pub(super) fn rests(&self, work: Vec<ObjectMeta>, epoch: &str) -> Vec<Path> {
        let current = self.folder.key(&format!("_gristmill/work-{epoch}"));
        let all = self.folder.key("_gristmill");
        let is_rest = |key: &Path| {
            let folder = key.prefix_match(&all).and_then(|mut parts| parts.next());
            if !folder.is_some_and(|folder| folder.as_ref().starts_with("work-")) {
                return false;
            }
            let name = key.filename().and_then(|name| name.strip_suffix(".json"));
            // A manifest that is the same as before goes on with the same names: those of other runs stay.
            !key.prefix_matches(&current) || name.is_some_and(|name| self.noted.contains_key(name))
        };
        work.into_iter().map(|meta| meta.location).filter(is_rest).collect()
    }
}
