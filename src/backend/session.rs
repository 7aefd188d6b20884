//! A loaded model as an [`Inference`](crate::Inference) over named tensors.

mod bound;
mod chunk;
mod forms;
mod inference;
mod load;
mod not_a_number;
mod run;
mod runs;
mod settle;

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use crate::{
    backend::{
        choice::Choice,
        device::HostOperator,
        options::{Precision, SessionOptions},
        profile::RunProfile,
        session::not_a_number::NotANumber,
    },
    error::{Error, Result},
    graph::{Batching, Fact, Graph},
    inference::{Fingerprint, Inference, Slots},
    kernels::KernelSet,
    plan::RunCap,
    shape::Symbol,
    tensor::Tensors,
    threads::{
        pool::{Pool, pool},
        split::with_workers,
    },
};

/// A model ready to run: weights loaded once, shared by all threads.
///
/// An item is the named inputs of one run, with every axis of the model: one row of a model of `[batch, 2]` has the
/// shape `[1, 2]`, and so has its output. Where the graph proves that the rows of the first axis are independent, the
/// items of a chunk run together; the outputs are the same bits either way.
pub struct Session {
    choice: Choice,
    /// The precision, unless a sample decides it.
    known_precision: Option<Precision>,
    /// The graph that runs, whatever the form.
    graph: Graph,
    /// Kernel set and bytes of weights, reported until the choice is settled.
    loaded: (KernelSet, usize),
    inputs: Vec<Named>,
    outputs: Vec<Named>,
    batching: Batching,
    load_seconds: f64,
    notes: Vec<String>,
    /// The options that decide the outputs, for cache keys.
    options: String,
    fingerprint: Fingerprint,
    /// The cap on the bytes of a run, which holds for the outputs of an item that is cut into runs too.
    cap: RunCap,
    not_a_number: NotANumber,
    /// Bytes of values per row of a run, if no other size than the batch varies.
    row_bytes: OnceLock<Option<usize>>,
    /// Nanoseconds of the last [`run`](Self::run), summed over its threads.
    last_run_ns: AtomicU64,
    /// Threads that a single run is split over, if the options say so.
    workers: Option<usize>,
    pool: OnceLock<Arc<Pool>>,
}

/// Least nanoseconds of a run that is worth waking a pool.
const LEAST_POOL_NS: u64 = 200_000;

/// An input or output of the model.
struct Named {
    name: Arc<str>,
    fact: Fact,
}

impl Session {
    /// Names, types and shapes of the inputs.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, &Fact)> {
        self.inputs.iter().map(|named| (&*named.name, &named.fact))
    }

    /// Names, types and shapes of the outputs.
    pub fn outputs(&self) -> impl Iterator<Item = (&str, &Fact)> {
        self.outputs.iter().map(|named| (&*named.name, &named.fact))
    }

    /// How the items of a chunk are combined.
    pub fn batching(&self) -> &Batching {
        &self.batching
    }

    /// Bytes of weights, shared by all workers.
    ///
    /// Until the session is settled these are the weights on each device, in f32 for `Precision::Auto`. For a GPU
    /// session they are the weights on the device and those that its steps on the CPU read; a note of the report names
    /// what else stays on the host.
    pub fn weight_bytes(&self) -> usize {
        self.choice.get().map_or(self.loaded.1, |form| form.engine.weight_bytes())
    }

    /// The precision that the session runs in, `None` until `Precision::Auto` is settled.
    pub fn precision(&self) -> Option<Precision> {
        self.known_precision.or_else(|| self.choice.get().map(|form| form.precision))
    }

    /// The operators that run on the CPU inside a GPU session, each with the reason.
    pub fn host_operators(&self) -> Vec<HostOperator> {
        self.choice.get().map_or_else(Vec::new, |form| form.engine.host_operators())
    }

    /// Number of staging buffers created so far, for tests of their reuse.
    #[doc(hidden)]
    pub fn staging_buffers(&self) -> u64 {
        self.choice.get().map_or(0, |form| form.engine.staging_buffers())
    }

    /// What the runs so far did, for a GPU session whose hooks ask for a profile.
    #[doc(hidden)]
    pub fn profile(&self) -> Option<RunProfile> {
        self.choice.get().and_then(|form| form.engine.profile())
    }

    /// The loaded graph: the file's graph after rewrites, without constants that kernels packed.
    #[doc(hidden)]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Runs one item.
    ///
    /// A long run is split over [`SessionOptions::workers`], or over the caller's own if a thread of a rayon
    /// pool calls; the results are the same bits.
    ///
    /// # Errors
    /// If an input is missing, unknown, or of another type or shape than the model takes, or if a value is out of range.
    pub fn run(&self, inputs: &Tensors) -> Result<Tensors> {
        let mut slot = [None];
        let started = Instant::now();
        let mut infer = || self.infer(&[inputs], &mut Slots::new(&mut slot));
        let long = self.last_run_ns.load(Relaxed) >= LEAST_POOL_NS;
        let threads = if long && rayon::current_thread_index().is_none() {
            let pool = self.pool()?;
            pool.run(|| with_workers(pool.workers(), infer))?;
            pool.workers()
        } else {
            infer()?;
            1
        };
        self.last_run_ns.store(started.elapsed().as_nanos() as u64 * threads as u64, Relaxed);
        let [slot] = slot;
        slot.unwrap_or_else(|| Err(no_result()))
    }

    /// The pool over which single runs are split; created on first use, kept with the session.
    fn pool(&self) -> Result<&Arc<Pool>> {
        if let Some(pool) = self.pool.get() {
            return Ok(pool);
        }
        let made = pool(self.workers)?;
        Ok(self.pool.get_or_init(|| made))
    }

    /// The symbolic dimension along which items are concatenated, if they are.
    fn rows_symbol(&self) -> Option<Symbol> {
        match self.batching {
            Batching::Rows { symbol } => Some(symbol),
            Batching::Packed { tokens, .. } => Some(tokens),
            _ => None,
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("engine", &self.choice)
            .field("batching", &self.batching)
            .finish_non_exhaustive()
    }
}

/// The text that identifies the options which decide the outputs.
fn options_text(options: &SessionOptions) -> String {
    format!(
        "outputs {:?}, dimensions {:?}, graph as in the file {}",
        options.outputs, options.dimensions, options.keep_graph
    )
}

/// The error for an item whose run filled no slot.
fn no_result() -> Error {
    Error::internal("a run gave no result")
}
