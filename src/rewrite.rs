//! Passes that make a graph cheaper and leave its results alone.

mod dead;
mod fold;
mod pointwise_chain;

use crate::{error::Result, graph::Graph};

/// Runs every pass, in an order in which each sees what the one before made.
///
/// # Errors
/// When a pass leaves a graph that no longer fits together.
pub fn optimize(graph: &mut Graph) -> Result<()> {
    fold::run(graph)?;
    dead::run(graph);
    pointwise_chain::run(graph)?;
    Ok(())
}
