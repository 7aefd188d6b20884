//! What runs a session's graph: the CPU's kernels or a GPU's.

use std::fmt;

#[cfg(feature = "gpu")]
use crate::backend::{Precision, lasting::Lasting};
use crate::{
    backend::{Device, SessionOptions},
    cpu::{CpuSession, KernelSet, gemm::Factors},
    error::{Error, ErrorKind, Result},
    graph::Graph,
    shape::Bindings,
};

/// The results of a run, before its memory is used again.
pub(crate) trait RunOutputs {
    /// Shape and bytes of output `position`.
    fn get(&self, position: usize) -> (&[usize], &[u8]);
}

/// A loaded graph on its device.
#[derive(Debug)]
pub(super) enum Engine {
    Cpu(Box<CpuSession>),
    #[cfg(feature = "gpu")]
    Gpu(Box<dyn DeviceSession>),
}

/// A graph on a device other than the CPU.
///
/// A trait object, so that whether a [`Session`](crate::Session) can cross threads is settled here: a compiler that had to look through
/// all types of a device's library for it would give up in the crates of users.
#[cfg_attr(not(feature = "gpu"), expect(dead_code, reason = "only the gpu is another device"))]
pub(super) trait DeviceSession: fmt::Debug + Send + Sync {
    fn graph(&self) -> &Graph;
    fn weight_bytes(&self) -> usize;
    fn scratch_bytes(&self) -> usize;
    fn value_bytes(&self, bindings: &Bindings) -> Result<usize>;
    fn run_bytes(&self) -> usize;
    fn told(&self) -> Told;
    fn host_operators(&self) -> Vec<HostOperator>;
    /// As [`Engine::run`]; `read_outputs` keeps what it makes of the results.
    fn run(&self, bind: &BindSizes<'_>, write_input: &WriteInput<'_>, read_outputs: &ReadOutputs<'_>) -> Result<()>;
}

/// Binds the sizes of a run.
pub(super) type BindSizes<'a> = dyn Fn(&mut Bindings) -> Result<()> + 'a;
/// Fills an input's memory.
pub(super) type WriteInput<'a> = dyn Fn(usize, &mut [u8]) -> Result<()> + 'a;
/// Sees the results.
pub(super) type ReadOutputs<'a> = dyn Fn(&dyn RunOutputs) -> Result<()> + 'a;

/// What a report says of the device.
pub(super) struct Told {
    pub device: String,
    pub kernel_set: &'static str,
    pub notes: Vec<String>,
}

impl Told {
    pub fn of_cpu(session: &CpuSession, notes: Vec<String>) -> Self {
        Self { device: "cpu".to_owned(), kernel_set: session.kernel_set().name(), notes }
    }
}

/// An operator that runs on the CPU inside a session of another device, and why.
pub type HostOperator = (&'static str, &'static str);

impl Engine {
    /// Loads the graph on the device that the options ask for. What is worth telling goes to `notes`.
    pub fn load(
        graph: Graph,
        options: &SessionOptions,
        kernel_set: KernelSet,
        factors: Factors,
        notes: &mut Vec<String>,
    ) -> Result<Self> {
        match options.device {
            Device::Cpu => {}
            Device::Gpu => return Self::gpu(graph, options, kernel_set),
            Device::Auto => match Self::gpu_by_itself(&graph, options, kernel_set) {
                Ok(engine) => return Ok(engine),
                Err(reason) => notes.push(format!("device auto: cpu; {reason}")),
            },
        }
        Ok(Self::Cpu(Box::new(CpuSession::load(graph, kernel_set, factors)?)))
    }

    #[cfg(feature = "gpu")]
    fn gpu(graph: Graph, options: &SessionOptions, kernel_set: KernelSet) -> Result<Self> {
        Ok(Self::Gpu(Box::new(Lasting::load(graph, &options.gpu, kernel_set)?)))
    }

