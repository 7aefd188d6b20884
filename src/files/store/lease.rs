//! The claim of a part: an object that its owner renews, and that others take over once it is not.
//!
//! No clocks of two machines are compared: a claim has ended when another process has seen the same version of it for as
//! long as it says. Whoever takes it over first gives up the uploads that its owner began, so that none of them can be
//! completed later.

use std::{
    collections::HashMap,
    sync::{
        Mutex as StdMutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use object_store::{Error as E, Result as Answer, path::Path};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::files::{
    folder::scratch::nonce,
    store::{
        connect::Client,
        objects::{Stored, Version, bare, get, put},
    },
};

/// The most bytes of a claim.
const MOST: usize = 1 << 16;

/// The longest that a claim can ask others to wait.
const LONGEST: Duration = Duration::from_secs(3600);

/// What a claim says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Text {
    /// A random number, by which an owner knows its own claim.
    pub(super) owner: String,
    /// How often it was renewed.
    pub(super) renewed: u64,
    /// Milliseconds that it stands without being renewed.
    pub(super) stands_ms: u64,
    /// Whether its owner has given it up.
    #[serde(default)]
    pub(super) is_free: bool,
    /// Uploads in pieces that may not be completed or given up.
    #[serde(default)]
    pub(super) uploads: Vec<Upload>,
}

/// An upload in pieces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Upload {
    /// Whether it is of the dead letters, not of the part.
    pub(super) is_letters: bool,
    pub(super) id: String,
}

/// Claims of other processes: the version that was seen last, and since when.
pub(super) type Seen = StdMutex<HashMap<Path, (String, Instant)>>;

/// A claim that this process has.
pub(super) struct Lease {
    store: Stored,
    key: Path,
    is_lost: AtomicBool,
    state: Mutex<State>,
    stands: Duration,
}

struct State {
    text: Text,
    version: Version,
}

/// Makes a claim, or takes over one that has ended; `None` if another process has it.
///
/// `part` and `letters` are the objects that its owner writes.
pub(super) async fn take(
    client: &Client,
    key: Path,
    stands: Duration,
    seen: &Seen,
    [part, letters]: [&Path; 2],
) -> Answer<Option<Lease>> {
    let store = &client.store;
    let stands_ms = stands.as_millis() as u64;
    let mut text = Text { owner: nonce(), renewed: 0, stands_ms, is_free: false, uploads: Vec::new() };
    let mut version = put(store, &key, &bytes(&text)?, None).await?;
    if version.is_none() {
        // One that was removed just now is made the next time.
        let Some(found) = get(store, &key, MOST).await? else { return Ok(None) };
        let other: Option<Text> = serde_json::from_slice(&found.bytes).ok();
        let waits = other.as_ref().map_or(stands, |other| Duration::from_millis(other.stands_ms).min(LONGEST));
        let is_free = other.as_ref().is_some_and(|other| other.is_free);
        if !is_free && !has_ended(seen, &key, bare(found.version.e_tag.as_deref()), waits) {
            return Ok(None);
        }
        text.uploads = other.map(|other| other.uploads).unwrap_or_default();
        version = put(store, &key, &bytes(&text)?, Some(&found.version)).await?;
    }
    let Some(version) = version else { return Ok(None) };
    forget(seen, &key);
    let uploads = text.uploads.clone();
    let state = Mutex::new(State { text, version });
    let lease = Lease { store: store.clone(), key, is_lost: AtomicBool::new(false), state, stands };
    for upload in uploads {
        let given_up = abort(client, if upload.is_letters { letters } else { part }, &upload.id).await;
        if let Err(error) = given_up {
            let _ = lease.release().await;
            return Err(error);
        }
    }
    lease.state.lock().await.text.uploads.clear();
    Ok(Some(lease))
}

/// Whether a claim was seen in this version for as long as it stands.
fn has_ended(seen: &Seen, key: &Path, etag: &str, stands: Duration) -> bool {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let (last, since) = seen.entry(key.clone()).or_insert_with(|| (etag.to_owned(), Instant::now()));
    if last != etag {
        (*last, *since) = (etag.to_owned(), Instant::now());
    }
    since.elapsed() >= stands
}

fn forget(seen: &Seen, key: &Path) {
    seen.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
}

fn bytes(text: &Text) -> Answer<bytes::Bytes> {
    serde_json::to_vec(text).map(Into::into).map_err(|error| E::Generic { store: "claim", source: error.into() })
}

/// Gives an upload up, so that it cannot be completed.
pub(super) async fn abort(client: &Client, key: &Path, id: &str) -> Answer<()> {
    let Some(pieces) = &client.pieces else { return Ok(()) };
    match pieces.abort_multipart(key, &id.to_owned()).await {
        Ok(()) | Err(E::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

impl Lease {
    /// Whether another process has taken it over.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    /// Renews the claim with a change; false if another process has taken it over.
    pub(super) async fn renew(&self, change: impl FnOnce(&mut Text)) -> Answer<bool> {
        let mut state = self.state.lock().await;
        if self.is_lost() {
            return Ok(false);
        }
        let mut text = state.text.clone();
        change(&mut text);
        text.renewed += 1;
        let written = bytes(&text)?;
        loop {
            if let Some(version) = put(&self.store, &self.key, &written, Some(&state.version)).await? {
                *state = State { text, version };
                return Ok(true);
            }
            // A renewal whose answer did not come may have been carried out.
            let found = get(&self.store, &self.key, MOST).await?;
            let own = found.and_then(|found| {
                let text: Text = serde_json::from_slice(&found.bytes).ok()?;
                (text.owner == state.text.owner && found.version != state.version).then_some(found.version)
            });
            match own {
                Some(version) => state.version = version,
                None => {
                    self.is_lost.store(true, Ordering::Relaxed);
                    return Ok(false);
                }
            }
        }
    }

    /// Renews the claim again and again until it is lost.
    pub(super) async fn keep(&self) {
        let mut pause = self.stands / 4;
        loop {
            tokio::time::sleep(pause).await;
            pause = match self.renew(|_| ()).await {
                Ok(true) => self.stands / 4,
                Ok(false) => return,
                Err(_) => self.stands / 16,
            };
        }
    }

    /// Lets other processes take the claim at once.
    pub(super) async fn release(&self) -> Answer<bool> {
        self.renew(|text| text.is_free = true).await
    }
}
