//! The CPU kernel of `Conv`: convolutions as products whose rows are overlapping windows.
//!
//! Windows of channels-last data are read in place. Input in another layout, or with padding, is
//! copied into scratch a block at a time. Where lines are short and the weights large, a block's
//! windows are copied one after another. Where products take bf16, a block's input is rounded
//! before that.
//! Filters of 3 x 3 taps may go by Winograd's algorithm instead.

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        gemm::{Factors, rounded_len},
        winograd::Results,
    },
    op::{CpuKernel, Io, KernelRequest, Shapes, scratch_numbers},
    ops::conv::{
        Conv, Layout,
        filters::{Filters, Groups, pack_all, pack_scratch},
        geometry::{Block, Geometry},
        integers::{in_integers, integers_scratch},
        products::Products,
        wide,
        windows::Windows,
        winograd::{Points, Tiles},
    },
    tensor::DType,
};

struct Kernel {
    op: Conv,
    set: KernelSet,
    filters: Filters,
    /// The weights' dimensions.
    shape: Vec<usize>,
}

pub(crate) fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let (op, set) = (request.op::<Conv>()?.clone(), request.kernel_set());
    let shape = request.input(1)?.shape.as_fixed();
    let shape = shape.ok_or_else(|| Error::internal("weights of symbolic shape were not refused"))?;
    if request.input(0)?.dtype == DType::F64 {
        return Ok(Box::new(wide::Kernel { op, shape }));
    }
    let filters = Filters::new(request, &op, &shape, 1)?;
    Ok(Box::new(Kernel { op, set, filters, shape }))
}

impl CpuKernel for Kernel {
    fn packed_bytes(&self) -> usize {
        match &self.filters {
            Filters::Depthwise(weights) => size_of_val(weights.as_slice()),
            _ => 0,
        }
    }

    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        let numbers = || {
            let geometry = self.geometry(shapes.inputs[0]?).ok()?;
            let run = match self.filters {
                Filters::Unpacked => pack_scratch(self.set, &geometry)?,
                _ => 0,
            };
            self.item_scratch(&geometry)?.checked_add(run)?.checked_mul(4)
        };
        // Shapes that do not fit are refused by the run.
        if shapes.inputs[0].is_some_and(|x| Geometry::new(&self.op, x, &self.shape).is_err()) {
            return 0;
        }
        numbers().unwrap_or(usize::MAX)
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let x = io.input(0)?;
        let geometry = self.geometry(x.shape)?;
        let weights = io.inputs.get(1).copied().flatten();
        let bias = io.inputs.get(2).copied().flatten().map(|bias| bias.slice::<f32>()).transpose()?;
        let output = io.outputs.first_mut().ok_or_else(|| Error::internal("a convolution has no result"))?;
        let output: &mut [f32] = output.slice()?;
        let scratch = scratch_numbers(io.scratch);
        let items = match self.filters {
            Filters::Unpacked => self.item_scratch(&geometry).ok_or_else(|| Error::internal("scratch overflows"))?,
            // As much as there is: that of tiles depends on the workers.
            _ => scratch.len(),
        };
        let (scratch, packing) = scratch.split_at_mut(items);
        let groups = match &self.filters {
            Filters::Packed(packed) => Groups::Packed(packed),
            Filters::Points(packed) => Groups::Packed(&packed[..1]),
            Filters::Depthwise(_) => Groups::Packed(&[]),
            Filters::Unpacked => {
                let weights = weights.ok_or_else(|| Error::internal("weights are missing"))?;
                Groups::Scratch(pack_all(self.set, &geometry, weights.slice()?, packing)?)
            }
        };
        if self.op.global_max {
            output.fill(f32::NEG_INFINITY);
        }
        let points = self.points(&geometry, bias);
        let products =
            Products { op: &self.op, set: self.set, geometry: &geometry, filters: &self.filters, groups, bias };
        let numbers = geometry.positions() * geometry.channels;
        let results = geometry.out_positions() * geometry.filters;
        let x = x.slice::<f32>()?;
        for item in 0..geometry.items {
            let x = &x[item * numbers..][..numbers];
            let done = match &points {
                Some(points) => points.item(x, &mut output[item * results..][..results], scratch)?,
                None => false,
            };
            if !done {
                self.item(&products, x, item, output, scratch)?;
            }
        }
        Ok(())
    }
}

