//! The CPU backend: kernels in the order of a plan, and a pool of arenas.

mod dynamic;
mod kernels;
mod session;

pub(crate) use dynamic::reason as dynamic_reason;
pub(crate) use session::CpuSession;

use crate::{
    backend::{cpu::dynamic::DynamicSession, device::Engine},
    error::Result,
    graph::Graph,
    kernels::{KernelSet, gemm::Factors},
};

/// Loads a graph in the session that suits it; `max_iterations` bounds its loops.
///
/// # Errors
/// If a node cannot run on the CPU.
pub(crate) fn load(
    graph: Graph,
    kernel_set: KernelSet,
    factors: Factors,
    max_iterations: Option<u64>,
) -> Result<Engine> {
    Ok(match dynamic_reason(&graph) {
        Some(_) => Box::new(DynamicSession::load(graph, kernel_set, factors, kernels::threads(), max_iterations)?),
        None => Box::new(CpuSession::load(graph, kernel_set, factors)?),
    })
}

/// Like [`load`], on the calling thread alone.
///
/// # Errors
/// As [`load`].
pub(crate) fn load_here(
    graph: Graph,
    kernel_set: KernelSet,
    factors: Factors,
    max_iterations: Option<u64>,
) -> Result<Engine> {
    Ok(match dynamic_reason(&graph) {
        Some(_) => Box::new(DynamicSession::load(graph, kernel_set, factors, 1, max_iterations)?),
        None => Box::new(CpuSession::load_here(graph, kernel_set, factors)?),
    })
}
