//! The CPU kernel of `ConvChain`: some lines of results at a time, from lines in the cache.

use crate::{
    error::{Error, Result},
    kernels::{
        Activation, KernelSet,
        depthwise::{self, Depthwise},
        gemm::{Epilogue, PackedRef, Rows, gemm_dense, rounded_len},
    },
    op::{CpuKernel, Io, KernelRequest, Shapes, scratch_numbers},
    ops::conv::{
        Conv,
        bands::in_bands,
        chain::{ConvChain, SUMMAND, WEIGHTS, lines::Lines},
        filters::Filters,
    },
    threads::split,
};

struct Kernel {
    op: ConvChain,
    set: KernelSet,
    /// Of the convolution before, the depthwise one and the one behind.
    filters: [Option<Filters>; 3],
    /// The weights' dimensions.
    shapes: [Option<Vec<usize>>; 3],
}

pub(super) fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let (op, set) = (request.op::<ConvChain>()?.clone(), request.kernel_set());
    let (mut filters, mut shapes) = ([const { None }; 3], [const { None }; 3]);
    for (stage, (conv, at)) in op.stages().into_iter().enumerate() {
        let Some(conv) = conv else { continue };
        let shape = request.input(at)?.shape.as_fixed();
        let shape = shape.ok_or_else(|| Error::internal("weights of symbolic shape were not refused"))?;
        filters[stage] = Some(Filters::new(request, conv, &shape, at)?);
        shapes[stage] = Some(shape);
    }
    Ok(Box::new(Kernel { op, set, filters, shapes }))
}

impl CpuKernel for Kernel {
    fn packed_bytes(&self) -> usize {
        match &self.filters[1] {
            Some(Filters::Depthwise(weights)) => size_of_val(weights.as_slice()),
            _ => 0,
        }
    }

    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        let lines = shapes.inputs[0].and_then(|x| Lines::new(&self.op, x, &self.shapes).ok());
        // Shapes that do not fit are refused by the run.
        let Some(lines) = lines else { return 0 };
        let numbers = self.part_scratch(&lines).and_then(|own| own.checked_mul(lines.most_parts(split::workers())));
        numbers.and_then(|numbers| numbers.checked_mul(4)).unwrap_or(usize::MAX)
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let x = io.input(0)?;
        let lines = Lines::new(&self.op, x.shape, &self.shapes)?;
        let operand = |at: usize| -> Result<Option<&[f32]>> {
            io.inputs.get(at).copied().flatten().map(|view| view.slice::<f32>()).transpose()
        };
        let bias = [operand(WEIGHTS[0] + 1)?, operand(WEIGHTS[1] + 1)?, operand(WEIGHTS[2] + 1)?];
        let summand = operand(SUMMAND)?;
        let x = x.slice::<f32>()?;
        let output: &mut [f32] =
            io.outputs.first_mut().ok_or_else(|| Error::internal("a chain has no result"))?.slice()?;
        if lines.is_empty() || output.is_empty() {
            return Ok(());
        }
        let scratch = scratch_numbers(io.scratch);
        let own = self.part_scratch(&lines).filter(|&own| own > 0 && own <= scratch.len());
        let own = own.ok_or_else(|| Error::internal(format!("{} numbers of scratch for a chain", scratch.len())))?;
        let [channels, _, filters] = lines.channels;
        let (numbers, row) = (lines.size[0] * lines.size[1] * channels, lines.out[1] * filters);
        let chain = Chain { kernel: self, lines: &lines, bias };
        for (item, output) in output.chunks_exact_mut(lines.out[0] * row).enumerate() {
            let x = &x[item * numbers..][..numbers];
            let summand = summand.map(|summand| &summand[item * lines.out[0] * row..][..lines.out[0] * row]);
            let parts = lines.parts().min(scratch.len() / own).max(1);
            let part = |first, output: &mut [f32], scratch: &mut [f32]| chain.part(x, summand, first, output, scratch);
            let results = in_bands(parts, [lines.out[0], row, own], output, scratch, &part);
            results.into_iter().collect::<Result<()>>()?;
        }
        Ok(())
    }
}

impl Kernel {
    /// The f32 scratch of one worker.
    fn part_scratch(&self, lines: &Lines) -> Option<usize> {
        let rounded = |stage: usize, positions: usize| {
            let factors = self.filters[stage].as_ref().map(Filters::factors);
            factors.map_or(0, |factors| rounded_len(factors, positions, lines.channels[stage.min(1)]))
        };
        let before = rounded(0, lines.most_new()?);
        let behind = rounded(2, lines.together.checked_mul(lines.out[1])?);
        let sum = lines.sizes.iter().try_fold(before.max(behind), |sum, &size| sum.checked_add(size))?;
        sum.checked_next_multiple_of(16)
    }

