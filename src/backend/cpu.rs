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
    plan::RunCap,
};

/// Loads a graph in the session that suits it.
///
/// # Errors
/// If a node cannot run on the CPU.
pub(crate) fn load(graph: Graph, kernel_set: KernelSet, factors: Factors, cap: RunCap) -> Result<Engine> {
    Ok(match dynamic_reason(&graph) {
        Some(_) => Box::new(DynamicSession::load(graph, kernel_set, factors, kernels::threads())?.capped(cap)),
        None => Box::new(CpuSession::load(graph, kernel_set, factors)?.capped(cap)),
    })
}

/// Like [`load`], on the calling thread alone.
///
/// # Errors
/// As [`load`].
pub(crate) fn load_here(graph: Graph, kernel_set: KernelSet, factors: Factors, cap: RunCap) -> Result<Engine> {
    Ok(match dynamic_reason(&graph) {
        Some(_) => Box::new(DynamicSession::load(graph, kernel_set, factors, 1)?.capped(cap)),
        None => Box::new(CpuSession::load_here(graph, kernel_set, factors)?.capped(cap)),
    })
}
