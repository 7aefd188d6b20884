//! The CPU kernel of `MatMul`.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        gemm::{Epilogue, Factors, Layout, Matrix, Packed, PackedRef, gemm_dense, pack_into, pack_len, rounded_len},
    },
    op::{CpuKernel, Io, KernelRequest, Packing, Shapes, scratch_numbers},
    ops::product::matmul::Sizes,
};

struct Kernel {
    set: KernelSet,
    /// The matrices of a constant right operand, and its shape.
    constant: Option<(Arc<[Packed]>, Vec<usize>)>,
}

pub(super) fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let set = request.kernel_set();
    let shape = request.constant(1).map(|tensor| tensor.shape().to_vec());
    let packed = request.take_packed(1, Packing { name: "product", parameter: 0 }, |tensor| {
        let (k, n) = match *tensor.shape() {
            [.., k, n] => (k, n),
            [k] => (k, 1),
            [] => return Err(Error::internal("a product with a scalar was not refused")),
        };
        pack_all(set, request.product_factors(k), tensor.as_slice()?, k, n)
    })?;
    Ok(Box::new(Kernel { set, constant: packed.zip(shape) }))
}

/// Packs the `K x N` matrices of a stack.
pub(crate) fn pack_all(set: KernelSet, factors: Factors, data: &[f32], k: usize, n: usize) -> Result<Vec<Packed>> {
    let pack = |data: &[f32]| Packed::with_factors(set, factors, &Matrix::new(data, k, n, Layout::RowMajor), k);
    if k * n == 0 {
        // All are empty; one stands for all.
        return Ok(vec![pack(&[])?]);
    }
    data.chunks_exact(k * n).map(pack).collect()
}

impl CpuKernel for Kernel {
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        let numbers = match (shapes.inputs[1], shapes.inputs[0]) {
            (Some(&[.., k, n]), _) => pack_len(self.set, k, n).unwrap_or(usize::MAX),
            (Some(&[k]), _) => pack_len(self.set, k, 1).unwrap_or(usize::MAX),
            (_, Some(a)) => match (&self.constant, a) {
                (Some((packed, _)), [rows @ .., k]) => rounded_len(packed[0].factors(), rows.iter().product(), *k),
                _ => 0,
            },
            _ => 0,
        };
        numbers.saturating_mul(4)
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let set = self.set;
        let a = io.input(0)?;
        let (packed, b_shape, b) = match &self.constant {
            Some((packed, shape)) => (Some(packed), shape.as_slice(), &[][..]),
            None => {
                let b = io.input(1)?;
                (None, b.shape, b.slice::<f32>()?)
            }
        };
        let sizes = Sizes::of(a.shape, b_shape)?;
        let Sizes { m, k, n, .. } = sizes;
        let a_shape = a.shape;
        let a: &[f32] = a.slice()?;
        let scratch = scratch_numbers(io.scratch);
        let output = io.outputs.first_mut().ok_or_else(|| Error::internal("a product has no result"))?;
        let whole_shape = sizes.leading(a_shape, b_shape, output.shape)?;
        let c: &mut [f32] = output.slice()?;
        let epilogue = Epilogue::default();
        // One matrix on the right: all rows of the left at once.
        let single = sizes.b.iter().all(|&dim| dim == 1);
        let (batches, m) =
            if single { (1, m * sizes.a.iter().product::<usize>()) } else { (whole_shape.iter().product(), m) };
        let (packing, rounding) = if packed.is_some() { (&mut [][..], scratch) } else { (scratch, &mut [][..]) };
        let mut batch = 0;
        while batch < batches && m * n > 0 {
            let of = |batch: usize, own: &[usize]| if single { 0 } else { broadcast_index(batch, whole_shape, own) };
            let index = of(batch, sizes.b);
            let right: PackedRef<'_> = match packed {
                Some(packed) => (&packed[index.min(packed.len() - 1)]).into(),
                None => {
                    pack_into(set, &Matrix::new(&b[index * k * n..][..k * n], k, n, Layout::RowMajor), &mut *packing)?
                }
            };
            while batch < batches && of(batch, sizes.b) == index {
                let rows = &a[of(batch, sizes.a) * m * k..][..m * k];
                gemm_dense(set, rows, m, right, &epilogue, &mut c[batch * m * n..][..m * n], rounding)?;
                batch += 1;
            }
        }
        Ok(())
    }
}

/// The index of an operand's matrix for product `flat`, with leading dimensions `own` and `whole`.
fn broadcast_index(mut flat: usize, whole: &[usize], own: &[usize]) -> usize {
    let (mut index, mut step) = (0, 1);
    for (axis, &dim) in whole.iter().enumerate().rev() {
        if let Some(own) = (axis + own.len()).checked_sub(whole.len()).map(|axis| own[axis]) {
            index += if own == 1 { 0 } else { flat % dim * step };
            step *= own;
        }
        flat /= dim;
    }
    index
}
