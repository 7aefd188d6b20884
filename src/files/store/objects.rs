//! Single objects, written only where nobody else has written meanwhile.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_core::{Stream, stream::BoxStream};
use object_store::{
    Error as E, GetOptions, ObjectMeta, ObjectStore, PutMode, PutOptions, PutPayload, Result as Answer, UpdateVersion,
    path::Path,
};

use crate::files::store::runtime::next;

/// By what a store knows a version of an object, to replace that one alone.
pub(super) type Version = UpdateVersion;

/// The most bytes of a plan or a manifest.
pub(super) const MOST_TEXT: usize = 1 << 30;

/// Tries after an answer that means both that an object is there and that two writers met.
const TRIES: u32 = 6;

/// A store that objects are written to.
pub(super) type Stored = Arc<dyn ObjectStore>;

/// The bytes of an object.
pub(super) struct Found {
    pub(super) bytes: Bytes,
    pub(super) version: Version,
}

/// The ETag without quotes, which not every answer has.
pub(super) fn bare(etag: Option<&str>) -> &str {
    etag.unwrap_or_default().trim_matches('"')
}

/// What a store says of an object; `None` if there is none.
pub(super) async fn head(store: &Stored, key: &Path) -> Answer<Option<ObjectMeta>> {
    match store.get_opts(key, GetOptions::new().with_head(true)).await {
        Ok(found) => Ok(Some(found.meta)),
        Err(E::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The version of an object; `None` if there is none.
pub(super) async fn version(store: &Stored, key: &Path) -> Answer<Option<Version>> {
    Ok(head(store, key).await?.map(|meta| UpdateVersion { e_tag: meta.e_tag, version: meta.version }))
}

/// Reads an object whole; `None` if there is none.
///
/// # Errors
/// If it has more than `most` bytes.
pub(super) async fn get(store: &Stored, key: &Path, most: usize) -> Answer<Option<Found>> {
    match get_at_most(store, key, most).await? {
        Some(found) if found.bytes.len() > most => {
            let source = format!("{key} has more than the {most} bytes that a job writes there").into();
            Err(E::Generic { store: "object", source })
        }
        found => Ok(found),
    }
}

/// Reads an object, or of a longer one somewhat more than `most` bytes.
async fn get_at_most(store: &Stored, key: &Path, most: usize) -> Answer<Option<Found>> {
    let found = match store.get_opts(key, GetOptions::new()).await {
        Ok(found) => found,
        Err(E::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
    let (mut bytes, mut stream) = (Vec::new(), found.into_stream());
    while let Some(piece) = next(&mut stream).await {
        bytes.extend_from_slice(&piece?);
        if bytes.len() > most {
            break;
        }
    }
    Ok(Some(Found { bytes: bytes.into(), version }))
}

/// Writes an object over the version `over`, or makes it; `None` if another one is there.
///
/// An object of the same bytes counts as written: its answer may have been lost.
pub(super) async fn put(store: &Stored, key: &Path, bytes: &Bytes, over: Option<&Version>) -> Answer<Option<Version>> {
    for attempt in 0.. {
        let mode = over.map_or(PutMode::Create, |version| PutMode::Update(version.clone()));
        let payload = PutPayload::from_bytes(bytes.clone());
        let error = match store.put_opts(key, payload, PutOptions::from(mode)).await {
            Ok(done) => return Ok(Some(done.into())),
            Err(error @ (E::NotImplemented { .. } | E::NotSupported { .. })) => return Err(error),
            Err(error) => error,
        };
        let is_refused = is_refusal(&error);
        let found = match get_at_most(store, key, bytes.len()).await {
            Ok(found) => found,
            Err(_) if !is_refused => return Err(error),
            Err(other) => return Err(other),
        };
        match found {
            Some(found) if found.bytes == *bytes => return Ok(Some(found.version)),
            _ if !is_refused => return Err(error),
            // Two writers met, and the store let neither of them win.
            None if over.is_none() && attempt < TRIES => tokio::time::sleep(Duration::from_millis(20 << attempt)).await,
            None if over.is_none() => return Err(error),
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// Whether a store says that an object is not the one that was to be replaced.
pub(super) fn is_refusal(error: &E) -> bool {
    matches!(error, E::AlreadyExists { .. } | E::Precondition { .. } | E::NotModified { .. } | E::NotFound { .. })
}

/// The objects below a folder.
pub(super) async fn list(store: &Stored, folder: &Path) -> Answer<Vec<ObjectMeta>> {
    let (mut found, mut list) = (Vec::new(), store.list(Some(folder)));
    while let Some(meta) = next(&mut list).await {
        found.push(meta?);
    }
    Ok(found)
}

/// Removes objects.
pub(super) async fn delete(store: &Stored, keys: Vec<Path>) -> Answer<()> {
    let mut deleted = store.delete_stream(stream(keys.into_iter().map(Ok).collect()));
    while let Some(key) = next(&mut deleted).await {
        match key {
            Ok(_) | Err(E::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A list as a stream.
pub(super) fn stream<T: Send + 'static>(items: Vec<Answer<T>>) -> BoxStream<'static, Answer<T>> {
    struct Items<T>(std::vec::IntoIter<Answer<T>>);
    impl<T> Unpin for Items<T> {}
    impl<T> Stream for Items<T> {
        type Item = Answer<T>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Ready(self.0.next())
        }
    }
    Box::pin(Items(items.into_iter()))
}