impl Kernel {
    /// The sizes for an input of shape `x`.
    fn geometry(&self, x: &[usize]) -> Result<Geometry> {
        let (geometry, factors) = (Geometry::new(&self.op, x, &self.shape)?, self.filters.factors());
        if !factors.are_integers() {
            return Ok(geometry);
        }
        Ok(geometry.of_integers(self.op.is_dense(factors, &self.shape)))
    }

    /// Computes an item by products of its windows.
    fn item(
        &self,
        products: &Products<'_>,
        x: &[f32],
        item: usize,
        output: &mut [f32],
        scratch: &mut [f32],
    ) -> Result<()> {
        let geometry = products.geometry;
        let sizes = geometry.scratch(self.keeps_results()).ok_or_else(|| Error::internal("scratch overflows"))?;
        let (input, scratch) = scratch.split_at_mut(sizes[0]);
        let (gathered, scratch) = scratch.split_at_mut(sizes[1]);
        let (results, scratch) = scratch.split_at_mut(sizes[2]);
        let (largest, rounding) = scratch.split_at_mut(geometry.filters.next_multiple_of(16));
        for block in geometry.blocks() {
            let windows = match self.filters.factors() {
                Factors::F32 => self.numbers(geometry, x, &block, input)?,
                Factors::Bf16 => self.numbers(geometry, x, &block, input)?.rounded(self.set, rounding)?,
                factors if geometry.is_flat() => {
                    let windows = self.numbers(geometry, x, &block, input)?;
                    windows.quantized_rows(self.set, factors, geometry.channels, rounding)?
                }
                factors => in_integers(products, factors, x, &block, input, rounding)?,
            };
            let whole = block.columns == geometry.out[2];
            let windows = if geometry.gathers() { windows.gather(&block, whole, gathered) } else { windows };
            products.block(&windows, item, &block, output, results, &mut largest[..geometry.filters])?;
        }
        Ok(())
    }

    /// The windows of a block, unrounded.
    fn numbers<'a>(&self, geometry: &Geometry, x: &'a [f32], block: &Block, to: &'a mut [f32]) -> Result<Windows<'a>> {
        if geometry.direct {
            return Ok(Windows::direct(geometry, x, block));
        }
        Windows::copied(self.set, geometry, x, block, to)
    }

    /// The tiles of an item, if they are how its results are computed.
    fn points<'a>(&'a self, geometry: &'a Geometry, bias: Option<&'a [f32]>) -> Option<Points<'a>> {
        let (Filters::Points(packed), Some(tiles)) = (&self.filters, self.tiles(geometry)) else { return None };
        let &Geometry { filters, out: [_, height, width], .. } = geometry;
        let results = Results { height, width, filters, across: tiles.across, bias, activation: self.op.activation };
        Some(Points { set: self.set, geometry, filters: &packed[1..], results, tiles })
    }

    fn tiles(&self, geometry: &Geometry) -> Option<Tiles> {
        matches!(self.filters, Filters::Points(_)).then(|| Tiles::new(self.set, geometry)).flatten()
    }

    /// The f32 scratch that items use one after another.
    fn item_scratch(&self, geometry: &Geometry) -> Option<usize> {
        let [input, gathered, results] = geometry.scratch(self.keeps_results())?;
        let (factors, (lines, columns)) = (self.filters.factors(), geometry.block());
        let rounded = match factors {
            Factors::Bytes | Factors::Words if geometry.is_flat() => {
                rounded_len(factors, lines.checked_mul(columns)?, geometry.channels)
            }
            Factors::Bytes | Factors::Words => integers_scratch(geometry, factors, input)?,
            _ => rounded_len(factors, 1, most_input(geometry, input)),
        };
        let sum = input.checked_add(gathered)?.checked_add(results)?.checked_add(rounded)?;
        let windows = sum.checked_add(geometry.filters.checked_next_multiple_of(16)?)?;
        let tiles = match self.tiles(geometry) {
            Some(tiles) => tiles.scratch()?,
            None => 0,
        };
        windows.max(tiles).checked_next_multiple_of(16)
    }

    /// Whether a block's results go through scratch.
    fn keeps_results(&self) -> bool {
        let depthwise = matches!(self.filters, Filters::Depthwise(_));
        if self.op.global_max { depthwise } else { self.op.layout == Layout::ChannelsFirst }
    }
}

/// The most numbers that a block's windows span; `copied` is the size of a copy of its input.
fn most_input(geometry: &Geometry, copied: usize) -> usize {
    if geometry.direct { geometry.positions().saturating_mul(geometry.channels) } else { copied }
}
