//! Inputs and folders of jobs in object stores, through the crate `object_store`.

mod connect;
pub(in crate::files) mod folder;
mod lease;
mod object;
mod objects;
mod publish;
mod ranges;
mod record;
mod records;
mod runtime;
#[cfg(test)]
mod tests;

use std::{io, path::PathBuf, sync::Arc};

use connect::{connect, failure};
pub(in crate::files) use object::Object;
use object::head;
use object_store::{ObjectMeta, ObjectStore, Result as Answer, path::Path};
pub(in crate::files) use ranges::Ranges;
use runtime::{next, wait};

use crate::{
    bulk::CancelToken,
    error::{Error, Result},
    files::url::{Scheme, Url},
};

/// The most objects of a folder or a pattern.
const MOST_OBJECTS: usize = 1_000_000;

/// A store with what its URLs begin with.
struct Store {
    inner: Arc<dyn ObjectStore>,
    base: String,
    cancel: CancelToken,
}

/// The files that a URL names: their URLs, their names in a plan, and the objects.
type Found = Vec<(PathBuf, String, Object)>;

pub(in crate::files) fn find(url: &Url, cancel: &CancelToken) -> Result<Found> {
    let base = format!("{}://{}", url.scheme.name(), url.root);
    let store = Store { inner: connect(url)?.store, base, cancel: cancel.clone() };
    if !matches!(url.scheme, Scheme::Http | Scheme::Https) {
        return store.find(&url.key);
    }
    let path = format!("{}/{}", store.base, url.key);
    let key = Path::from_url_path(&url.key).map_err(|error| Error::invalid_input(format!("{path}: {error}")))?;
    if url.key.ends_with('/') || key.is_root() {
        return Err(Error::unsupported(format!("{path} names no file: a web server has no list of its files")));
    }
    let opening = |error| Error::io(error, format!("opening {path}"));
    let meta = head(&store.inner, key, cancel).and_then(|meta| meta).map_err(opening)?;
    let name = meta.location.filename().unwrap_or_default().to_owned();
    let object = Object::new(&store.inner, meta, cancel).map_err(opening)?;
    Ok(vec![(path.into(), name, object)])
}

impl Store {
    /// A file, else a pattern, else a folder.
    fn find(&self, key: &str) -> Result<Found> {
        let url = format!("{}/{key}", self.base);
        let fail = |error: io::Error| Error::io(error, format!("opening {url}"));
        let path = Path::parse(key).map_err(|error| Error::unsupported(format!("{url}: {error}")))?;
        if !(key.is_empty() || key.ends_with('/')) {
            match head(&self.inner, path.clone(), &self.cancel).map_err(fail)? {
                Ok(meta) => {
                    let name = path.filename().unwrap_or_default().to_owned();
                    return Ok(vec![(
                        url.clone().into(),
                        name,
                        Object::new(&self.inner, meta, &self.cancel).map_err(fail)?,
                    )]);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(fail(error)),
            }
        }
        let is_pattern = key.contains(['*', '?', '[']);
        let found = if is_pattern { self.matching(key, &url)? } else { self.below(&path, &url)? };
        match found.is_empty() {
            true if is_pattern => Err(Error::invalid_input(format!("no file matches {url}"))),
            true => Err(Error::invalid_input(format!("{url} is no file, and no file is below it"))),
            false => Ok(found),
        }
    }

    /// All files below a folder but those with a name, or in a folder with a name, that begins with `.` or `_`.
    fn below(&self, folder: &Path, url: &str) -> Result<Found> {
        let start = if folder.is_root() { 0 } else { folder.as_ref().len() + 1 };
        let mut found = Found::new();
        for meta in self.list(folder.clone(), url)? {
            let name = meta.location.as_ref()[start..].to_owned();
            if !name.split('/').any(|part| part.starts_with(['.', '_'])) {
                found.push(self.listed(meta, name)?);
            }
        }
        Ok(found)
    }

    fn matching(&self, key: &str, url: &str) -> Result<Found> {
        let pattern = glob::Pattern::new(key)
            .map_err(|error| Error::invalid_input(format!("{url} is no file and no pattern: {error}")))?;
        let options = glob::MatchOptions { require_literal_separator: true, ..Default::default() };
        let fixed: Vec<&str> = key.split('/').take_while(|part| !part.contains(['*', '?', '['])).collect();
        let folder = Path::parse(fixed.join("/")).map_err(|error| Error::unsupported(format!("{url}: {error}")))?;
        let mut found = Found::new();
        for meta in self.list(folder, url)? {
            if pattern.matches_with(meta.location.as_ref(), options) {
                let name = meta.location.filename().unwrap_or_default().to_owned();
                found.push(self.listed(meta, name)?);
            }
        }
        Ok(found)
    }

    fn listed(&self, meta: ObjectMeta, name: String) -> Result<(PathBuf, String, Object)> {
        let url = format!("{}/{}", self.base, meta.location);
        let object =
            Object::new(&self.inner, meta, &self.cancel).map_err(|error| Error::io(error, format!("opening {url}")))?;
        Ok((url.into(), name, object))
    }

    /// The objects below a folder, in the order in which files of such paths are.
    fn list(&self, folder: Path, url: &str) -> Result<Vec<ObjectMeta>> {
        let (store, root) = (Arc::clone(&self.inner), folder.clone());
        let answer: Answer<Vec<ObjectMeta>> = wait(&self.cancel, async move {
            let (mut found, mut list) = (Vec::new(), store.list(Some(&folder)));
            while let Some(meta) = next(&mut list).await {
                found.push(meta?);
                if found.len() > MOST_OBJECTS {
                    break;
                }
            }
            Ok(found)
        })
        .map_err(|error| Error::io(error, format!("listing {url}")))?;
        let mut found = answer.map_err(|error| Error::io(failure(&error), format!("listing {url}")))?;
        if found.len() > MOST_OBJECTS {
            return Err(Error::limit(format!("{url} has more than {MOST_OBJECTS} files")));
        }
        found.sort_by(|a, b| a.location.as_ref().split('/').cmp(b.location.as_ref().split('/')));
        // Some tools make a folder by an empty object of its name, which comes before those in it.
        let mut files = Vec::with_capacity(found.len());
        let mut rest = found.into_iter().peekable();
        while let Some(meta) = rest.next() {
            let inner = format!("{}/", meta.location);
            let is_folder = rest.peek().is_some_and(|next| next.location.as_ref().starts_with(&inner));
            if meta.size > 0 || !(is_folder || meta.location == root) {
                files.push(meta);
            }
        }
        Ok(files)
    }
}
