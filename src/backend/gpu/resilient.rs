//! A GPU session that outlives its device: opened again once, then on the CPU.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::{
    backend::{
        cpu::CpuSession,
        device::{BindSizes, DeviceReport, DeviceSession, HostOperator, ReadOutputs, RunOutputs, WriteInput},
        gpu::{operand::WeightFormat, session::GpuSession},
        options::GpuOptions,
    },
    error::{Error, Result},
    graph::{Graph, ValueId},
    kernels::{KernelSet, gemm::Factors},
    shape::Bindings,
};

/// A graph on a GPU, with what it takes to load it again: the constants of the graph stay on the host for it, in the
/// memory they were read into or, by [`Weights::Mapped`](crate::Weights), in their file.
#[derive(Debug)]
pub(crate) struct Resilient {
    graph: Graph,
    /// Bytes of constants that the session on the GPU holds there only.
    kept: Kept,
    options: GpuOptions,
    kernel_set: KernelSet,
    format: WeightFormat,
    now: RwLock<Arc<Now>>,
    /// What happened to the device so far.
    events: Mutex<Vec<String>>,
}

#[derive(Debug)]
enum State {
    Gpu { session: Box<GpuSession>, opened_again: bool },
    Cpu(Box<CpuSession>),
}

/// What runs the graph, and how it is called.
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

/// Results with the device that has run them.
struct RanOn<'a> {
    outputs: &'a dyn RunOutputs,
    device: &'a Arc<str>,
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
    /// In memory.
    own: usize,
    /// In their file.
    mapped: usize,
}

impl Kept {
    /// Those of `graph` that `loaded` has let go.
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

    /// What a report says of a model that is not tiny.
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
    pub fn load(graph: Graph, options: &GpuOptions, kernel_set: KernelSet, format: WeightFormat) -> Result<Self> {
        let session = Box::new(GpuSession::load(graph.clone(), options, kernel_set, format)?);
        let kept = Kept::of(&graph, session.graph());
        Ok(Self {
            graph,
            kept,
            options: options.clone(),
            kernel_set,
            format,
            now: RwLock::new(Now::new(State::Gpu { session, opened_again: false })),
            events: Mutex::default(),
        })
    }

    /// What runs the graph now.
    fn now(&self) -> Arc<Now> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn events(&self) -> Vec<String> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces what runs the graph, unless another thread has.
    fn replace(&self, lost: &Arc<Now>, error: &Error) -> Result<()> {
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&now, lost) {
            return Ok(());
        }
        let tell = |what: String| self.events.lock().unwrap_or_else(PoisonError::into_inner).push(what);
        if matches!(&lost.state, State::Gpu { opened_again: false, .. }) {
            match GpuSession::load(self.graph.clone(), &self.options, self.kernel_set, self.format) {
                Ok(session) => {
                    let session = Box::new(session);
                    tell(format!("the gpu was lost and opened again; its runs were repeated: {error}"));
                    *now = Now::new(State::Gpu { session, opened_again: true });
                    return Ok(());
                }
                Err(refused) => tell(format!("the gpu was lost and could not be opened again: {refused}")),
            }
        }
        let precision = if self.format == WeightFormat::F32 { "" } else { " in f32" };
        tell(format!("the gpu was lost; the rest ran on the cpu{precision}: {error}"));
        // Whoever else runs waits for `now`: no other thread is asked for help with it.
        let session = CpuSession::load_here(self.graph.clone(), self.kernel_set, Factors::F32)?;
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

    /// One computes while another is sent or fetched. On the CPU chunks are the workers'.
    fn in_flight(&self) -> usize {
        match self.now().state {
            State::Gpu { .. } => 2,
            State::Cpu(_) => 1,
        }
    }

    fn report(&self) -> DeviceReport {
        let now = self.now();
        let mut told = DeviceReport { device: now.device.to_string(), ..now.session().report() };
        if let State::Gpu { .. } = now.state {
            told.notes.extend(self.kept.note());
        }
        told.notes.splice(..0, self.events());
        told
    }

    fn host_operators(&self) -> Vec<HostOperator> {
        self.now().session().host_operators()
    }

    fn staging_buffers(&self) -> u64 {
        self.now().session().staging_buffers()
    }

    /// Again where the device was lost under it.
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
