//! Options of loading a model: the device, the precision and the settings of a GPU.

use std::{fmt, str::FromStr, time::Duration};

use crate::{error::Error, kernels::KernelSet};

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

/// The precision of weights and products.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Precision {
    /// 32-bit floating point throughout.
    #[default]
    F32,
    /// Constant weights of products in 16-bit floating point, on a GPU only.
    ///
    /// Each matrix is scaled by a power of two that keeps it within the range of f16. The rows that it is multiplied
    /// with, the sums and all other operators are in f32. With `Device::Auto` a session that ends up on the CPU runs in
    /// f32, and the report says so.
    F16,
    /// bfloat16 factors and 32-bit sums in products with constant weights and in attention, on the CPU only.
    ///
    /// All other operators are in f32.
    Bf16,
    /// The fastest precision that stays close to f32: bf16 on the CPU, f16 on a GPU, or f32 itself.
    ///
    /// The first chunk runs in each precision and decides; the report says which one was chosen, and why. Until then
    /// both the file's weights and the packed ones are in memory.
    Auto {
        /// Least cosine between an output and the same output in f32, over the inputs of the first chunk.
        ///
        /// Only outputs of floating-point numbers count.
        min_cosine: f32,
    },
}

impl Precision {
    /// `Auto` with a bound that suits embeddings and classifiers.
    pub const AUTO: Self = Self::Auto { min_cosine: 0.999 };

    /// The name in command lines and reports.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
            Precision::Bf16 => "bf16",
            Precision::Auto { .. } => "auto",
        }
    }
}

impl FromStr for Precision {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(bound) = text.strip_prefix("auto:") {
            return match bound.parse() {
                Ok(min_cosine) if (-1.0..=1.0).contains(&min_cosine) => Ok(Precision::Auto { min_cosine }),
                _ => Err(Error::invalid_input(format!("no cosine `{bound}`; auto:0.999 is the default of auto"))),
            };
        }
        let all = [Precision::F32, Precision::F16, Precision::Bf16, Precision::AUTO];
        all.into_iter().find(|precision| precision.name() == text).ok_or_else(|| {
            Error::invalid_input(format!("no precision `{text}`; there are f32, f16, bf16, auto and auto:COSINE"))
        })
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Options of the GPU: which adapter, and how it is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GpuOptions {
    /// The adapter: its number in the list of adapters, a part of its name, `high-performance` or `low-power`.
    ///
    /// By default the fastest kind that is not software; a software adapter must be chosen by name or number.
    pub adapter: Option<String>,
    /// Whether shaders check every index and loop at run time, to find out whether a shader is at fault.
    pub checked_shaders: bool,
    /// Maximum bytes of one binding, if below the device's own limit; for tests of tensors cut into parts.
    pub binding_limit: Option<u64>,
    /// Whether shaders reduce rows by subgroup operations; by default if the adapter has them.
    ///
    /// Loading fails if they are required and the adapter has none.
    pub subgroups: Option<bool>,
    /// Whether products in [`Precision::F16`] use cooperative matrices, which wgpu calls experimental.
    ///
    /// They are used if the adapter has them and they pass a test when the first session is loaded; otherwise the
    /// report says why not. The rows that meet the weights are then rounded to f16 too, and magnitudes above 65,504
    /// become infinite.
    pub cooperative_matrices: bool,
    /// Maximum time of a run before the device counts as lost; two minutes by default.
    pub timeout: Option<Duration>,
    /// Faults and limits that tests plant.
    pub(crate) hooks: TestHooks,
}

/// Faults and limits that tests plant in a GPU session.
#[doc(hidden)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestHooks {
    /// Text to replace in every shader, and its replacement: a test must notice the wrong shader.
    pub planted: Option<(String, String)>,
    /// Maximum bytes of a buffer that shaders bind, as if memory ran out beyond.
    pub memory_limit: Option<u64>,
    /// Number of the run in which the device is lost, counted from 1 for each opening.
    pub lost_in_run: Option<u64>,
    /// Whether loops emulate the instructions of cooperative matrices.
    pub emulated_matrices: bool,
    /// Maximum invocations of a workgroup that the adapter is taken to have.
    pub invocation_limit: Option<u32>,
    /// Factor on the measured speed of the GPU where the device is chosen by speed.
    pub favoured: Option<u32>,
}

impl TestHooks {
    /// Replaces the text `from` by `to` in every shader.
    pub fn plant(&mut self, from: &str, to: &str) {
        self.planted = Some((from.to_owned(), to.to_owned()));
    }
}

impl GpuOptions {
    /// Selects an adapter by number or name.
    pub fn adapter(name: impl Into<String>) -> Self {
        Self { adapter: Some(name.into()), ..Self::default() }
    }

    /// Lets shaders check every index and loop at run time.
    #[must_use]
    pub fn checked_shaders(mut self) -> Self {
        self.checked_shaders = true;
        self
    }

    /// Uses cooperative matrices for products in f16, if the adapter has them and they pass their test.
    #[must_use]
    pub fn cooperative_matrices(mut self) -> Self {
        self.cooperative_matrices = true;
        self
    }

    /// Sets the time after which a device that has not finished a run counts as lost.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Limits the bytes of one binding.
    #[must_use]
    pub fn binding_limit(mut self, bytes: u64) -> Self {
        self.binding_limit = Some(bytes);
        self
    }

    /// Plants faults and limits for a test.
    #[doc(hidden)]
    #[must_use]
    pub fn testing(mut self, plant: impl FnOnce(&mut TestHooks)) -> Self {
        plant(&mut self.hooks);
        self
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
