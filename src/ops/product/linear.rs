//! `Linear`: a product with constant weights and its epilogue.

pub(in crate::ops) mod epilogue;
pub(crate) mod in_place;
mod kernel;

pub use in_place::LinearInPlace;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{Activation, gemm::Layout},
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, OpDef, Operator, case::with_specials},
    shape::{Dim, Shape},
    tensor::DType,
};

/// `x w + bias`, through an activation, plus a residual, normalized.
///
/// Operands: `x [..., K]`, `w [K, N]`, and optionally `bias [N]`, `residual [..., N]` of the
/// result's shape, and `scale [N]` and `bias [N]` of the layer norm. Made by importers and rewrites
/// only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Linear {
    /// Applied to the sum of product and bias.
    pub activation: Activation,
    /// The epsilon of a layer norm over the last axis, if any.
    pub layer_norm: Option<f32>,
    /// Whether the result is stored as bf16, for products that would round it anyway.
    ///
    /// Set at load, on the CPU only, and never with a layer norm.
    pub rounded: bool,
}

/// The first operand of the epilogue.
const BIAS: usize = 2;

pub(crate) static DEF: OpDef = OpDef {
    name: "Linear",
    onnx: None,
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(kernel::linear),
    gpu: GpuState::Kernel("linear"),
};

impl Operator for Linear {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        self.infer_as(inputs, Layout::RowMajor)
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        epilogue::batch_axes(inputs, axes, BIAS)
    }
}

impl Linear {
    /// The result's fact, for weights in that layout.
    fn infer_as(&self, inputs: &Inputs<'_>, layout: Layout) -> Result<Vec<Fact>> {
        inputs.expect(2, 6)?;
        all_f32(inputs, inputs.required(0)?.dtype == DType::BF16)?;
        let (x, w) = (&inputs.required(0)?.shape, &inputs.required(1)?.shape);
        let (leading, k, w_k, n) = match (x.dims(), w.dims(), layout) {
            ([leading @ .., k], [w_k, n], Layout::RowMajor) => (leading, k, w_k, n),
            ([leading @ .., k], [n, w_k], Layout::Transposed) => (leading, k, w_k, n),
            _ => return Err(Error::invalid_model(format!("{x} times {w}: expected [..., K] and a matrix"))),
        };
        let misfit = |_| Error::invalid_model(format!("{x} times {w}: the shapes do not fit"));
        inputs.equal("the summed axis", k, w_k).map_err(misfit)?;
        let shape: Shape = leading.iter().chain([n]).cloned().collect();
        epilogue::check(inputs, BIAS, &shape, n, self.layer_norm.is_some())?;
        Ok(vec![Fact::new(stored_as(self.rounded), shape)])
    }
}

/// The type of a product's result.
pub(crate) fn stored_as(rounded: bool) -> DType {
    if rounded { DType::BF16 } else { DType::F32 }
}

/// Refuses operands of other types than f32; the first may be `rounded` already.
pub(crate) fn all_f32(inputs: &Inputs<'_>, rounded: bool) -> Result<()> {
    match (usize::from(rounded)..inputs.len())
        .filter_map(|index| inputs.fact(index))
        .find(|fact| fact.dtype != DType::F32)
    {
        Some(fact) => Err(Error::unsupported(format!("a product with {fact}; only f32 is"))),
        None => Ok(()),
    }
}

fn cases() -> Vec<Case> {
    let spread = Fill::Spread;
    let with = |activation: Activation| Linear { activation, ..Linear::default() };
    let norm = Linear { layer_norm: Some(1e-5), ..Linear::default() };
    vec![
        Case::new("product", Linear::default()).value(&[5, 17], spread).constant(&[17, 33], spread),
        Case::new("bias", with(Activation::Gelu))
            .value(&[2, 3, 384], spread)
            .constant(&[384, 70], Fill::Positive)
            .constant(&[70], spread),
        Case::new("residual", with(Activation::Relu))
            .value(&[2, 3, 9], spread)
            .constant(&[9, 70], spread)
            .constant(&[70], spread)
            .value(&[2, 3, 70], spread),
        Case::new("residual alone", with(Activation::Tanh))
            .value(&[29, 9], spread)
            .constant(&[9, 16], spread)
            .absent()
            .value(&[29, 16], spread),
        Case::new("all", Linear { activation: Activation::GeluTanh, ..norm.clone() })
            .value(&[31, 65], spread)
            .constant(&[65, 75], spread)
            .constant(&[75], spread)
            .value(&[31, 75], spread)
            .constant(&[75], spread)
            .constant(&[75], spread),
        Case::new("norm without bias", norm.clone())
            .value(&[3, 5], spread)
            .constant(&[5, 16], spread)
            .absent()
            .absent()
            .constant(&[16], spread),
        Case::new("run-time weights", norm)
            .value(&[3, 5], spread)
            .value(&[5, 19], spread)
            .value(&[19], spread)
            .value(&[3, 19], spread)
            .value(&[19], spread)
            .value(&[19], spread),
        Case::new("specials", Linear::default())
            .tensor(with_specials(&[5, 17], 0))
            .constant(&[17, 33], spread)
            .constant(&[33], spread),
        Case::new("vector", Linear::default()).value(&[17], spread).constant(&[17, 33], spread),
        Case::new("empty", Linear::default()).value(&[0, 17], spread).constant(&[17, 33], spread),
        Case::new("empty sum", Linear::default())
            .value(&[4, 0], spread)
            .constant(&[0, 33], spread)
            .constant(&[33], spread),
    ]
}
