//! Insides of the library for the tests and benches of this repository: no part of the public interface.

/// Kernels on slices.
pub mod kernels {
    pub use crate::kernels::*;
}

/// The operator contract.
pub mod op {
    pub use crate::op::*;
}

/// Faults that tests plant in a GPU session.
pub mod backend {
    pub use crate::backend::TestHooks;
}

/// The operators.
pub mod ops {
    pub use crate::ops::*;
}

/// Graphs, their values and facts.
pub mod graph {
    pub use crate::graph::*;
}

/// Sizes.
pub mod shape {
    pub use crate::shape::*;
}

/// Rewrites of graphs.
pub mod rewrite {
    pub use crate::rewrite::*;
}

/// Work split over threads.
pub mod threads {
    pub use crate::threads::split::with_workers;
}

/// Readers of files.
#[cfg(any(feature = "onnx", feature = "hugging-face"))]
pub mod import {
    pub use crate::import::*;
}
