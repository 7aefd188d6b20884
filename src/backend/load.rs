//! Loading a graph on the device that the options select.

#[cfg(feature = "gpu")]
use crate::backend::{
    gpu::{self, WeightFormat},
    options::Precision,
};
use crate::{
    backend::{
        cpu,
        device::Engine,
        options::{Device, GpuOptions, SessionOptions},
    },
    error::{Error, ErrorKind, Result},
    graph::{Graph, Value},
    kernels::{KernelSet, gemm::Factors},
    tensor::DType,
};

/// A graph loaded on the selected device, or on both.
pub(crate) struct Loaded {
    pub engine: Engine,
    /// The form on a GPU, if `engine` is on the CPU and the choice is open.
    pub gpu: Option<Engine>,
}

/// Loads the graph on the selected device, on both if the options leave the choice open.
///
/// `notes` receives why a GPU is not considered.
pub(crate) fn load(
    graph: Graph,
    options: &SessionOptions,
    kernel_set: KernelSet,
    factors: Factors,
    notes: &mut Vec<String>,
) -> Result<Loaded> {
    let reason = cpu::dynamic_reason(&graph).or_else(|| graph.values.iter().find_map(holds_strings));
    if let Some(reason) = reason.filter(|_| options.device != Device::Cpu) {
        notes.push(format!("device {}: cpu; {reason}", if options.device == Device::Gpu { "gpu" } else { "auto" }));
        return Ok(Loaded { engine: cpu::load(graph, kernel_set, factors, options.cap())?, gpu: None });
    }
    let cap = options.cap();
    let gpu = match options.device {
        Device::Cpu => None,
        Device::Gpu => return Ok(Loaded { engine: gpu(graph, options, kernel_set)?, gpu: None }),
        Device::Auto => match gpu_by_itself(&graph, options, kernel_set) {
            Ok(engine) => Some(engine),
            // A build without the backend is worth a note only where somebody chose an adapter.
            Err(_) if !cfg!(feature = "gpu") && options.gpu == GpuOptions::default() => None,
            Err(reason) => {
                notes.push(format!("device auto: cpu; {reason}"));
                None
            }
        },
    };
    Ok(Loaded { engine: cpu::load(graph, kernel_set, factors, cap)?, gpu })
}

/// Why a graph with this value stays on the CPU.
fn holds_strings(value: &Value) -> Option<String> {
    (value.fact.dtype == DType::String).then(|| format!("`{}` holds strings", value.name))
}

/// Loads the graph on a GPU.
#[cfg(feature = "gpu")]
pub(crate) fn gpu(graph: Graph, options: &SessionOptions, kernel_set: KernelSet) -> Result<Engine> {
    if let Some(reason) = graph.values.iter().find_map(holds_strings) {
        return Err(Error::new(ErrorKind::Device, reason));
    }
    let format = if options.precision == Precision::F16 { WeightFormat::F16 } else { WeightFormat::F32 };
    gpu::load(graph, options, kernel_set, format)
}

/// Loads the graph on a GPU for `Device::Auto`.
#[cfg(feature = "gpu")]
fn gpu_by_itself(graph: &Graph, options: &SessionOptions, kernel_set: KernelSet) -> Result<Engine> {
    // A forced set of CPU kernels selects the CPU.
    if options.kernel_set.is_some() {
        return Err(Error::new(ErrorKind::Device, "a set of cpu kernels was asked for"));
    }
    if let Precision::Bf16 | Precision::Int8 = options.precision {
        let message = format!("precision {} is built on the cpu only", options.precision);
        return Err(Error::new(ErrorKind::Device, message));
    }
    // Fails before the graph is copied.
    gpu::open(&options.gpu)?;
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
