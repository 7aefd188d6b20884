//! A store in memory whose requests can be told to fail.

use std::{
    collections::HashMap,
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use futures_core::stream::BoxStream;
use object_store::{
    CopyOptions, Error as E, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as Answer,
    memory::InMemory,
    multipart::{MultipartStore, PartId},
    path::Path,
};

use crate::files::{store::connect::Client, url::Url};

/// The stores of the tests, by bucket.
static STORES: Mutex<Option<HashMap<String, Planted>>> = Mutex::new(None);

/// The store of a URL that a test planted.
pub(in crate::files::store) fn planted(url: &Url) -> Option<Client> {
    let stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
    let mut store = stores.as_ref()?.get(&url.root)?.clone();
    let piece = store.piece;
    store.is_first = !store.gate.has_client.swap(true, SeqCst);
    Some(Client { piece, ..Client::new(store) })
}

/// How late an answer comes.
const LATE: Duration = Duration::from_millis(100);

type Asked<'a, T> = Pin<Box<dyn Future<Output = Answer<T>> + Send + 'a>>;

/// What a request is met with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not carried out.
    Refused,
    /// It is carried out, and the answer is lost.
    Silent,
    /// It is carried out, and the answer comes [`LATE`].
    Late,
}

/// A store; clones are the same one, and count together.
#[derive(Clone, Debug)]
pub(super) struct Planted {
    pub(super) objects: Arc<InMemory>,
    plan: Arc<Mutex<Plan>>,
    /// Requests so far.
    pub(super) asked: Arc<AtomicUsize>,
    /// Uploads in pieces that were neither completed nor given up.
    pub(super) uploads: Arc<Mutex<Vec<MultipartId>>>,
    piece: u64,
    is_first: bool,
    gate: Arc<Gate>,
}

/// Where the first client waits.
#[derive(Debug, Default)]
struct Gate {
    has_client: AtomicBool,
    /// Requests of the first client.
    asked: AtomicUsize,
    is_waiting: AtomicBool,
    is_open: AtomicBool,
}

/// When what fails.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Plan {
    /// All requests from this one on fail, as after the end of a process.
    pub(super) dies_at: Option<(usize, Fault)>,
    /// The answer of this request is lost, if it writes.
    pub(super) silent_at: Option<usize>,
    /// From this one of its requests on, the first client stands still until it may go on.
    pub(super) waits_at: Option<usize>,
    /// The answer of this request comes late.
    pub(super) late_at: Option<usize>,
    pub(super) ignores_conditions: bool,
    pub(super) hangs: bool,
}

impl Planted {
    /// A store for the bucket of that name, which writes longer objects than `piece` in pieces.
    pub(super) fn new(bucket: &str, piece: u64) -> Self {
        let store = Self {
            objects: Arc::default(),
            plan: Arc::default(),
            asked: Arc::default(),
            uploads: Arc::default(),
            piece,
            is_first: false,
            gate: Arc::default(),
        };
        let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
        stores.get_or_insert_default().insert(bucket.to_owned(), store.clone());
        store
    }

    /// Counts requests anew under another plan.
    pub(super) fn set(&self, plan: Plan) {
        *self.plan.lock().unwrap() = plan;
        self.asked.store(0, SeqCst);
        self.gate.asked.store(0, SeqCst);
    }

    /// Whether the first client stands still within a time.
    pub(super) fn stands_still(&self, within: Duration) -> bool {
        let end = Instant::now() + within;
        while Instant::now() < end && !self.gate.is_waiting.load(SeqCst) {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.gate.is_waiting.load(SeqCst)
    }

    /// Lets the first client go on.
    pub(super) fn go_on(&self) {
        self.gate.is_open.store(true, SeqCst);
    }

    /// Waits where the first client is to stand still.
    async fn pass_gate(&self, plan: &Plan) {
        if !self.is_first {
            return;
        }
        let number = self.gate.asked.fetch_add(1, SeqCst);
        while plan.waits_at.is_some_and(|at| number >= at) && !self.gate.is_open.load(SeqCst) {
            self.gate.is_waiting.store(true, SeqCst);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn meet(&self, writes: bool) -> (Option<Fault>, Plan) {
        let number = self.asked.fetch_add(1, SeqCst);
        let plan = *self.plan.lock().unwrap();
        let dies = plan.dies_at.filter(|(at, _)| number >= *at);
        let fault = match dies {
            // What comes after the end is not carried out.
            Some((at, fault)) => Some(if number == at { fault } else { Fault::Refused }),
            None if writes && plan.silent_at == Some(number) => Some(Fault::Silent),
            None => (plan.late_at == Some(number)).then_some(Fault::Late),
        };
        (fault, plan)
    }

    async fn meet_and<T>(&self, writes: bool, request: impl Future<Output = Answer<T>> + Send) -> Answer<T> {
        let (fault, plan) = self.meet(writes);
        if plan.hangs {
            std::future::pending::<()>().await;
        }
        self.pass_gate(&plan).await;
        match fault {
            None => request.await,
            Some(Fault::Late) => {
                let answer = request.await;
                tokio::time::sleep(LATE).await;
                answer
            }
            Some(Fault::Refused) => Err(planted_error()),
            Some(Fault::Silent) => {
                request.await?;
                Err(planted_error())
            }
        }
    }
}

fn planted_error() -> E {
    E::Generic { store: "planted", source: "a planted failure".into() }
}

impl fmt::Display for Planted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("planted")
    }
}

impl ObjectStore for Planted {
    fn put_opts<'a, 'b, 'c>(&'a self, key: &'b Path, bytes: PutPayload, options: PutOptions) -> Asked<'c, PutResult>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(self.meet_and(true, async move {
            let ignores = self.plan.lock().unwrap().ignores_conditions;
            let options = if ignores { PutOptions::from(PutMode::Overwrite) } else { options };
            self.objects.put_opts(key, bytes, options).await
        }))
    }

