//! The contract of a device: a graph loaded on it, and how it is run.

use std::{cell::RefCell, fmt, sync::Arc};

use crate::{
    error::{Error, Result},
    graph::Graph,
    shape::Bindings,
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
pub(crate) type Engine = Box<dyn DeviceSession>;

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