    /// The packed weights of a convolution of one tap.
    fn packed(&self, stage: usize) -> Result<Option<PackedRef<'_>>> {
        match &self.filters[stage] {
            None => Ok(None),
            Some(Filters::Packed(packed)) if packed.len() == 1 => Ok(Some((&packed[0]).into())),
            Some(_) => Err(Error::internal("a chain whose weights are not packed")),
        }
    }
}

/// What the lines of one run read, besides the image.
struct Chain<'a> {
    kernel: &'a Kernel,
    lines: &'a Lines,
    bias: [Option<&'a [f32]>; 3],
}

impl Chain<'_> {
    /// Computes the lines of results from `first` on that `output` has room for.
    fn part(
        &self,
        x: &[f32],
        summand: Option<&[f32]>,
        first: usize,
        output: &mut [f32],
        scratch: &mut [f32],
    ) -> Result<()> {
        let Self { kernel, lines, bias } = *self;
        let (ring, scratch) = scratch.split_at_mut(lines.sizes[0]);
        let (apart, scratch) = scratch.split_at_mut(lines.sizes[1]);
        let (behind, rounding) = scratch.split_at_mut(lines.sizes[2]);
        lines.clear(ring);
        let row = lines.out[1] * lines.channels[2];
        let packed = kernel.packed(2)?;
        let mut known = 0;
        for (at, output) in output.chunks_mut(lines.together * row).enumerate() {
            let results = first + at * lines.together..first + at * lines.together + output.len() / row;
            let read = lines.read_by(results.clone());
            self.fill(x, read.start.max(known)..read.end, ring, apart, rounding)?;
            known = read.end.max(known);
            let Some(packed) = packed else {
                self.depthwise(results, ring, output)?;
                continue;
            };
            let positions = results.len() * lines.out[1];
            let behind = &mut behind[..positions * lines.channels[1]];
            self.depthwise(results.clone(), ring, behind)?;
            let residual = summand.map(|summand| &summand[results.start * row..][..output.len()]);
            let epilogue = Epilogue { residual, ..epilogue(bias[2], activation(kernel.op.behind.as_ref())) };
            gemm_dense(kernel.set, behind, positions, packed, &epilogue, output, rounding)?;
        }
        Ok(())
    }

    /// Puts lines of what the depthwise convolution reads into the ring.
    fn fill(
        &self,
        x: &[f32],
        new: std::ops::Range<usize>,
        ring: &mut [f32],
        apart: &mut [f32],
        rounding: &mut [f32],
    ) -> Result<()> {
        let Self { kernel, lines, bias } = *self;
        let [channels, inner, _] = lines.channels;
        let width = lines.size[1];
        let from = |line: usize, count: usize| &x[line * width * channels..][..count * width * channels];
        let Some(packed) = kernel.packed(0)? else {
            new.for_each(|line| ring[lines.place(line)].copy_from_slice(from(line, 1)));
            return Ok(());
        };
        let epilogue = epilogue(bias[0], activation(kernel.op.before.as_ref()));
        if lines.is_narrow() && !new.is_empty() {
            let to = &mut apart[..new.len() * width * inner];
            gemm_dense(kernel.set, from(new.start, new.len()), new.len() * width, packed, &epilogue, to, rounding)?;
            for (line, from) in new.zip(to.chunks_exact((width * inner).max(1))) {
                ring[lines.place(line)].copy_from_slice(from);
            }
            return Ok(());
        }
        new.into_iter().try_for_each(|line| {
            let to = &mut ring[lines.place(line)];
            gemm_dense(kernel.set, from(line, 1), width, packed, &epilogue, to, rounding)
        })
    }

    /// Lines of the depthwise convolution's results.
    fn depthwise(&self, results: std::ops::Range<usize>, ring: &[f32], to: &mut [f32]) -> Result<()> {
        let Self { kernel, lines, bias } = *self;
        let Some(Filters::Depthwise(weights)) = &kernel.filters[1] else {
            return Err(Error::internal("a chain without a depthwise convolution"));
        };
        let (channels, columns) = (lines.channels[1], lines.out[1]);
        for (line, to) in results.zip(to.chunks_exact_mut(columns * channels)) {
            let (taps, stride) = (lines.taps(line), lines.strides[1] * channels);
            let rows = Rows { data: ring, rows: columns, stride, segments: &taps };
            let activation = kernel.op.depthwise.activation;
            depthwise::run(kernel.set, &Depthwise { rows, weights, bias: bias[1], activation, channels }, to)?;
        }
        Ok(())
    }
}

fn activation(conv: Option<&Conv>) -> Activation {
    conv.map_or(Activation::None, |conv| conv.activation)
}

fn epilogue(bias: Option<&[f32]>, activation: Activation) -> Epilogue<'_> {
    Epilogue { bias, activation, ..Epilogue::default() }
}
