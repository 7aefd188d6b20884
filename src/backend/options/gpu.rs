//! Options of the GPU, and the faults that tests plant.

use std::time::Duration;

/// Options of the GPU: which adapter, and how it is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GpuOptions {
    /// The adapter: its number in the list of adapters, a part of its name, `high-performance` or `low-power`.
    ///
    /// Several, in a list with commas, or `all` that are like the fastest: each chunk goes to the one with the fewest.
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
    /// Whether products in [`Precision::F16`](crate::Precision::F16) use cooperative matrices, which wgpu calls experimental.
    ///
    /// They are used if the adapter has them and they pass a test when the first session is loaded; otherwise the
    /// report says why not. The rows that meet the weights are then rounded to f16 too, and magnitudes above 65,504
    /// become infinite.
    pub cooperative_matrices: bool,
    /// Maximum time of a run before the device counts as lost; two minutes by default.
    pub timeout: Option<Duration>,
    /// Faults and limits that tests plant.
    pub(in crate::backend) hooks: TestHooks,
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
    /// Whether runs are profiled, each step in a pass of its own.
    pub profiled: bool,
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
    #[doc(hidden)]
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
