//! Options of loading a model: the device, the precision and the settings of a GPU.

mod gpu;
mod precision;

use std::str::FromStr;

pub use gpu::{GpuOptions, TestHooks};
pub use precision::Precision;

use crate::{error::Error, kernels::KernelSet, plan::RunCap};

/// The device to run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Device {
    /// The faster device for the model, measured on a sample of the inputs.
    ///
    /// The GPU is a candidate if the machine has one, or if the options name a software adapter. The sample is a job's
    /// first chunk, or the one passed to [`Session::settle`](crate::Session::settle). Until it has run, the weights are
    /// on both devices; afterwards the session keeps one. The report says what was measured and chosen, and why.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU; loading fails if there is none.
    ///
    /// A model whose sizes are known only while it runs runs on the CPU all the same, as a note in the report says.
    ///
    /// The weights are on the device and also stay on the host as they were read, in the pages of their file with
    /// [`Weights::Mapped`](crate::Weights::Mapped). If the device is lost, it is loaded again from them once, and after
    /// a second loss the CPU takes over.
    Gpu,
}

impl FromStr for Device {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "auto" => Ok(Device::Auto),
            "cpu" => Ok(Device::Cpu),
            "gpu" => Ok(Device::Gpu),
            _ => Err(Error::invalid_input(format!("no device `{text}`; there are auto, cpu and gpu"))),
        }
    }
}

/// Options of loading a model; the defaults suit most uses.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SessionOptions {
    /// The device.
    pub device: Device,
    /// The precision.
    pub precision: Precision,
    /// The set of CPU kernels, for tests and debugging; by default the fastest that the CPU supports.
    pub kernel_set: Option<KernelSet>,
    /// The outputs to compute, by name; all by default.
    pub outputs: Option<Vec<String>>,
    /// Sizes for symbolic dimensions of the inputs, by name.
    pub dimensions: Vec<(String, usize)>,
    /// Whether the graph runs without rewrites, to find out whether a rewrite is at fault.
    pub keep_graph: bool,
    /// The most bytes of values and scratch that one run may take; by default a quarter of the machine's memory.
    ///
    /// It is checked before anything is allocated. A run that needs more fails, with the node that needs the most in
    /// the error. The weights do not count.
    pub max_run_bytes: Option<usize>,
    /// Whether an item fails whose outputs hold NaN although its inputs are finite; the report notes such items anyway.
    pub fail_on_nan: bool,
    /// The most iterations of all loops of the model in one run; by default 10 million.
    ///
    /// A loop whose condition never fails would not end otherwise.
    pub max_iterations: Option<u64>,
    /// Threads that loading, and a single run, are split over; by default as many as can run at once. A job has its own.
    pub workers: Option<usize>,
    /// The GPU's options, used unless the device is the CPU.
    pub gpu: GpuOptions,
}

impl SessionOptions {
    /// The defaults on the given device.
    pub fn on(device: Device) -> Self {
        Self { device, ..Self::default() }
    }

    /// Sets the precision.
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Forces a set of CPU kernels.
    #[must_use]
    pub fn kernel_set(mut self, kernel_set: KernelSet) -> Self {
        self.kernel_set = Some(kernel_set);
        self
    }

    /// Selects the outputs to compute, by name.
    #[must_use]
    pub fn outputs(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.outputs = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Runs the graph without rewrites.
    #[must_use]
    pub fn keep_graph(mut self) -> Self {
        self.keep_graph = true;
        self
    }

    /// Sets the most iterations of all loops of the model in one run.
    #[must_use]
    pub fn max_iterations(mut self, iterations: u64) -> Self {
        self.max_iterations = Some(iterations);
        self
    }

    /// Sets the most bytes of values and scratch that one run may take.
    #[must_use]
    pub fn max_run_bytes(mut self, bytes: usize) -> Self {
        self.max_run_bytes = Some(bytes);
        self
    }

    /// Lets items fail whose outputs hold NaN although their inputs are finite.
    #[must_use]
    pub fn fail_on_nan(mut self) -> Self {
        self.fail_on_nan = true;
        self
    }

    /// What one run may take.
    pub(crate) fn cap(&self) -> RunCap {
        RunCap::of(self.max_run_bytes, self.max_iterations)
    }

    /// Sets the options of the GPU.
    #[must_use]
    pub fn gpu(mut self, gpu: GpuOptions) -> Self {
        self.gpu = gpu;
        self
    }

    /// Fixes the size of a symbolic dimension of the inputs.
    #[must_use]
    pub fn dimension(mut self, name: impl Into<String>, size: usize) -> Self {
        self.dimensions.push((name.into(), size));
        self
    }
}
