//! An object of a store, which must stay what it was when the job began.

#[cfg(feature = "parquet")]
use std::sync::OnceLock;
use std::{io, ops::Range, sync::Arc};

use bytes::Bytes;
use object_store::{GetOptions, ObjectMeta, ObjectStore, path::Path};

use crate::{
    bulk::CancelToken,
    files::store::{
        connect::failure,
        runtime::{next, wait},
    },
};

/// An object that a job reads, as it was when the job began.
#[derive(Clone, Debug)]
pub(in crate::files) struct Object {
    store: Arc<dyn ObjectStore>,
    key: Path,
    seen: Seen,
    cancel: CancelToken,
    /// What a check of the whole object found.
    #[cfg(feature = "parquet")]
    pub(in crate::files) checked: Arc<OnceLock<usize>>,
}

/// By what a change of an object is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    size: u64,
    /// Without quotes, which not every answer of a store has.
    etag: Option<String>,
    /// Seconds, where there is no ETag: lists have parts of them, and answers have not.
    modified: Option<i64>,
}

impl Seen {
    fn of(meta: &ObjectMeta) -> Self {
        let etag = meta.e_tag.as_ref().map(|etag| etag.trim_matches('"').to_owned()).filter(|etag| !etag.is_empty());
        let modified = etag.is_none().then(|| meta.last_modified.timestamp());
        Self { size: meta.size, etag, modified }
    }

    /// The ETag if equal ones mean equal bytes.
    fn strong(&self) -> Option<&str> {
        self.etag.as_deref().filter(|etag| !etag.starts_with("W/"))
    }
}

impl Object {
    pub(super) fn new(store: &Arc<dyn ObjectStore>, meta: ObjectMeta, cancel: &CancelToken) -> io::Result<Self> {
        let seen = Seen::of(&meta);
        if seen.modified.is_some_and(|seconds| seconds <= 0) {
            let message = "its server sends no ETag and no Last-Modified, so that a change would not be seen";
            return Err(io::Error::new(io::ErrorKind::Unsupported, format!("{message}; download the file")));
        }
        Ok(Self {
            store: Arc::clone(store),
            key: meta.location,
            seen,
            cancel: cancel.clone(),
            #[cfg(feature = "parquet")]
            checked: Arc::default(),
        })
    }

    pub(super) fn size(&self) -> u64 {
        self.seen.size
    }

    /// The size and the strong ETag, if there is one.
    pub(in crate::files) fn etag(&self) -> Option<(u64, &str)> {
        Some((self.seen.size, self.seen.strong()?))
    }

    /// Whether the object is what it was when the job began.
    pub(in crate::files) fn is_unchanged(&self) -> io::Result<bool> {
        let now = head(&self.store, self.key.clone(), &self.cancel)??;
        Ok(Seen::of(&now) == self.seen)
    }

    /// The bytes of a range that is not empty, of the object as it was when the job began.
    pub(super) fn fetch(&self, range: Range<u64>) -> io::Result<Bytes> {
        let (store, key) = (Arc::clone(&self.store), self.key.clone());
        let most = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let if_match = self.seen.strong().map(|etag| format!("\"{etag}\""));
        let answer = wait(&self.cancel, async move {
            let options = GetOptions::new().with_range(Some(range)).with_if_match(if_match);
            let result = store.get_opts(&key, options).await?;
            let seen = Seen::of(&result.meta);
            let (mut bytes, mut stream) = (Vec::with_capacity(most), result.into_stream());
            while let Some(piece) = next(&mut stream).await {
                bytes.extend_from_slice(&piece?);
                if bytes.len() > most {
                    break;
                }
            }
            Ok((seen, bytes))
        })?;
        match answer {
            Ok((seen, _)) if seen != self.seen => Err(changed()),
            Ok((_, bytes)) if bytes.len() != most => {
                let message = format!("its server sent {} bytes, not {most}", bytes.len());
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, message))
            }
            Ok((_, bytes)) => Ok(bytes.into()),
            Err(object_store::Error::Precondition { .. }) => Err(changed()),
            Err(error) => Err(failure(&error)),
        }
    }
}

fn changed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it was changed since the job began")
}

/// What a store says of an object; within, that there is none, or that it does not say.
pub(super) fn head(
    store: &Arc<dyn ObjectStore>,
    key: Path,
    cancel: &CancelToken,
) -> io::Result<io::Result<ObjectMeta>> {
    let store = Arc::clone(store);
    let options = GetOptions::new().with_head(true);
    let answer = wait(cancel, async move { store.get_opts(&key, options).await.map(|result| result.meta) })?;
    Ok(answer.map_err(|error| failure(&error)))
}
