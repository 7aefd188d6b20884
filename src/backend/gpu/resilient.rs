//! A GPU session that survives the loss of its device: reopened once, then moved to the CPU.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::{
    backend::{
        cpu::CpuSession,
        device::{BindSizes, DeviceReport, DeviceSession, HostOperator, ReadOutputs, RunOutputs, WriteInput},
        gpu::{operand::WeightFormat, session::GpuSession},
        options::{GpuOptions, SessionOptions},
        profile::RunProfile,
    },
    error::{Error, Result},
    graph::{Graph, ValueId},
    kernels::{KernelSet, gemm::Factors},
    plan::RunCap,
    shape::Bindings,
};

/// A graph on a GPU, with its constants on the host for loading it again.
///
/// The constants stay in the memory that they were read into or, with [`Weights::Mapped`](crate::Weights), in their
/// file.
#[derive(Debug)]
pub(crate) struct Resilient {
    graph: Graph,
    /// Bytes of constants that are kept on the host only in case the device is lost.
    kept: Kept,
    options: GpuOptions,
    cap: RunCap,
    kernel_set: KernelSet,
    format: WeightFormat,
    now: RwLock<Arc<Now>>,
    /// Losses of the device so far, as notes.
    events: Mutex<Vec<String>>,
}

#[derive(Debug)]
enum State {
    Gpu { session: Box<GpuSession>, opened_again: bool },
    Cpu(Box<CpuSession>),
}

/// The session that runs the graph, and the name of its device.
#[derive(Debug)]
struct Now {
    state: State,
    device: Arc<str>,
}

impl Now {
    fn new(state: State) -> Arc<Self> {
        let device = match &state {
            State::Gpu { session, opened_again: false } => session.report().device.into(),
            State::Gpu { session, opened_again: true } => format!("{}, opened again", session.report().device).into(),
            State::Cpu(session) => session.report().device.into(),
        };
        Arc::new(Self { state, device })
    }

    fn session(&self) -> &dyn DeviceSession {
        match &self.state {
            State::Gpu { session, .. } => &**session,
            State::Cpu(session) => &**session,
        }
    }
}

/// Outputs of a run, with the device that ran it.
pub(super) struct RanOn<'a> {
    pub(super) outputs: &'a dyn RunOutputs,
    pub(super) device: &'a Arc<str>,
}

impl RunOutputs for RanOn<'_> {
    fn get(&self, position: usize) -> (&[usize], &[u8]) {
        self.outputs.get(position)
    }
    fn device(&self) -> Option<&Arc<str>> {
        Some(self.device)
    }
}

/// Bytes of constants that stay on the host in case the device is lost.
#[derive(Debug, Default)]
struct Kept {
    /// Bytes in memory.
    own: usize,
    /// Bytes in their file.
    mapped: usize,
}

impl Kept {
    /// The constants of `graph` that `loaded` has dropped.
    fn of(graph: &Graph, loaded: &Graph) -> Self {
        let mut kept = Self::default();
        for id in (0..graph.value_count() as u32).map(ValueId) {
            if let (Some(tensor), None) = (graph.constant_of(id), loaded.constant_of(id)) {
                let bytes = if tensor.is_mapped() { &mut kept.mapped } else { &mut kept.own };
                *bytes += tensor.bytes().len();
            }
        }
        kept
    }

    /// The note for the report, unless the model is tiny.
    fn note(&self) -> Option<String> {
        let in_file = if self.mapped > 0 { format!(", and {} in their file", self.mapped) } else { String::new() };
        (self.own + self.mapped >= 1 << 20).then(|| {
            format!(
                "besides those on the gpu {} bytes of weights stay in host memory{in_file}, in case it is lost",
                self.own
            )
        })
    }
}