    fn put_multipart_opts<'a, 'b, 'c>(
        &'a self,
        key: &'b Path,
        options: PutMultipartOptions,
    ) -> Asked<'c, Box<dyn MultipartUpload>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        self.objects.put_multipart_opts(key, options)
    }

    fn get_opts<'a, 'b, 'c>(&'a self, key: &'b Path, options: GetOptions) -> Asked<'c, GetResult>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(self.meet_and(false, self.objects.get_opts(key, options)))
    }

    fn delete_stream(&self, keys: BoxStream<'static, Answer<Path>>) -> BoxStream<'static, Answer<Path>> {
        match self.meet(true).0 {
            Some(Fault::Refused) => super::failing(),
            _ => self.objects.delete_stream(keys),
        }
    }

    fn list(&self, folder: Option<&Path>) -> BoxStream<'static, Answer<ObjectMeta>> {
        match self.meet(false).0 {
            Some(Fault::Refused | Fault::Silent) => super::failing(),
            _ => self.objects.list(folder),
        }
    }

    fn list_with_delimiter<'a, 'b, 'c>(&'a self, folder: Option<&'b Path>) -> Asked<'c, ListResult>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(self.meet_and(false, self.objects.list_with_delimiter(folder)))
    }

    fn copy_opts<'a, 'b, 'd, 'c>(&'a self, from: &'b Path, to: &'d Path, options: CopyOptions) -> Asked<'c, ()>
    where
        'a: 'c,
        'b: 'c,
        'd: 'c,
        Self: 'c,
    {
        self.objects.copy_opts(from, to, options)
    }
}

impl MultipartStore for Planted {
    fn create_multipart<'a, 'b, 'c>(&'a self, key: &'b Path) -> Asked<'c, MultipartId>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(self.meet_and(false, async move {
            let id = self.objects.create_multipart(key).await?;
            self.uploads.lock().unwrap().push(id.clone());
            Ok(id)
        }))
    }

    fn put_part<'a, 'b, 'd, 'c>(
        &'a self,
        key: &'b Path,
        id: &'d MultipartId,
        index: usize,
        bytes: PutPayload,
    ) -> Asked<'c, PartId>
    where
        'a: 'c,
        'b: 'c,
        'd: 'c,
        Self: 'c,
    {
        Box::pin(self.meet_and(false, self.objects.put_part(key, id, index, bytes)))
    }

    fn complete_multipart<'a, 'b, 'd, 'c>(
        &'a self,
        key: &'b Path,
        id: &'d MultipartId,
        parts: Vec<PartId>,
    ) -> Asked<'c, PutResult>
    where
        'a: 'c,
        'b: 'c,
        'd: 'c,
        Self: 'c,
    {
        Box::pin(self.meet_and(true, async move {
            self.uploads.lock().unwrap().retain(|other| other != id);
            self.objects.complete_multipart(key, id, parts).await
        }))
    }

    fn abort_multipart<'a, 'b, 'd, 'c>(&'a self, key: &'b Path, id: &'d MultipartId) -> Asked<'c, ()>
    where
        'a: 'c,
        'b: 'c,
        'd: 'c,
        Self: 'c,
    {
        Box::pin(self.meet_and(false, async move {
            let mut uploads = self.uploads.lock().unwrap().clone();
            if !uploads.contains(id) {
                return Err(E::NotFound { path: key.to_string(), source: "no such upload".into() });
            }
            uploads.retain(|other| other != id);
            *self.uploads.lock().unwrap() = uploads;
            self.objects.abort_multipart(key, id).await
        }))
    }
}
