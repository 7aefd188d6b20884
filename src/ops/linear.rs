//! `Linear`: a product with constant weights and all that can follow it in one pass; and ONNX's `Gemm`.

use std::sync::Arc;

use half::bf16;

use crate::{
    cpu::{
        Activation, CpuKernel, Form, Io, KernelRequest, KernelSet, Shapes,
        gemm::{
            Epilogue, Factors, Layout, Matrix, Packed, PackedRef, Rows, Segment, Stored, gemm, gemm_dense, pack_into,
            pack_into_as, pack_len, pack_len_as, rounded_len,
        },
        norm::LayerNorm,
        scratch_numbers, transpose,
    },
    error::{Error, Result},
    graph::Fact,
    ops::{
        Accuracy, Case, CpuState, Fill, GpuState, Inputs, OnnxNode, OpDef, Operator,
        matmul::{pack_all, with_specials},
    },
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

pub(super) static LINEAR: OpDef = OpDef {
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

pub(super) static LINEAR_IN_PLACE: OpDef = OpDef {
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
    cpu: CpuState::Kernel(gemm_kernel),
    gpu: GpuState::Kernel("linear"),
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
        all_f32(inputs, false)?;
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

struct GemmKernel {
    op: Gemm,
    set: KernelSet,
    factors: Factors,
    /// `alpha b`, if `b` is constant.
    packed: Option<Arc<[Packed]>>,
}

fn gemm_kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let (op, set, factors) = (request.op::<Gemm>()?.clone(), request.kernel_set(), request.factors());
    let parameter = u64::from(op.alpha.to_bits()) << 1 | u64::from(op.trans_b);
    let packed = request.take_packed(1, Form { name: "scaled product", parameter }, |tensor| {
        let scaled: Vec<f32> = tensor.as_slice::<f32>()?.iter().map(|value| op.alpha * value).collect();
        let (k, n, layout) = op.right(tensor.shape())?;
        Ok(vec![Packed::with_factors(set, factors, &Matrix::new(&scaled, k, n, layout), k)?])
    })?;
    Ok(Box::new(GemmKernel { op, set, factors, packed }))
}

impl Gemm {
    /// K, N and the order of `b`.
    fn right(&self, shape: &[usize]) -> Result<(usize, usize, Layout)> {
        match *shape {
            [n, k] if self.trans_b => Ok((k, n, Layout::Transposed)),
            [k, n] => Ok((k, n, Layout::RowMajor)),
            _ => Err(Error::internal("an operand that is no matrix was not refused")),
        }
    }
}

impl CpuKernel for GemmKernel {
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        let left = shapes.inputs[0].filter(|_| self.op.trans_a);
        let turned = left.map_or(0, |shape| shape.iter().product::<usize>().next_multiple_of(16));
        let right = match shapes.inputs[1] {
            Some(&[a, b]) if self.op.trans_b => pack_len(self.set, b, a),
            Some(&[a, b]) => pack_len(self.set, a, b),
            _ => Ok(shapes.inputs[0].map_or(0, |shape| rounded_len(self.factors, shape.iter().product()))),
        };
        right.map_or(usize::MAX, |right| turned.saturating_add(right).saturating_mul(4))
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let Gemm { alpha, beta, trans_a, .. } = self.op;
        let a = io.input(0)?;
        let b = io.inputs.get(1).copied().flatten();
        let c = io.inputs.get(2).copied().flatten();
        let scratch = scratch_numbers(io.scratch);
        let mut left: &[f32] = a.slice()?;
        let &[rows, columns] = a.shape else { return Err(Error::internal("an operand that is no matrix")) };
        let (m, k) = if trans_a { (columns, rows) } else { (rows, columns) };
        let (turned, scratch) = scratch.split_at_mut(if trans_a { (m * k).next_multiple_of(16) } else { 0 });
        if trans_a {
            transpose(self.set, left, columns, rows, columns, turned, k);
            left = &turned[..m * k];
        }
        let (right, scratch): (PackedRef<'_>, _) = match (&self.packed, b) {
            (Some(packed), _) => ((&packed[0]).into(), scratch),
            (None, Some(b)) => {
                let (k, n, layout) = self.op.right(b.shape)?;
                (pack_into(self.set, &Matrix::new(b.slice()?, k, n, layout), scratch)?, &mut [][..])
            }
            (None, None) => return Err(Error::internal("the right operand is missing")),
        };
        if k != right.k() {
            return Err(Error::invalid_input(format!("rows of {k} numbers times a matrix of {} rows", right.k())));
        }
        let n = right.n();
        let alpha = if self.packed.is_some() { 1.0 } else { alpha };
        // A row that is added as it is rides along with the product.
        let is_row = |shape: &[usize]| matches!(shape, &[own] | &[1, own] if own == n);
        let bias = c.filter(|c| is_row(c.shape) && alpha == 1.0 && beta == 1.0);
        let epilogue = Epilogue { bias: bias.map(|bias| bias.slice()).transpose()?, ..Epilogue::default() };
        let output = io.outputs.first_mut().ok_or_else(|| Error::internal("a product has no result"))?;
        let output: &mut [f32] = output.slice()?;
        gemm_dense(self.set, left, m, right, &epilogue, output, scratch)?;
        match c {
            Some(c) if bias.is_none() => add_scaled(output, n, alpha, beta, c.slice()?, c.shape),
            _ if alpha != 1.0 => {
                output.iter_mut().for_each(|value| *value *= alpha);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// `output = alpha output + beta c`, with `c` broadcast to rows of `n` numbers.
fn add_scaled(output: &mut [f32], n: usize, alpha: f32, beta: f32, c: &[f32], shape: &[usize]) -> Result<()> {
    if n == 0 || output.is_empty() {
        return Ok(());
    }
    let rows = output.len() / n;
    let (height, width) = match *shape {
        [] => (1, 1),
        [width] => (1, width),
        [height, width] => (height, width),
        _ => return Err(Error::internal("a summand that is no matrix was not refused")),
    };
    if (height != 1 && height != rows) || (width != 1 && width != n) {
        return Err(Error::invalid_input(format!("{shape:?} is not broadcast to {rows} rows of {n} numbers")));
    }
    for (row, output) in output.chunks_exact_mut(n).enumerate() {
        let own = &c[if height == 1 { 0 } else { row * width }..][..width];
        for (column, value) in output.iter_mut().enumerate() {
            *value = alpha * *value + beta * own[if width == 1 { 0 } else { column }];
        }
    }
    Ok(())
}

/// The type of a product's result.
pub(super) fn stored_as(rounded: bool) -> DType {
    if rounded { DType::BF16 } else { DType::F32 }
}

/// Refuses operands of other numbers than f32, the first of which may be `rounded` already.
fn all_f32(inputs: &Inputs<'_>, rounded: bool) -> Result<()> {
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
