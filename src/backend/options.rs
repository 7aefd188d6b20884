//! How a model is loaded: the device, the precision and a GPU's settings.

use std::{fmt, str::FromStr, time::Duration};

use crate::{error::Error, kernels::KernelSet};

/// The device to run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The faster device for the model. Where there is a graphics processor, or a software adapter that the options
    /// name, a sample of the inputs is run on it and on the CPU, and the session settles for good; until then the
    /// weights are on both. The sample is a job's first chunk, or the caller's own
    /// ([`Session::settle`](crate::Session::settle)). The report says what was measured and chosen, and why.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// A graphics processor; an error where there is none. Weights are on the device, and stay on the host as they were
    /// read: should the device be lost, it is loaded again from them, or the CPU takes over. With
    /// [`Weights::Mapped`](crate::Weights::Mapped) these are the pages of their file.
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
    /// Products whose constant weights a GPU holds in 16-bit floating point, each matrix times a power of two that keeps
    /// it within the range; the rows that they meet and the sums are 32-bit. All else is in f32. There is no such form on
    /// the CPU: `Device::Auto` runs in f32 where it ends up there, and says so.
    F16,
    /// bfloat16 products with 32-bit sums: of constant weights, and of attention. All else is in f32.
    Bf16,
    /// 8-bit integer products.
    Int8,
    /// The fastest that stays close to f32: bf16 on the CPU, f16 on a GPU, or f32 itself. A session runs its first chunk in
    /// each precision and settles for good; the report says for which, and why. Until then both the file's weights and the packed ones are in memory.
    Auto {
        /// The least cosine between an output in f32 and the same output, of any input of that chunk. Outputs of
        /// other than floating-point numbers do not count.
        min_cosine: f32,
    },
}

impl Precision {
    /// `Auto` with a bound that embeddings and classifiers do well with.
    pub const AUTO: Self = Self::Auto { min_cosine: 0.999 };

    /// Its name on command lines and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
            Precision::Bf16 => "bf16",
            Precision::Int8 => "int8",
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
        let all = [Precision::F32, Precision::F16, Precision::Bf16, Precision::Int8, Precision::AUTO];
        all.into_iter().find(|precision| precision.name() == text).ok_or_else(|| {
            Error::invalid_input(format!("no precision `{text}`; there are f32, f16, bf16, int8, auto and auto:COSINE"))
        })
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a GPU is chosen and used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GpuOptions {
    /// Which adapter: its number in the list of adapters, a part of its name, `high-performance` or `low-power`. By default
    /// the fastest kind that is no software; a software adapter is taken by name or number only.
    pub adapter: Option<String>,
    /// Lets shaders check each index and loop while they run, for finding out whether a shader is at fault.
    pub checked_shaders: bool,
    /// Binds at most so many bytes at once, where the device could bind more; for tests of what is cut into parts.
    pub binding_limit: Option<u64>,
    /// Whether shaders work along rows by subgroups; where the adapter has them by default. Asked for where it has none
    /// they are an error.
    pub subgroups: Option<bool>,
    /// Whether products in [`Precision::F16`] are computed by cooperative matrices (wgpu calls them experimental), where the
    /// adapter has them and they pass a test when the first session is loaded; the report tells why not. The rows that
    /// meet the weights are then rounded to f16 too, and their numbers past 65,504 become infinite.
    pub cooperative_matrices: bool,
    /// The longest that a device may take for a run before it counts as lost; two minutes by default.
    pub timeout: Option<Duration>,
    /// Replaces a text in every shader, so that a test can see whether it would notice a wrong one.
    #[doc(hidden)]
    pub planted: Option<(String, String)>,
    /// Gives shaders no buffer of more bytes, as if there were no memory for it.
    #[doc(hidden)]
    pub memory_limit: Option<u64>,
    /// Loses the device in its run of that number, counted from 1 and once for each opening.
    #[doc(hidden)]
    pub lost_in_run: Option<u64>,
    /// Lets loops stand for the instructions of cooperative matrices.
    #[doc(hidden)]
    pub emulated_matrices: bool,
    /// Takes the adapter for one whose workgroups have at most so many invocations.
    #[doc(hidden)]
    pub invocation_limit: Option<u32>,
    /// Counts the device as so many times as fast as it was measured to be, where it is chosen by speed.
    #[doc(hidden)]
    pub favoured: Option<u32>,
}

impl GpuOptions {
    /// The adapter of that number or name.
    pub fn adapter(name: impl Into<String>) -> Self {
        Self { adapter: Some(name.into()), ..Self::default() }
    }

    /// Lets shaders check each index and loop while they run.
    #[must_use]
    pub fn checked_shaders(mut self) -> Self {
        self.checked_shaders = true;
        self
    }

    /// Computes products in f16 by cooperative matrices, where the adapter has them and they pass their test.
    #[must_use]
    pub fn cooperative_matrices(mut self) -> Self {
        self.cooperative_matrices = true;
        self
    }

    /// Takes a device for lost that has not ended a run after so long.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Binds at most `bytes` at once.
    #[must_use]
    pub fn binding_limit(mut self, bytes: u64) -> Self {
        self.binding_limit = Some(bytes);
        self
    }
}

/// How a model is loaded. `SessionOptions::default()` is right for most.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SessionOptions {
    /// The device.
    pub device: Device,
    /// The precision.
    pub precision: Precision,
    /// Forces a set of CPU kernels, for tests and debugging; by default the best that the processor has.
    pub kernel_set: Option<KernelSet>,
    /// The outputs to compute, by name; all by default.
    pub outputs: Option<Vec<String>>,
    /// Sizes for symbolic dimensions of the inputs, by name.
    pub dimensions: Vec<(String, usize)>,
    /// Runs the graph as the file has it, for finding out whether a rewrite is at fault.
    pub keep_graph: bool,
    /// How a GPU is chosen and used, where the device is not the CPU.
    pub gpu: GpuOptions,
}

impl SessionOptions {
    /// The defaults on a device.
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

    /// Chooses the outputs to compute.
    #[must_use]
    pub fn outputs(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.outputs = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Runs the graph as the file has it.
    #[must_use]
    pub fn keep_graph(mut self) -> Self {
        self.keep_graph = true;
        self
    }

    /// Says how a GPU is chosen and used.
    #[must_use]
    pub fn gpu(mut self, gpu: GpuOptions) -> Self {
        self.gpu = gpu;
        self
    }

    /// Fixes a symbolic dimension of the inputs.
    #[must_use]
    pub fn dimension(mut self, name: impl Into<String>, size: usize) -> Self {
        self.dimensions.push((name.into(), size));
        self
    }
}
