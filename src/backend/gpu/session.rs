//! A model loaded on a GPU, and the pool of memory that its runs share.

mod load;
mod nodes;
mod report;
mod size;

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use crate::{
    backend::{
        device::{BindSizes, DeviceReport, DeviceSession, HostOperator, ReadOutputs, WriteInput},
        gpu::{adapter::Adapter, loaded::LoadedGraph, memory::Workspace, run::Run},
        profile::RunProfile,
    },
    error::{Context, Error, ErrorKind, Result},
    graph::Graph,
    plan::{RunCap, Sizes},
    shape::Bindings,
};

/// A model loaded on a GPU.
///
/// One copy of the weights serves any number of threads; each run in flight costs one set of buffers.
pub(crate) struct GpuSession {
    loaded: LoadedGraph,
    workspaces: Mutex<Vec<Workspace>>,
    scratch: AtomicU64,
    /// Target for the bytes of values of a run; lowered once the device has refused a run.
    run_bytes: AtomicUsize,
    refused: Mutex<Refused>,
    weight_bytes: usize,
    /// Operators that run on the host, each once.
    host: Vec<HostOperator>,
    /// Whether a product uses cooperative matrices, or why none can; `None` unless requested.
    by_matrices: Option<std::result::Result<bool, String>>,
    cap: RunCap,
}

/// Runs that the device refused for lack of memory.
#[derive(Default)]
struct Refused {
    runs: usize,
    /// The error of the first.
    first: String,
}

impl GpuSession {
    /// The adapter that the session runs on.
    pub(super) fn adapter(&self) -> &Adapter {
        &self.loaded.residence.device.adapter
    }

    /// Whether the device is lost.
    pub(super) fn is_lost(&self) -> bool {
        self.loaded.residence.device.is_lost()
    }

    /// Sets the most bytes of a run.
    pub(super) fn capped(self, cap: RunCap) -> Self {
        Self { cap, ..self }
    }

    /// Runs the model once, with memory from the pool.
    fn run_once(
        &self,
        bind: &BindSizes<'_>,
        write_input: &WriteInput<'_>,
        read_outputs: &ReadOutputs<'_>,
    ) -> Result<()> {
        self.loaded.residence.device.count_run();
        let mut memory = self.workspaces.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        memory.bindings.clear();
        bind(&mut memory.bindings)?;
        memory.bindings.extend(self.loaded.graph.fixed_symbols());
        self.size_run(&mut memory)?;
        let mut run = Run::begin(&self.loaded, memory)?;
        let started = Instant::now();
        for position in 0..self.loaded.graph.inputs().len() {
            run.write_input(position, write_input)?;
        }
        self.loaded.transfers.moving.fetch_add(started.elapsed().as_nanos() as u64, Ordering::Relaxed);
        for step in 0..self.loaded.steps.len() {
            run.step(step).context(|| self.loaded.steps[step].name.clone())?;
        }
        let outputs = run.finish()?;
        self.loaded.transfers.running.fetch_add(started.elapsed().as_nanos() as u64, Ordering::Relaxed);
        let result = read_outputs(&outputs);
        let memory = outputs.memory;
        self.scratch.fetch_max(memory.bytes(), Ordering::Relaxed);
        self.workspaces.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        result
    }

    /// Halves the size of later runs after a run that was too large, and frees the pool of memory.
    fn note_refused(&self, bind: &BindSizes<'_>, error: &Error) {
        let mut sizes = Bindings::default();
        if let Ok(()) = bind(&mut sizes)
            && let Ok(bytes) = self.value_bytes(&sizes)
        {
            self.run_bytes.fetch_min((bytes / 2).max(1), Ordering::Relaxed);
        }
        self.workspaces.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.runs == 0 {
            refused.first = error.to_string();
        }
        refused.runs += 1;
        tracing::warn!(error = %error, "the gpu refused a run");
    }
}

impl DeviceSession for GpuSession {
    fn graph(&self) -> &Graph {
        &self.loaded.graph
    }

    fn weight_bytes(&self) -> usize {
        self.weight_bytes
    }

    fn scratch_bytes(&self) -> usize {
        self.scratch.load(Ordering::Relaxed) as usize
    }

    fn value_bytes(&self, bindings: &Bindings) -> Result<usize> {
        let mut sizes = Sizes::default();
        self.loaded.residence.plan.evaluate(bindings, &mut sizes)?;
        Ok(self.loaded.residence.slot_bytes(&sizes)?.iter().sum::<u64>() as usize)
    }

    fn run_bytes(&self) -> usize {
        self.run_bytes.load(Ordering::Relaxed).min(self.cap.bytes())
    }

    fn report(&self) -> DeviceReport {
        self.device_report()
    }

    fn host_operators(&self) -> Vec<HostOperator> {
        self.host.clone()
    }

    fn staging_buffers(&self) -> u64 {
        self.loaded.residence.staging.load(Ordering::Relaxed)
    }

    fn profile(&self) -> Option<RunProfile> {
        let profile = self.loaded.profile.as_ref()?;
        Some(profile.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn run(&self, bind: &BindSizes<'_>, write_input: &WriteInput<'_>, read_outputs: &ReadOutputs<'_>) -> Result<()> {
        let result = self.run_once(bind, write_input, read_outputs);
        if let Err(error) = &result
            && error.kind() == ErrorKind::Limit
        {
            self.note_refused(bind, error);
        }
        result
    }
}

impl fmt::Debug for GpuSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GpuSession")
            .field("graph", &self.loaded.graph.name)
            .field("adapter", self.adapter())
            .finish_non_exhaustive()
    }
}
