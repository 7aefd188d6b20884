//! ONNX's product of two matrices.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{
        KernelSet,
        gemm::{Epilogue, Layout, Matrix, Packed, PackedRef, gemm_dense, pack_into, pack_len, rounded_len},
        transpose,
    },
    op::{
        Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator,
        Packing, Shapes, case::with_specials, scratch_numbers,
    },
    ops::product::linear::all_f32,
    shape::{Dim, Shape},
    tensor::DType,
};

/// ONNX's `Gemm`: `alpha a b + beta c`, `c` broadcast to `[M, N]`, or absent.
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

pub(crate) static GEMM: OpDef = OpDef {
    name: "Gemm",
    onnx: Some(decode),
    cases: gemm_cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(gemm_kernel),
    gpu: GpuState::Kernel("gemm"),
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
        inputs.equal("the summed axis", a_k, b_k).map_err(|_| misfit())?;
        let shape = Shape::new(vec![m.clone(), n.clone()]);
        if let Some(c) = inputs.fact(2) {
            inputs.broadcast_into(&c.shape, &shape)?;
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
    /// `alpha b`, if `b` is constant.
    packed: Option<Arc<[Packed]>>,
}

fn gemm_kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let (op, set) = (request.op::<Gemm>()?.clone(), request.kernel_set());
    let parameter = u64::from(op.alpha.to_bits()) << 1 | u64::from(op.trans_b);
    let packed = request.take_packed(1, Packing { name: "scaled product", parameter }, |tensor| {
        let scaled: Vec<f32> = tensor.as_slice::<f32>()?.iter().map(|value| op.alpha * value).collect();
        let (k, n, layout) = op.right(tensor.shape())?;
        let factors = request.product_factors(k);
        Ok(vec![Packed::with_factors(set, factors, &Matrix::new(&scaled, k, n, layout), k)?])
    })?;
    Ok(Box::new(GemmKernel { op, set, packed }))
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
            _ => match (&self.packed, shapes.inputs[0]) {
                (Some(packed), Some(&[k, rows])) if self.op.trans_a => Ok(rounded_len(packed[0].factors(), rows, k)),
                (Some(packed), Some(&[rows, k])) => Ok(rounded_len(packed[0].factors(), rows, k)),
                _ => Ok(0),
            },
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
        // An unscaled row is added in the product's epilogue.
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
