//! What an object says of a part of a job.

use bytes::Bytes;
use object_store::{Result as Answer, path::Path};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::{
    error::Result,
    files::{
        json,
        manifest::Finished,
        store::objects::{Found, Stored, get},
    },
};

/// The most bytes of a record.
pub(super) const MOST: usize = 1 << 16;

/// Records that are read at once.
const AT_ONCE: usize = 16;

/// What an object says of a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Record {
    /// It is finished while its files have these ETags.
    Finished {
        #[serde(flatten)]
        part: Finished,
        etag: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        errors_etag: String,
    },
    /// It is made once more.
    Reopened { reopened: String },
}

impl Record {
    pub(super) fn bytes(&self) -> Result<Bytes> {
        json::line(self).map(|line| (line + "\n").into())
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Finished { part, .. } => &part.name,
            Self::Reopened { reopened } => reopened,
        }
    }
}

/// The name of a manifest among those that a job went on from.
pub(super) fn epoch(manifest: &[u8]) -> String {
    blake3::hash(manifest).to_hex()[..16].to_owned()
}

/// Reads records, several at once.
pub(super) async fn read_all(store: Stored, keys: Vec<(String, Path)>) -> Answer<Vec<(String, Option<Found>)>> {
    let (mut running, mut all) = (JoinSet::new(), Vec::with_capacity(keys.len()));
    let mut keys = keys.into_iter();
    loop {
        while running.len() < AT_ONCE
            && let Some((name, key)) = keys.next()
        {
            let store = store.clone();
            running.spawn(async move { get(&store, &key, MOST).await.map(|found| (name, found)) });
        }
        match running.join_next().await {
            None => return Ok(all),
            Some(Ok(read)) => all.push(read?),
            Some(Err(error)) => {
                return Err(object_store::Error::Generic { store: "record", source: error.into() });
            }
        }
    }
}
