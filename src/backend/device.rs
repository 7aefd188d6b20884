//! The contract of a device: a graph loaded on it, and how the graph is run.

use std::{cell::RefCell, fmt, sync::Arc};

use crate::{
    backend::profile::RunProfile,
    error::{Error, Result},
    graph::Graph,
    shape::Bindings,
    tensor::{RunStrings, Value},
};

/// The outputs of a run, borrowed before its memory is reused.
pub(crate) trait RunOutputs {
    /// Returns the shape and bytes of output `position`.
    fn get(&self, position: usize) -> (&[usize], &[u8]);

    /// Returns output `position` if it is no tensor.
    fn other(&self, position: usize) -> Option<&Value> {
        let _ = position;
        None
    }

    /// Returns the strings of the run, whose numbers the bytes of tensors of strings are.
    fn strings(&self) -> Option<&RunStrings> {
        None
    }

    /// Returns the device that ran, if the session may change devices.
    fn device(&self) -> Option<&Arc<str>> {
        None
    }
}

/// A graph loaded on one device.
///
/// It is used as a trait object so that the auto traits of a [`Session`](crate::Session) are settled here: a compiler
/// that had to look through all types of a device's library for them would give up in the crates of users.
pub(crate) trait DeviceSession: fmt::Debug + Send + Sync {
    /// Returns the graph, without constants that kernels have packed.
    fn graph(&self) -> &Graph;

    /// Bytes of weights, shared by all workers.
    fn weight_bytes(&self) -> usize;

    /// Bytes that the largest run so far needed besides the weights.
    fn scratch_bytes(&self) -> usize;

    /// Bytes of values that a run with these sizes needs.
    ///
    /// # Errors
    /// If a size is unknown or does not fit.
    fn value_bytes(&self, bindings: &Bindings) -> Result<usize>;

    /// Target for the bytes of values of one run: a core's cache, or what fills a GPU.
    fn run_bytes(&self) -> usize;

    /// Number of chunks that keep the device busy.
    fn in_flight(&self) -> usize {
        1
    }

    /// Describes the device for a job's report.
    fn report(&self) -> DeviceReport;

    /// Operators that run on the CPU inside a session of another device, each once.
    fn host_operators(&self) -> Vec<HostOperator> {
        Vec::new()
    }

    /// Number of staging buffers created so far for transfers in either direction.
    fn staging_buffers(&self) -> u64 {
        0
    }

    /// What the runs so far did, if the options ask for a profile.
    fn profile(&self) -> Option<RunProfile> {
        None
    }

    /// Takes the session for all runs of a chunk, if it is one of several devices'.
    fn lease(&self) -> Option<Box<dyn DeviceSession + '_>> {
        None
    }

    /// Runs the model once.
    ///
    /// `write_input` fills the memory of each input; `read_outputs` reads the results and keeps what it needs of them.
    /// All callbacks may be called again if the device is lost.
    ///
    /// # Errors
    /// If the run or a callback fails.
    fn run(&self, bind: &BindSizes<'_>, write_input: &WriteInput<'_>, read_outputs: &ReadOutputs<'_>) -> Result<()>;

    /// Runs the model as [`run`](Self::run) does; `others` gives the inputs that are no tensors.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    fn run_on(
        &self,
        bind: &BindSizes<'_>,
        write_input: &WriteInput<'_>,
        others: &OtherInput<'_>,
        read_outputs: &ReadOutputs<'_>,
    ) -> Result<()> {
        let _ = others;
        self.run(bind, write_input, read_outputs)
    }
}

/// Callback that gives an input which is no tensor, by its position.
pub(crate) type OtherInput<'a> = dyn Fn(usize) -> Option<Value> + 'a;

/// Callback that binds the sizes of a run.
pub(crate) type BindSizes<'a> = dyn Fn(&mut Bindings) -> Result<()> + 'a;
/// Callback that fills the memory of an input, by its position; strings become numbers of the run's.
pub(crate) type WriteInput<'a> = dyn Fn(usize, &mut [u8], &mut RunStrings) -> Result<()> + 'a;
/// Callback that reads the outputs of a run.
pub(crate) type ReadOutputs<'a> = dyn Fn(&dyn RunOutputs) -> Result<()> + 'a;

/// The device's part of a job's report.
pub(crate) struct DeviceReport {
    pub device: String,
    pub kernel_set: &'static str,
    pub notes: Vec<String>,
}

/// An operator that runs on the CPU inside a GPU session, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostOperator {
    /// The operator's name.
    pub operator: &'static str,
    /// Why the GPU does not run it.
    pub reason: &'static str,
}

/// A graph loaded on a device, whichever device it is.
pub(crate) type Engine = Box<dyn DeviceSession>;

impl dyn DeviceSession + '_ {
    /// Runs the model once and returns what `read_outputs` makes of the outputs.
    pub(crate) fn run_to<R>(
        &self,
        bind: &BindSizes<'_>,
        write_input: &WriteInput<'_>,
        others: &OtherInput<'_>,
        read_outputs: impl Fn(&dyn RunOutputs) -> Result<R>,
    ) -> Result<R> {
        let result = RefCell::new(None);
        self.run_on(bind, write_input, others, &|outputs| {
            *result.borrow_mut() = Some(read_outputs(outputs)?);
            Ok(())
        })?;
        result.into_inner().ok_or_else(|| Error::internal("a run gave no result"))
    }
}
