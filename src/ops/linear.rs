//! `Linear`: a product with constant weights and all that can follow it in one pass; and ONNX's `Gemm`.

use std::sync::Arc;

use crate::{
    cpu::Activation,
    error::{Error, Result},
    graph::Fact,
    ops::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, OnnxNode, OpDef, Operator, matmul::with_specials},
    shape::{Dim, Shape},
    tensor::DType,
};

/// `x w + bias`, through an activation, plus a residual, normalised.
///
/// Operands: `x [..., K]`, `w [K, N]`, and each of these or an absent one: `bias [N]`, `residual [..., N]` of the
/// result's shape, `scale [N]` and `bias [N]` of the layer norm. Made by rewrites only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Linear {
    /// Applied to the sum of product and bias.
    pub activation: Activation,
    /// The summand to the variance of a layer norm over the last axis, if there is one.
    pub layer_norm: Option<f32>,
}

pub(super) static LINEAR: OpDef = OpDef {
    name: "Linear",
    onnx: None,
    cases: linear_cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Folded,
    gpu: GpuState::Pending,
};

impl Operator for Linear {
    fn def(&self) -> &'static OpDef {
        &LINEAR
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(2, 6)?;
        all_f32(inputs)?;
        let (x, w) = (&inputs.required(0)?.shape, &inputs.required(1)?.shape);
        let ([leading @ .., k], [w_k, n]) = (x.dims(), w.dims()) else {
            return Err(Error::invalid_model(format!("{x} times {w}: expected [..., K] and [K, N]")));
        };
        let differ = |a: &Dim, b: &Dim| a.as_fixed().zip(b.as_fixed()).is_some_and(|(a, b)| a != b);
        if differ(k, w_k) {
            return Err(Error::invalid_model(format!("{x} times {w}: the shapes do not fit")));
        }
        let shape: Shape = leading.iter().chain([n]).cloned().collect();
        for (index, name) in [(2, "bias"), (4, "layer norm's scale"), (5, "layer norm's bias")] {
            if let Some(fact) = inputs.fact(index)
                && (fact.shape.rank() != 1 || differ(&fact.shape[0], n))
            {
                return Err(Error::invalid_model(format!("a {name} of shape {} for {n} columns", fact.shape)));
            }
        }
        if let Some(fact) = inputs.fact(3) {
            let own = &fact.shape;
            if own.rank() != shape.rank() || own.dims().iter().zip(shape.dims()).any(|(a, b)| differ(a, b)) {
                return Err(Error::invalid_model(format!("a residual of shape {own} for a result of {shape}")));
            }
        }
        let (scale, bias) = (inputs.fact(4).is_some(), inputs.fact(5).is_some());
        if scale != self.layer_norm.is_some() || (bias && !scale) {
            return Err(Error::invalid_model("a layer norm needs its scale, and only a layer norm has one"));
        }
        Ok(vec![Fact::new(DType::F32, shape)])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let depends = |index: usize| axes.get(index).copied().flatten();
        if [1, 2, 4, 5].into_iter().any(|index| depends(index).is_some()) {
            return None;
        }
        let last = inputs.fact(0)?.shape.rank() - 1;
        let residual = inputs.fact(3).map(|_| depends(3));
        match (depends(0), residual) {
            (own, Some(residual)) if own != residual => None,
            (Some(axis), _) if axis == last => None,
            (own, _) => Some(vec![own]),
        }
    }
}

/// ONNX's product of two matrices: `alpha a b + beta c`, `c` broadcast to `[M, N]`, or absent.
#[derive(Clone, Debug, PartialEq)]
pub struct Gemm {
    /// The factor of the product.
    pub alpha: f32,
    /// The factor of `c`.
    pub beta: f32,
    /// Whether `a` is `[K, M]` instead of `[M, K]`.
    pub trans_a: bool,
    /// Whether `b` is `[N, K]` instead of `[K, N]`.
    pub trans_b: bool,
}

pub(super) static GEMM: OpDef = OpDef {
    name: "Gemm",
    onnx: Some(decode),
    cases: gemm_cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Folded,
    gpu: GpuState::Pending,
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    Ok(Arc::new(Gemm {
        alpha: node.float("alpha")?.unwrap_or(1.0),
        beta: node.float("beta")?.unwrap_or(1.0),
        trans_a: node.flag("transA", false)?,
        trans_b: node.flag("transB", false)?,
    }))
}

