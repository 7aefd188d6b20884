//! What runs a session's graph: the CPU's kernels or a GPU's.

use std::{cell::RefCell, fmt, sync::Arc};

use crate::{
    backend::{Device, SessionOptions},
    cpu::{CpuSession, KernelSet, gemm::Factors},
    error::{Error, ErrorKind, Result},
    graph::Graph,
    shape::Bindings,
};
#[cfg(feature = "gpu")]
use crate::{
    backend::{Precision, lasting::Lasting},
    gpu::{GpuDevice, WeightFormat},
};

/// The results of a run, before its memory is used again.
pub(crate) trait RunOutputs {
    /// Shape and bytes of output `position`.
    fn get(&self, position: usize) -> (&[usize], &[u8]);
    /// The device that has run it, where a session may change it.
    fn device(&self) -> Option<&Arc<str>> {
        None
    }
}

/// A graph loaded on one device.
///
/// Used as a trait object, so that whether a [`Session`](crate::Session) can cross threads is settled here: a compiler
/// that had to look through all types of a device's library for it would give up in the crates of users.
pub(crate) trait DeviceSession: fmt::Debug + Send + Sync {
    /// The graph, without constants that kernels have packed.
    fn graph(&self) -> &Graph;
    /// Bytes of weights, once for all workers.
    fn weight_bytes(&self) -> usize;
    /// Bytes that the largest run so far needed besides the weights.
    fn scratch_bytes(&self) -> usize;
    /// Bytes of values that a run with these sizes needs.
    fn value_bytes(&self, bindings: &Bindings) -> Result<usize>;
    /// Bytes that the values of one run should stay within: the cache of a core, or what a device takes at once.
    fn run_bytes(&self) -> usize;
    /// How many chunks are wanted under way at once.
    fn in_flight(&self) -> usize {
        1
    }
    /// What a report says.
    fn told(&self) -> Told;
    /// The operators that run on the CPU inside a session of another device, each once.
    fn host_operators(&self) -> Vec<HostOperator> {
        Vec::new()
    }
    /// How many buffers were made so far to carry values to a device and back.
    fn staging_buffers(&self) -> u64 {
        0
    }
    /// Runs the model once. `write_input` fills each input's memory, `read_outputs` sees the results and keeps what it
    /// makes of them. All may be called again where a device is lost.
    fn run(&self, bind: &BindSizes<'_>, write_input: &WriteInput<'_>, read_outputs: &ReadOutputs<'_>) -> Result<()>;
}

/// Binds the sizes of a run.
pub(crate) type BindSizes<'a> = dyn Fn(&mut Bindings) -> Result<()> + 'a;
/// Fills an input's memory.
pub(crate) type WriteInput<'a> = dyn Fn(usize, &mut [u8]) -> Result<()> + 'a;
/// Sees the results.
pub(crate) type ReadOutputs<'a> = dyn Fn(&dyn RunOutputs) -> Result<()> + 'a;

/// What a report says of the device.
pub(crate) struct Told {
    pub device: String,
    pub kernel_set: &'static str,
    pub notes: Vec<String>,
}

/// An operator that runs on the CPU inside a session of another device, and why.
pub type HostOperator = (&'static str, &'static str);

/// A loaded graph on its device.
pub(super) type Engine = Box<dyn DeviceSession>;

/// A graph loaded where the options ask for it.
pub(super) struct Loaded {
    pub engine: Engine,
    /// A GPU, where `engine` is the CPU's and the choice between them is open.
    pub gpu: Option<Engine>,
}

/// Loads the graph on the device that the options ask for, on both where they leave it open. What is worth telling goes
/// to `notes`.
pub(super) fn load(
    graph: Graph,
    options: &SessionOptions,
    kernel_set: KernelSet,
    factors: Factors,
    notes: &mut Vec<String>,
) -> Result<Loaded> {
    let gpu = match options.device {
        Device::Cpu => None,
        Device::Gpu => return Ok(Loaded { engine: gpu(graph, options, kernel_set)?, gpu: None }),
        Device::Auto => match gpu_by_itself(&graph, options, kernel_set) {
            Ok(engine) => Some(engine),
            Err(reason) => {
                notes.push(format!("device auto: cpu; {reason}"));
                None
            }
        },
    };
    Ok(Loaded { engine: Box::new(CpuSession::load(graph, kernel_set, factors)?), gpu })
}

#[cfg(feature = "gpu")]
pub(super) fn gpu(graph: Graph, options: &SessionOptions, kernel_set: KernelSet) -> Result<Engine> {
    let format = if options.precision == Precision::F16 { WeightFormat::F16 } else { WeightFormat::F32 };
    Ok(Box::new(Lasting::load(graph, &options.gpu, kernel_set, format)?))
}

/// A GPU for a caller who did not ask for one.
#[cfg(feature = "gpu")]
fn gpu_by_itself(graph: &Graph, options: &SessionOptions, kernel_set: KernelSet) -> Result<Engine> {
    // A forced set of CPU kernels asks for the CPU.
    if options.kernel_set.is_some() {
        return Err(Error::new(ErrorKind::Device, "a set of cpu kernels was asked for"));
    }
    if options.precision == Precision::Bf16 {
        return Err(Error::new(ErrorKind::Device, "precision bf16 is built on the cpu only"));
    }
    // Found out before the graph is copied.
    GpuDevice::open(&options.gpu)?;
    gpu(graph.clone(), options, kernel_set)
}

#[cfg(not(feature = "gpu"))]
pub(super) fn gpu(_graph: Graph, _options: &SessionOptions, _kernel_set: KernelSet) -> Result<Engine> {
    Err(Error::new(ErrorKind::Device, "this build has no gpu backend; use the device `cpu` or `auto`"))
}

#[cfg(not(feature = "gpu"))]
fn gpu_by_itself(_graph: &Graph, _options: &SessionOptions, _kernel_set: KernelSet) -> Result<Engine> {
    Err(Error::new(ErrorKind::Device, "this build has no gpu backend"))
}

impl dyn DeviceSession + '_ {
    /// Runs the model once, and gives what `read_outputs` makes of the results.
    pub(crate) fn run_to<R>(
        &self,
        bind: &BindSizes<'_>,
        write_input: &WriteInput<'_>,
        read_outputs: impl Fn(&dyn RunOutputs) -> Result<R>,
    ) -> Result<R> {
        let result = RefCell::new(None);
        self.run(bind, write_input, &|outputs| {
            *result.borrow_mut() = Some(read_outputs(outputs)?);
            Ok(())
        })?;
        result.into_inner().ok_or_else(|| Error::internal("a run gave no result"))
    }
}

impl DeviceSession for CpuSession {
    fn graph(&self) -> &Graph {
        self.graph()
    }
    fn weight_bytes(&self) -> usize {
        self.weight_bytes()
    }
    fn scratch_bytes(&self) -> usize {
        self.scratch_bytes()
    }
    fn value_bytes(&self, bindings: &Bindings) -> Result<usize> {
        self.value_bytes(bindings)
    }
    fn run_bytes(&self) -> usize {
        crate::cpu::l2_bytes()
    }
    fn told(&self) -> Told {
        Told { device: "cpu".to_owned(), kernel_set: self.kernel_set().name(), notes: Vec::new() }
    }
    fn run(&self, bind: &BindSizes<'_>, write_input: &WriteInput<'_>, read_outputs: &ReadOutputs<'_>) -> Result<()> {
        self.run(bind, write_input, |outputs| read_outputs(outputs))
    }
}
