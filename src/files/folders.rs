//! Opens the folder of a job that a path or a URL names.

use std::{path::Path, sync::Arc, time::Duration};

use crate::{
    bulk::CancelToken,
    error::{Error, Result},
    files::{
        folder::{Folder, local::LocalFolder},
        url::{Scheme, Url},
    },
};

/// How long a claim in a store stands without being renewed.
pub(in crate::files) const LEASE: Duration = Duration::from_secs(60);

/// Opens a folder; its claims stand for `lease` without being renewed.
///
/// # Errors
/// If no job can write there, or the store is not built in.
pub(in crate::files) fn open(root: &Path, cancel: &CancelToken, lease: Duration) -> Result<Arc<dyn Folder>> {
    if let Some((scheme @ (Scheme::Http | Scheme::Https), _)) = Scheme::of(root) {
        let scheme = scheme.name();
        return Err(Error::unsupported(format!(
            "a folder of a job is on this machine or in an object store, not below {scheme}://; name another one"
        )));
    }
    match Url::of(root)? {
        None => Ok(Arc::new(LocalFolder::new(root, cancel))),
        Some(url) => stored(&url, cancel, lease),
    }
}

#[cfg(feature = "stores")]
fn stored(url: &Url, cancel: &CancelToken, lease: Duration) -> Result<Arc<dyn Folder>> {
    Ok(Arc::new(crate::files::store::folder::StoredFolder::open(url, cancel, lease)?))
}

/// Without stores no URL comes so far.
#[cfg(not(feature = "stores"))]
fn stored(_: &Url, _: &CancelToken, _: Duration) -> Result<Arc<dyn Folder>> {
    Err(Error::internal("a URL without a store"))
}
