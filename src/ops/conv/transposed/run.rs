//! The CPU kernel of `ConvTranspose`: a product of positions and weights, whose rows are then
//! spread over their windows.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        gemm::{Epilogue, Layout, Packed, gemm_dense},
        transpose,
    },
    op::{CpuKernel, Io, KernelRequest, Packing, Shapes, scratch_numbers},
    ops::conv::transposed::{ConvTranspose, check_channels, wide},
    tensor::{DType, Tensor},
};

/// Numbers of a product that are spread at once.
const BLOCK: usize = 1 << 16;

struct Kernel {
    op: ConvTranspose,
    set: KernelSet,
    /// A matrix `[C / groups, taps, M / groups]` for each group, if the weights are constant.
    packed: Option<Arc<[Packed]>>,
    /// The weights' dimensions.
    shape: Vec<usize>,
}

pub(super) fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let (op, set) = (request.op::<ConvTranspose>()?.clone(), request.kernel_set());
    let shape = request.input(1)?.shape.as_fixed();
    let shape = shape.ok_or_else(|| Error::internal("weights of symbolic shape were not refused"))?;
    if request.input(0)?.dtype == DType::F64 {
        return Ok(Box::new(wide::Kernel { op, shape }));
    }
    let packing = Packing { name: "transposed convolution", parameter: op.groups as u64 };
    let pack_tensor = |tensor: &Tensor| pack(set, &op, &shape, tensor.as_slice()?);
    let packed = request.take_packed(1, packing, pack_tensor)?;
    Ok(Box::new(Kernel { op, set, packed, shape }))
}

/// Packs the weights of every group, the taps before the filters.
fn pack(set: KernelSet, op: &ConvTranspose, shape: &[usize], weights: &[f32]) -> Result<Vec<Packed>> {
    let (channels, filters, taps) = (shape[0] / op.groups, shape[1], op.kernel.iter().product::<usize>());
    let row = filters * taps;
    let mut turned = vec![0.0; channels * row];
    (0..op.groups)
        .map(|group| {
            for channel in 0..channels {
                let from = &weights[(group * channels + channel) * row..][..row];
                let to = &mut turned[channel * row..][..row];
                transpose(set, from, taps, filters, taps, to, filters);
            }
            Packed::new(set, &turned, channels, row, Layout::RowMajor)
        })
        .collect()
}

/// The sizes of a run.
struct Sizes {
    channels: usize,
    /// Filters of a group.
    filters: usize,
    taps: usize,
    positions: usize,
    outputs: usize,
}

impl Kernel {
    fn sizes(&self, from: &[usize], to: &[usize]) -> Sizes {
        Sizes {
            channels: self.shape[0] / self.op.groups,
            filters: self.shape[1],
            taps: self.op.kernel.iter().product(),
            positions: from[2..].iter().product(),
            outputs: to[2..].iter().product(),
        }
    }
}

impl Sizes {
    /// Positions whose products are computed at once.
    fn block(&self) -> usize {
        (BLOCK / (self.filters * self.taps).max(1)).clamp(1, self.positions.max(1))
    }

    /// Numbers of scratch: the input and the result with the channels last, and a block's products.
    fn scratch(&self) -> Option<[usize; 3]> {
        let whole = |a: usize, b: usize| a.checked_mul(b)?.checked_next_multiple_of(16);
        Some([
            whole(self.positions, self.channels)?,
            whole(self.outputs, self.filters)?,
            whole(self.block(), self.filters.checked_mul(self.taps)?)?,
        ])
    }
}