impl Operator for Gemm {
    fn def(&self) -> &'static OpDef {
        &GEMM
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(2, 3)?;
        all_f32(inputs)?;
        let (a, b) = (&inputs.required(0)?.shape, &inputs.required(1)?.shape);
        let misfit = || Error::invalid_model(format!("{a} times {b} with {self:?}: the shapes do not fit"));
        if a.rank() != 2 || b.rank() != 2 {
            return Err(misfit());
        }
        let (m, a_k) = if self.trans_a { (&a[1], &a[0]) } else { (&a[0], &a[1]) };
        let (b_k, n) = if self.trans_b { (&b[1], &b[0]) } else { (&b[0], &b[1]) };
        if a_k.as_fixed().zip(b_k.as_fixed()).is_some_and(|(a, b)| a != b) {
            return Err(misfit());
        }
        let shape = Shape::new(vec![m.clone(), n.clone()]);
        if let Some(c) = inputs.fact(2) {
            let whole = c.shape.broadcast(&shape)?;
            let grows = |(whole, own): (&Dim, &Dim)| {
                whole.as_fixed() != own.as_fixed() && whole.as_fixed().is_some() && own.as_fixed().is_some()
            };
            if whole.rank() != 2 || whole.dims().iter().zip(shape.dims()).any(grows) {
                return Err(Error::invalid_model(format!("{} is not broadcast to {shape}", c.shape)));
            }
        }
        Ok(vec![Fact::new(DType::F32, shape)])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let row = usize::from(self.trans_a);
        let c = inputs.fact(2).map(|fact| &fact.shape);
        let c_axis = axes.get(2).copied().flatten();
        match (axes[0], axes[1], c_axis) {
            (None, None, None) => Some(vec![None]),
            (Some(own), None, Some(0)) if own == row && c?.rank() == 2 => Some(vec![Some(0)]),
            (Some(own), None, None) if own == row => {
                let alike = c.is_none_or(|c| c.rank() < 2 || c[0].as_fixed() == Some(1));
                alike.then(|| vec![Some(0)])
            }
            _ => None,
        }
    }
}

/// Refuses operands of other numbers than f32.
fn all_f32(inputs: &Inputs<'_>) -> Result<()> {
    match (0..inputs.len()).filter_map(|index| inputs.fact(index)).find(|fact| fact.dtype != DType::F32) {
        Some(fact) => Err(Error::unsupported(format!("a product with {fact}; only f32 is"))),
        None => Ok(()),
    }
}

fn linear_cases() -> Vec<Case> {
    let spread = Fill::Spread;
    let with = |activation: Activation| Linear { activation, layer_norm: None };
    let norm = Linear { activation: Activation::None, layer_norm: Some(1e-5) };
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

fn gemm_cases() -> Vec<Case> {
    let spread = Fill::Spread;
    let plain = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: false };
    let both = Gemm { alpha: 0.5, beta: -2.0, trans_a: true, trans_b: true };
    vec![
        Case::new("plain", plain.clone()).value(&[5, 17], spread).constant(&[17, 33], spread),
        Case::new("bias", Gemm { trans_b: true, ..plain.clone() })
            .value(&[5, 17], spread)
            .constant(&[33, 17], spread)
            .constant(&[33], spread),
        Case::new("factors", both.clone())
            .value(&[17, 5], spread)
            .constant(&[33, 17], spread)
            .constant(&[1, 33], spread),
        Case::new("run time", both.clone()).value(&[17, 5], spread).value(&[33, 17], spread).value(&[5, 33], spread),
        Case::new("column", both.clone()).value(&[17, 5], spread).value(&[33, 17], spread).constant(&[5, 1], spread),
        Case::new("scalar", Gemm { trans_a: true, ..plain.clone() })
            .value(&[17, 5], spread)
            .value(&[17, 33], spread)
            .value(&[], spread),
        Case::new("alpha", Gemm { alpha: 3.0, ..plain.clone() }).value(&[4, 7], spread).value(&[7, 3], spread),
        Case::new("empty sum", plain.clone()).value(&[4, 0], spread).value(&[0, 3], spread).value(&[3], spread),
        Case::new("empty", both).value(&[17, 0], spread).constant(&[33, 17], spread).constant(&[33], spread),
        Case::new("specials", plain)
            .tensor(with_specials(&[5, 17], 0))
            .constant(&[17, 3], spread)
            .constant(&[3], spread),
    ]
}
