//! Internals for the tests and benches of this repository; not part of the public interface.

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

/// Graphs, values and facts.
pub mod graph {
    pub use crate::graph::*;
}

/// Borrowed tensors, as kernels take them.
pub mod tensor {
    pub use crate::tensor::{RunStrings, View, ViewMut};
}

/// Dimensions and shapes.
pub mod shape {
    pub use crate::shape::*;
}

/// Graph rewrites.
pub mod rewrite {
    pub use crate::rewrite::*;
}

/// Splitting work over threads.
pub mod threads {
    pub use crate::threads::split::with_workers;
}

/// Readers of model files.
#[cfg(any(feature = "onnx", feature = "hugging-face"))]
pub mod import {
    pub use crate::import::*;
}
