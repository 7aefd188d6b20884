//! A graph on a device: its steps, what stays resident, and what runs have transferred.

use std::sync::{Mutex, atomic::AtomicU64};

use crate::{
    backend::{
        gpu::{kernel::GpuKernel, residence::Residence},
        profile::RunProfile,
    },
    graph::Graph,
    op::CpuKernel,
};

/// How a step runs.
pub(crate) enum StepKernel {
    Device(Box<dyn GpuKernel>),
    Host(Box<dyn CpuKernel>),
}

/// A node of the graph with its kernel.
pub(crate) struct Step {
    /// Name in error messages.
    pub name: String,
    pub kernel: StepKernel,
}

/// Time and bytes of transfers, summed over all runs.
#[derive(Default)]
pub(crate) struct Transfers {
    /// Nanoseconds that calling threads spent on sending inputs and reading results.
    pub moving: AtomicU64,
    /// Nanoseconds of whole runs.
    pub running: AtomicU64,
    /// Bytes read back for steps on the host.
    pub to_host: AtomicU64,
    /// Bytes sent for steps on the host.
    pub to_device: AtomicU64,
}

/// A graph loaded on a device.
pub(crate) struct LoadedGraph {
    pub graph: Graph,
    pub residence: Residence,
    pub steps: Vec<Step>,
    pub transfers: Transfers,
    /// What runs did, if the options ask for a profile.
    pub profile: Option<Mutex<RunProfile>>,
}