    /// A GPU for a caller who did not ask for one.
    #[cfg(feature = "gpu")]
    fn gpu_by_itself(graph: &Graph, options: &SessionOptions, kernel_set: KernelSet) -> Result<Self> {
        // A forced set of CPU kernels asks for the CPU.
        if options.kernel_set.is_some() {
            return Err(Error::new(ErrorKind::Device, "a set of cpu kernels was asked for"));
        }
        if options.precision == Precision::Bf16 {
            return Err(Error::new(ErrorKind::Device, "precision bf16 is built on the cpu only"));
        }
        // Found out before the graph is copied.
        crate::gpu::GpuDevice::open(&options.gpu)?;
        Self::gpu(graph.clone(), options, kernel_set)
    }

    #[cfg(not(feature = "gpu"))]
    fn gpu(_graph: Graph, _options: &SessionOptions, _kernel_set: KernelSet) -> Result<Self> {
        Err(Error::new(ErrorKind::Device, "this build has no gpu backend; use the device `cpu` or `auto`"))
    }

    #[cfg(not(feature = "gpu"))]
    fn gpu_by_itself(_graph: &Graph, _options: &SessionOptions, _kernel_set: KernelSet) -> Result<Self> {
        Err(Error::new(ErrorKind::Device, "this build has no gpu backend"))
    }

    pub fn graph(&self) -> &Graph {
        match self {
            Self::Cpu(session) => session.graph(),
            #[cfg(feature = "gpu")]
            Self::Gpu(session) => session.graph(),
        }
    }

    pub fn weight_bytes(&self) -> usize {
        match self {
            Self::Cpu(session) => session.weight_bytes(),
            #[cfg(feature = "gpu")]
            Self::Gpu(session) => session.weight_bytes(),
        }
    }

    pub fn scratch_bytes(&self) -> usize {
        match self {
            Self::Cpu(session) => session.scratch_bytes(),
            #[cfg(feature = "gpu")]
            Self::Gpu(session) => session.scratch_bytes(),
        }
    }

    /// Bytes of values that a run with these sizes needs.
    pub fn value_bytes(&self, bindings: &Bindings) -> Result<usize> {
        match self {
            Self::Cpu(session) => session.value_bytes(bindings),
            #[cfg(feature = "gpu")]
            Self::Gpu(session) => session.value_bytes(bindings),
        }
    }

    /// Bytes that the values of one run should stay within: the cache of a core, or what a device takes at once.
    pub fn run_bytes(&self) -> usize {
        match self {
            Self::Cpu(_) => crate::cpu::l2_bytes(),
            #[cfg(feature = "gpu")]
            Self::Gpu(session) => session.run_bytes(),
        }
    }

    /// How many chunks are wanted under way at once: on a GPU one computes while another is sent or fetched.
    pub fn in_flight(&self) -> usize {
        match self {
            Self::Cpu(_) => 1,
            #[cfg(feature = "gpu")]
            Self::Gpu(_) => 2,
        }
    }

    /// What a report says.
    pub fn told(&self) -> Told {
        match self {
            Self::Cpu(session) => Told::of_cpu(session, Vec::new()),
            #[cfg(feature = "gpu")]
            Self::Gpu(session) => session.told(),
        }
    }

    /// The operators that run on the CPU inside a session of another device, each once.
    pub fn host_operators(&self) -> Vec<HostOperator> {
        match self {
            Self::Cpu(_) => Vec::new(),
            #[cfg(feature = "gpu")]
            Self::Gpu(session) => session.host_operators(),
        }
    }

    /// Runs the model once. `write_input` fills each input's memory, `read_outputs` sees the results. All may be called
    /// again where a device is lost.
    pub fn run<R>(
        &self,
        bind: impl Fn(&mut Bindings) -> Result<()>,
        write_input: impl Fn(usize, &mut [u8]) -> Result<()>,
        read_outputs: impl Fn(&dyn RunOutputs) -> Result<R>,
    ) -> Result<R> {
        match self {
            Self::Cpu(session) => session.run(bind, write_input, |outputs| read_outputs(outputs)),
            #[cfg(feature = "gpu")]
            Self::Gpu(session) => {
                let result = std::cell::RefCell::new(None);
                let keep = |outputs: &dyn RunOutputs| {
                    *result.borrow_mut() = Some(read_outputs(outputs)?);
                    Ok(())
                };
                session.run(&bind, &write_input, &keep)?;
                result.into_inner().ok_or_else(|| Error::internal("a run gave no result"))
            }
        }
    }
}
