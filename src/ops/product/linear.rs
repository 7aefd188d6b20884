//! `Linear`: a product with constant weights and all that can follow it in one pass.

use std::sync::Arc;

use half::bf16;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{
        Activation, KernelSet,
        gemm::{
            Epilogue, Factors, Layout, Matrix, Packed, PackedRef, Rows, Segment, Stored, gemm, gemm_dense,
            pack_into_as, pack_len_as, rounded_len,
        },
        norm::LayerNorm,
    },
    op::{
        Accuracy, Case, CpuKernel, CpuState, Fill, Form, GpuState, Inputs, Io, KernelRequest, OpDef, Operator, Shapes,
        scratch_numbers,
    },
    ops::product::matmul::{pack_all, with_specials},
    shape::{Dim, Shape},
    tensor::{DType, Element},
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
    /// Whether the result is stored as bf16, for products that would round it anyway. Set at load, on the CPU only, and
    /// never with a layer norm.
    pub rounded: bool,
}

pub(crate) static LINEAR: OpDef = OpDef {
    name: "Linear",
    onnx: None,
    cases: linear_cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(linear_kernel),
    gpu: GpuState::Kernel("linear"),
};

impl Operator for Linear {
    fn def(&self) -> &'static OpDef {
        &LINEAR
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        self.infer_as(inputs, Layout::RowMajor)
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

impl Linear {
    /// The result's shape, for weights that lie so.
    fn infer_as(&self, inputs: &Inputs<'_>, layout: Layout) -> Result<Vec<Fact>> {
        inputs.expect(2, 6)?;
        all_f32(inputs, inputs.required(0)?.dtype == DType::BF16)?;
        let (x, w) = (&inputs.required(0)?.shape, &inputs.required(1)?.shape);
        let (leading, k, w_k, n) = match (x.dims(), w.dims(), layout) {
            ([leading @ .., k], [w_k, n], Layout::RowMajor) => (leading, k, w_k, n),
            ([leading @ .., k], [n, w_k], Layout::Transposed) => (leading, k, w_k, n),
            _ => return Err(Error::invalid_model(format!("{x} times {w}: expected [..., K] and a matrix"))),
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
        Ok(vec![Fact::new(stored_as(self.rounded), shape)])
    }
}

/// [`Linear`] whose weights `[N, K]` lie as layers store them and stay where they are: a run orders them for its kernel in
/// scratch. Made by import for weights in a mapped file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinearInPlace(pub Linear);

pub(crate) static LINEAR_IN_PLACE: OpDef = OpDef {
    name: "LinearInPlace",
    onnx: None,
    cases: in_place_cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(in_place_kernel),
    gpu: GpuState::Host("weights that stay in their file are read by the processor"),
};

impl Operator for LinearInPlace {
    fn def(&self) -> &'static OpDef {
        &LINEAR_IN_PLACE
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        self.0.infer_as(inputs, Layout::Transposed)
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], size: &Dim) -> Option<Vec<Option<usize>>> {
        self.0.batch_axes(inputs, axes, size)
    }
}

struct LinearKernel {
    op: Linear,
    set: KernelSet,
    factors: Factors,
    /// Whether `x` is of bf16.
    rounded: bool,
    weights: Weights,
}

enum Weights {
    Packed(Arc<[Packed]>),
    /// Packed in each run: how they lie, and what is made of their numbers.
    Run(Layout, Factors),
}

impl Weights {
    /// K and N of weights of that shape.
    fn sizes(layout: Layout, shape: &[usize]) -> Option<(usize, usize)> {
        match (layout, shape) {
            (Layout::RowMajor, &[k, n]) | (Layout::Transposed, &[n, k]) => Some((k, n)),
            _ => None,
        }
    }
}

fn linear_kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let (set, factors) = (request.kernel_set(), request.factors());
    let weights = request.take_packed(1, Form { name: "product", parameter: 0 }, |tensor| match *tensor.shape() {
        [k, n] => pack_all(set, factors, tensor.as_slice()?, k, n),
        _ => Err(Error::internal("weights that are no matrix were not refused")),
    })?;
    let rounded = request.input(0)?.dtype == DType::BF16;
    let weights = weights.map_or(Weights::Run(Layout::RowMajor, Factors::F32), Weights::Packed);
    Ok(Box::new(LinearKernel { op: request.op::<Linear>()?.clone(), set, factors, rounded, weights }))
}

