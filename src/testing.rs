//! Internals for the tests and benches of this repository; not part of the public interface.

/// Kernels on slices.
pub mod kernels {
    pub use crate::kernels::*;
}

/// The operator contract.
pub mod op {
    pub use crate::op::*;
}

/// Faults that tests plant in a GPU session, and profiles of its runs.
pub mod backend {
    pub use crate::backend::{RunProfile, StepProfile, TestHooks};
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

/// Images before they reach a model.
#[cfg(feature = "vision")]
pub mod images {
    use crate::{
        Result, Tensors,
        import::hugging_face::Filter,
        vision::{Image, ImageEmbedderPipeline, decode, resize},
    };

    /// Height, width and pixels of the bytes of a file.
    pub fn pixels(bytes: &[u8], most: u64) -> Result<([usize; 2], Vec<u8>)> {
        let pixels = decode::decode(bytes, most)?;
        Ok(([pixels.height, pixels.width], pixels.rgb))
    }

    /// The pixels of a file, resized to `width` and `height` by the filter of PIL's number, or a part of them.
    pub fn resized(
        bytes: &[u8],
        (width, height): (usize, usize),
        filter: usize,
        columns: std::ops::Range<usize>,
        rows: std::ops::Range<usize>,
    ) -> Result<Vec<u8>> {
        let pixels = decode::decode(bytes, u64::MAX)?;
        Ok(resize::resize(&pixels, (width, height), Filter::of(filter), columns, rows).rgb)
    }

    /// The inputs that an image becomes.
    pub fn inputs(pipeline: &ImageEmbedderPipeline, image: &Image) -> Result<Tensors> {
        pipeline.prepare_item(image)
    }
}