impl Resilient {
    /// Loads the graph on a GPU.
    ///
    /// # Errors
    /// As [`GpuSession::load`].
    pub(crate) fn load(
        graph: Graph,
        options: &SessionOptions,
        kernel_set: KernelSet,
        format: WeightFormat,
    ) -> Result<Self> {
        let cap = options.cap();
        let session = Box::new(GpuSession::load(graph.clone(), &options.gpu, kernel_set, format)?.capped(cap));
        let kept = Kept::of(&graph, session.graph());
        Ok(Self {
            graph,
            kept,
            options: options.gpu.clone(),
            cap,
            kernel_set,
            format,
            now: RwLock::new(Now::new(State::Gpu { session, opened_again: false })),
            events: Mutex::default(),
        })
    }

    /// Returns the current session.
    fn now(&self) -> Arc<Now> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn events(&self) -> Vec<String> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the lost session, unless another thread already has.
    fn replace(&self, lost: &Arc<Now>, error: &Error) -> Result<()> {
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&now, lost) {
            return Ok(());
        }
        let note = |what: String| self.events.lock().unwrap_or_else(PoisonError::into_inner).push(what);
        if matches!(&lost.state, State::Gpu { opened_again: false, .. }) {
            match GpuSession::load(self.graph.clone(), &self.options, self.kernel_set, self.format) {
                Ok(session) => {
                    let session = Box::new(session.capped(self.cap));
                    note(format!("the gpu was lost and opened again; its runs were repeated: {error}"));
                    *now = Now::new(State::Gpu { session, opened_again: true });
                    return Ok(());
                }
                Err(refused) => note(format!("the gpu was lost and could not be opened again: {refused}")),
            }
        }
        let precision = if self.format == WeightFormat::F32 { "" } else { " in f32" };
        note(format!("the gpu was lost; the rest ran on the cpu{precision}: {error}"));
        // Other threads wait for the lock, so the load must not need them.
        let session = CpuSession::load_here(self.graph.clone(), self.kernel_set, Factors::F32)?.capped(self.cap);
        *now = Now::new(State::Cpu(Box::new(session)));
        Ok(())
    }
}

impl DeviceSession for Resilient {
    fn graph(&self) -> &Graph {
        &self.graph
    }

    fn weight_bytes(&self) -> usize {
        self.now().session().weight_bytes()
    }

    fn scratch_bytes(&self) -> usize {
        self.now().session().scratch_bytes()
    }

    fn value_bytes(&self, bindings: &Bindings) -> Result<usize> {
        self.now().session().value_bytes(bindings)
    }

    fn run_bytes(&self) -> usize {
        self.now().session().run_bytes()
    }

    /// On a GPU one chunk computes while another is transferred; on the CPU each worker runs its own.
    fn in_flight(&self) -> usize {
        match self.now().state {
            State::Gpu { .. } => 2,
            State::Cpu(_) => 1,
        }
    }

    fn report(&self) -> DeviceReport {
        let now = self.now();
        let mut report = DeviceReport { device: now.device.to_string(), ..now.session().report() };
        if let State::Gpu { .. } = now.state {
            report.notes.extend(self.kept.note());
        }
        report.notes.splice(..0, self.events());
        report
    }

    fn host_operators(&self) -> Vec<HostOperator> {
        self.now().session().host_operators()
    }

    fn staging_buffers(&self) -> u64 {
        self.now().session().staging_buffers()
    }

    fn profile(&self) -> Option<RunProfile> {
        self.now().session().profile()
    }

    /// Retries on the next session if the device is lost during the run.
    fn run(&self, bind: &BindSizes<'_>, write_input: &WriteInput<'_>, read_outputs: &ReadOutputs<'_>) -> Result<()> {
        loop {
            let now = self.now();
            let read = |outputs: &dyn RunOutputs| read_outputs(&RanOn { outputs, device: &now.device });
            match (&now.state, now.session().run(bind, write_input, &read)) {
                (State::Gpu { session, .. }, Err(error)) if session.is_lost() => self.replace(&now, &error)?,
                (_, result) => return result,
            }
        }
    }
}