fn in_place_kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let (set, factors) = (request.kernel_set(), request.factors());
    let LinearInPlace(op) = request.op::<LinearInPlace>()?.clone();
    // Constants or not, they are rounded like packed ones.
    let rounded = request.input(0)?.dtype == DType::BF16;
    Ok(Box::new(LinearKernel { op, set, factors, rounded, weights: Weights::Run(Layout::Transposed, factors) }))
}

impl CpuKernel for LinearKernel {
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        let count = if self.rounded { 0 } else { shapes.inputs[0].map_or(0, |x| x.iter().product()) };
        let rounded = |factors| rounded_len(factors, count);
        let numbers = match &self.weights {
            Weights::Packed(_) => rounded(self.factors),
            Weights::Run(layout, factors) => {
                let sizes = shapes.inputs[1].and_then(|shape| Weights::sizes(*layout, shape));
                let packed = sizes.map_or(Ok(0), |(k, n)| pack_len_as(self.set, *factors, k, n));
                packed.map_or(usize::MAX, |packed| packed.saturating_add(rounded(*factors)))
            }
        };
        numbers.saturating_mul(4)
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        if self.op.rounded { self.multiply::<bf16>(io) } else { self.multiply::<f32>(io) }
    }
}

impl LinearKernel {
    fn multiply<C: Stored + Element>(&self, io: &mut Io<'_>) -> Result<()> {
        let x = io.input(0)?;
        let optional = |index: usize| io.inputs.get(index).copied().flatten();
        let numbers = |index: usize| optional(index).map(|view| view.slice::<f32>()).transpose();
        let residual = optional(3);
        let layer_norm = match (self.op.layer_norm, numbers(4)?) {
            (Some(epsilon), Some(scale)) => Some(LayerNorm { scale, bias: numbers(5)?, epsilon }),
            _ => None,
        };
        let epilogue =
            Epilogue { bias: numbers(2)?, activation: self.op.activation, residual: numbers(3)?, layer_norm };
        let weights = optional(1);
        let output = io.outputs.first_mut().ok_or_else(|| Error::internal("a product has no result"))?;
        if let Some(residual) = residual
            && residual.shape != output.shape
        {
            let (own, due) = (residual.shape, output.shape);
            return Err(Error::invalid_input(format!("a residual of shape {own:?} for a result of {due:?}")));
        }
        let c: &mut [C] = output.slice()?;
        let scratch = scratch_numbers(io.scratch);
        let (right, scratch): (PackedRef<'_>, _) = match (&self.weights, weights) {
            (Weights::Packed(packed), _) => ((&packed[0]).into(), scratch),
            (Weights::Run(layout, factors), Some(w)) => {
                let (k, n) = Weights::sizes(*layout, w.shape)
                    .ok_or_else(|| Error::internal("weights that are no matrix were not refused"))?;
                let matrix = Matrix::new(w.slice()?, k, n, *layout);
                let need = pack_len_as(self.set, *factors, k, n)?;
                let (packing, rounding) = scratch.split_at_mut(need.min(scratch.len()));
                (pack_into_as(self.set, *factors, &matrix, packing)?, rounding)
            }
            (Weights::Run(..), None) => return Err(Error::internal("weights are missing")),
        };
        let rows: usize = x.shape[..x.shape.len() - 1].iter().product();
        let k = x.shape[x.shape.len() - 1];
        if k != right.k() {
            return Err(Error::invalid_input(format!("rows of {k} numbers times a matrix of {} rows", right.k())));
        }
        if self.rounded {
            let segments = [Segment { offset: 0, len: k }];
            let a = Rows { data: x.slice::<bf16>()?, rows, stride: k, segments: &segments };
            return gemm(self.set, &a, right, &epilogue, c, right.n());
        }
        gemm_dense(self.set, x.slice()?, rows, right, &epilogue, c, scratch)
    }
}

/// The type of a product's result.
pub(crate) fn stored_as(rounded: bool) -> DType {
    if rounded { DType::BF16 } else { DType::F32 }
}

/// Refuses operands of other numbers than f32, the first of which may be `rounded` already.
pub(crate) fn all_f32(inputs: &Inputs<'_>, rounded: bool) -> Result<()> {
    match (usize::from(rounded)..inputs.len())
        .filter_map(|index| inputs.fact(index))
        .find(|fact| fact.dtype != DType::F32)
    {
        Some(fact) => Err(Error::unsupported(format!("a product with {fact}; only f32 is"))),
        None => Ok(()),
    }
}

fn linear_cases() -> Vec<Case> {
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

fn in_place_cases() -> Vec<Case> {
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
