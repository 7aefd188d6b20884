//! Loads a graph on the device that the options ask for.

#[cfg(feature = "gpu")]
use crate::backend::{
    gpu::{GpuDevice, Resilient, WeightFormat},
    options::Precision,
};
use crate::{
    backend::{
        cpu::CpuSession,
        device::Engine,
        options::{Device, SessionOptions},
    },
    error::{Error, ErrorKind, Result},
    graph::Graph,
    kernels::{KernelSet, gemm::Factors},
};

/// A graph loaded where the options ask for it.
pub(crate) struct Loaded {
    pub engine: Engine,
    /// A GPU, where `engine` is the CPU's and the choice between them is open.
    pub gpu: Option<Engine>,
}

/// Loads the graph on the device that the options ask for, on both where they leave it open. What is worth telling goes
/// to `notes`.
pub(crate) fn load(
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
pub(crate) fn gpu(graph: Graph, options: &SessionOptions, kernel_set: KernelSet) -> Result<Engine> {
    let format = if options.precision == Precision::F16 { WeightFormat::F16 } else { WeightFormat::F32 };
    Ok(Box::new(Resilient::load(graph, &options.gpu, kernel_set, format)?))
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
pub(crate) fn gpu(_graph: Graph, _options: &SessionOptions, _kernel_set: KernelSet) -> Result<Engine> {
    Err(Error::new(ErrorKind::Device, "this build has no gpu backend; use the device `cpu` or `auto`"))
}

#[cfg(not(feature = "gpu"))]
fn gpu_by_itself(_graph: &Graph, _options: &SessionOptions, _kernel_set: KernelSet) -> Result<Engine> {
    Err(Error::new(ErrorKind::Device, "this build has no gpu backend"))
}
