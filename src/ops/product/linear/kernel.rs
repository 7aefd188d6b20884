//! The CPU kernel of `Linear` and `LinearInPlace`.

use std::sync::Arc;

use half::bf16;

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        gemm::{
            Factors, Layout, Matrix, Packed, PackedRef, Rows, Segment, Stored, gemm, gemm_dense, pack_into_as,
            pack_len_as, rounded_len,
        },
    },
    op::{CpuKernel, Io, KernelRequest, Packing, Shapes, scratch_numbers},
    ops::product::{
        linear::{BIAS, Linear, epilogue, in_place::LinearInPlace},
        matmul::pack_all,
    },
    tensor::{DType, Element},
};

struct Kernel {
    op: Linear,
    set: KernelSet,
    /// Whether `x` is bf16.
    rounded: bool,
    weights: LinearWeights,
}

/// The weights as products read them.
enum LinearWeights {
    /// One matrix, packed at load.
    Packed(Arc<[Packed]>),
    /// Packed in each run: their layout, and the precision of the product.
    Unpacked(Layout, Factors),
}

impl LinearWeights {
    /// K and N of weights of that shape.
    fn sizes(layout: Layout, shape: &[usize]) -> Option<(usize, usize)> {
        match (layout, shape) {
            (Layout::RowMajor, &[k, n]) | (Layout::Transposed, &[n, k]) => Some((k, n)),
            _ => None,
        }
    }
}

pub(super) fn linear(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let set = request.kernel_set();
    let weights =
        request.take_packed(1, Packing { name: "product", parameter: 0 }, |tensor| match *tensor.shape() {
            [k, n] => pack_all(set, request.product_factors(k), tensor.as_slice()?, k, n),
            _ => Err(Error::internal("weights that are no matrix were not refused")),
        })?;
    let rounded = request.input(0)?.dtype == DType::BF16;
    let weights = weights.map_or(LinearWeights::Unpacked(Layout::RowMajor, Factors::F32), LinearWeights::Packed);
    Ok(Box::new(Kernel { op: request.op::<Linear>()?.clone(), set, rounded, weights }))
}

pub(super) fn linear_in_place(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let (set, factors) = (request.kernel_set(), request.factors());
    let LinearInPlace(op) = request.op::<LinearInPlace>()?.clone();
    // Rounded like packed weights, constant or not.
    let rounded = request.input(0)?.dtype == DType::BF16;
    Ok(Box::new(Kernel { op, set, rounded, weights: LinearWeights::Unpacked(Layout::Transposed, factors) }))
}

impl CpuKernel for Kernel {
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        let (rows, k) = match shapes.inputs[0] {
            Some([rows @ .., k]) if !self.rounded => (rows.iter().product(), *k),
            _ => (0, 0),
        };
        let rounded = |factors| rounded_len(factors, rows, k);
        let numbers = match &self.weights {
            LinearWeights::Packed(packed) => rounded(packed[0].factors()),
            LinearWeights::Unpacked(layout, factors) => {
                let sizes = shapes.inputs[1].and_then(|shape| LinearWeights::sizes(*layout, shape));
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

impl Kernel {
    fn multiply<C: Stored + Element>(&self, io: &mut Io<'_>) -> Result<()> {
        let x = io.input(0)?;
        let optional = |index: usize| io.inputs.get(index).copied().flatten();
        let epilogue = epilogue::of(io, BIAS, self.op.activation, self.op.layer_norm)?;
        let weights = optional(1);
        let output = io.outputs.first_mut().ok_or_else(|| Error::internal("a product has no result"))?;
        let c: &mut [C] = output.slice()?;
        let scratch = scratch_numbers(io.scratch);
        let (right, scratch): (PackedRef<'_>, _) = match (&self.weights, weights) {
            (LinearWeights::Packed(packed), _) => ((&packed[0]).into(), scratch),
            (LinearWeights::Unpacked(layout, factors), Some(w)) => {
                let (k, n) = LinearWeights::sizes(*layout, w.shape)
                    .ok_or_else(|| Error::internal("weights that are no matrix were not refused"))?;
                let matrix = Matrix::new(w.slice()?, k, n, *layout);
                let need = pack_len_as(self.set, *factors, k, n)?;
                let (packing, rounding) = scratch.split_at_mut(need.min(scratch.len()));
                (pack_into_as(self.set, *factors, &matrix, packing)?, rounding)
            }
            (LinearWeights::Unpacked(..), None) => return Err(Error::internal("weights are missing")),
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
