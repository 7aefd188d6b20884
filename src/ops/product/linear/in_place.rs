//! `LinearInPlace`: `Linear` with weights that stay in their file.

use crate::{
    error::Result,
    graph::Fact,
    kernels::{Activation, gemm::Layout},
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, OpDef, Operator},
    ops::product::linear::{Linear, kernel},
    shape::Dim,
};

/// [`Linear`] with transposed weights `[N, K]` that each run packs into scratch.
///
/// The weights stay in their mapped file. Made by import only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinearInPlace(pub Linear);

pub(crate) static DEF: OpDef = OpDef {
    name: "LinearInPlace",
    onnx: None,
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(kernel::linear_in_place),
    gpu: GpuState::Host("weights that stay in their file are read by the processor"),
};

impl Operator for LinearInPlace {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        self.0.infer_as(inputs, Layout::Transposed)
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], size: &Dim) -> Option<Vec<Option<usize>>> {
        self.0.batch_axes(inputs, axes, size)
    }
}

fn cases() -> Vec<Case> {
    let spread = Fill::Spread;
    let norm = Linear { activation: Activation::Gelu, layer_norm: Some(1e-5), ..Linear::default() };
    vec![
        Case::new("product", LinearInPlace::default()).value(&[5, 17], spread).constant(&[33, 17], spread),
        Case::new("all", LinearInPlace(norm))
            .value(&[31, 65], spread)
            .constant(&[75, 65], spread)
            .constant(&[75], spread)
            .value(&[31, 75], spread)
            .constant(&[75], spread)
            .constant(&[75], spread),
        Case::new("run-time weights", LinearInPlace::default()).value(&[2, 3, 9], spread).value(&[19, 9], spread),
        Case::new("empty", LinearInPlace::default()).value(&[0, 17], spread).constant(&[33, 17], spread),
        Case::new("empty sum", LinearInPlace::default())
            .value(&[4, 0], spread)
            .constant(&[33, 0], spread)
            .constant(&[33], spread),
    ]
}