impl CpuKernel for Kernel {
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        let (Some(from), Some(to)) = (shapes.inputs[0], shapes.outputs.first()) else { return 0 };
        let sum = self.sizes(from, to).scratch().and_then(|[a, b, c]| a.checked_add(b)?.checked_add(c)?.checked_mul(4));
        sum.unwrap_or(usize::MAX)
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let x = io.input(0)?;
        let bias = io.inputs.get(2).copied().flatten().map(|bias| bias.slice::<f32>()).transpose()?;
        let given;
        let packed = match &self.packed {
            Some(packed) => &packed[..],
            None => {
                given = pack(self.set, &self.op, &self.shape, io.input(1)?.slice()?)?;
                &given
            }
        };
        let output = io.outputs.first_mut().ok_or_else(|| Error::internal("a ConvTranspose has no result"))?;
        check_channels(x.shape[1], self.shape[0])?;
        let (from, to) = (&x.shape[2..], &output.shape[2..]);
        let sizes = self.sizes(x.shape, output.shape);
        let spread = Spread::new(&self.op, from, to);
        let [a, b, _] = sizes.scratch().ok_or_else(|| Error::internal("scratch overflows"))?;
        let (rows, scratch) = scratch_numbers(io.scratch).split_at_mut(a);
        let (sums, products) = scratch.split_at_mut(b);
        let (x, output) = (x.slice::<f32>()?, output.slice::<f32>()?);
        let (from, to) = (sizes.channels * sizes.positions, sizes.filters * sizes.outputs);
        if to == 0 {
            return Ok(());
        }
        for (index, to) in output.chunks_exact_mut(to).enumerate() {
            let group = index % self.op.groups;
            let sums = &mut sums[..to.len()];
            match bias {
                Some(bias) => {
                    let own = &bias[group * sizes.filters..][..sizes.filters];
                    sums.chunks_exact_mut(sizes.filters).for_each(|sums| sums.copy_from_slice(own));
                }
                None => sums.fill(0.0),
            }
            if from > 0 {
                let rows = &mut rows[..from];
                let x = &x[index * from..][..from];
                transpose(self.set, x, sizes.positions, sizes.channels, sizes.positions, rows, sizes.channels);
                self.add(rows, &packed[group], &sizes, &spread, products, sums)?;
            }
            transpose(self.set, sums, sizes.filters, sizes.outputs, sizes.filters, to, sizes.outputs);
        }
        Ok(())
    }
}

impl Kernel {
    /// Adds the windows of all positions of `rows` to `sums`, block by block.
    fn add(
        &self,
        rows: &[f32],
        packed: &Packed,
        sizes: &Sizes,
        spread: &Spread<'_>,
        products: &mut [f32],
        sums: &mut [f32],
    ) -> Result<()> {
        let row = sizes.filters * sizes.taps;
        for (block, rows) in rows.chunks(sizes.block() * sizes.channels).enumerate() {
            let count = rows.len() / sizes.channels;
            let products = &mut products[..count * row];
            gemm_dense(self.set, rows, count, packed.into(), &Epilogue::default(), products, &mut [])?;
            for (at, products) in products.chunks_exact(row).enumerate() {
                spread.window(block * sizes.block() + at, |tap, place| {
                    let to = &mut sums[place * sizes.filters..][..sizes.filters];
                    let from = &products[tap * sizes.filters..][..sizes.filters];
                    to.iter_mut().zip(from).for_each(|(to, x)| *to += x);
                });
            }
        }
        Ok(())
    }
}

/// Where the windows of positions lie in the result; three axes, the missing ones of size 1.
pub(super) struct Spread<'a> {
    op: &'a ConvTranspose,
    /// Axes that the operator does not have.
    missing: usize,
    from: [usize; 3],
    to: [usize; 3],
    cut: [usize; 3],
}

impl<'a> Spread<'a> {
    pub(super) fn new(op: &'a ConvTranspose, from: &[usize], to: &[usize]) -> Self {
        let missing = 3 - from.len();
        let whole = |own: &[usize]| std::array::from_fn(|axis| axis.checked_sub(missing).map_or(1, |axis| own[axis]));
        let cut = |axis: usize| axis.checked_sub(missing).map_or(0, |axis| op.cut(axis, from[axis], to[axis]));
        Self { op, missing, from: whole(from), to: whole(to), cut: std::array::from_fn(cut) }
    }

    /// The place in the result of a tap along an axis, if it is within.
    fn place(&self, axis: usize, at: usize, tap: usize) -> Option<usize> {
        let Some(own) = axis.checked_sub(self.missing) else { return Some(0) };
        let place = (at * self.op.strides[own] + tap * self.op.dilations[own]).checked_sub(self.cut[axis])?;
        (place < self.to[axis]).then_some(place)
    }

    /// Calls `add` with each tap and its place for the window of a position.
    pub(super) fn window(&self, position: usize, mut add: impl FnMut(usize, usize)) {
        let taps = |axis: usize| axis.checked_sub(self.missing).map_or(1, |axis| self.op.kernel[axis]);
        let [_, height, width] = self.from;
        let at = [position / (height * width), position / width % height, position % width];
        for depth in 0..taps(0) {
            let Some(plane) = self.place(0, at[0], depth) else { continue };
            for line in 0..taps(1) {
                let Some(row) = self.place(1, at[1], line) else { continue };
                for column in 0..taps(2) {
                    let Some(place) = self.place(2, at[2], column) else { continue };
                    let tap = (depth * taps(1) + line) * taps(2) + column;
                    add(tap, (plane * self.to[1] + row) * self.to[2] + place);
                }
            }
        }
    }
}
