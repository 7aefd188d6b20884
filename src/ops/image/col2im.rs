//! `Col2Im`: images as sums of overlapping blocks.

use std::{ops::Range, sync::Arc};

use smallvec::SmallVec;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::number::{Number, with_number},
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, Io, OnnxNode, OpDef, Operator, function_kernel},
    ops::pool::window::{Pads, Window, decode_list, decode_pads, positive},
    shape::{Condition, Dim, Shape},
};

/// Images `[batch, channels, image...]` of the blocks `[batch, channels * block, places]`.
///
/// Each element of a block is added to the pixel under it; what lies in the padding is dropped.
#[derive(Clone, Debug, PartialEq)]
pub struct Col2Im {
    /// The image's spatial dimensions.
    pub image: Vec<Dim>,
    /// The block's.
    pub block: Vec<usize>,
    /// The distance between elements of a block.
    pub dilations: Vec<usize>,
    /// The padding around the image.
    pub pads: Pads,
    /// The distance between blocks.
    pub strides: Vec<usize>,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "Col2Im",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(|request| function_kernel::<Col2Im>(request, run)),
    gpu: GpuState::Host("no shader yet"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let missing = || Error::invalid_model("the shape of the images or blocks is missing");
    let block = positive("block_shape", &node.take_numbers(2)?.ok_or_else(missing)?)?;
    let image = node.take_integers(1)?.ok_or_else(missing)?;
    let rank = block.len();
    Ok(Arc::new(Col2Im {
        image,
        dilations: decode_list(node, "dilations", rank)?,
        pads: decode_pads(node, rank)?,
        strides: decode_list(node, "strides", rank)?,
        block,
    }))
}

impl Col2Im {
    fn window(&self) -> Window<'_> {
        let Self { block, strides, dilations, pads, .. } = self;
        Window { kernel: block, strides, dilations, pads, ceil: false }
    }
}

impl Operator for Col2Im {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        let rank = self.block.len();
        let misfit = || Error::invalid_model(format!("images {:?} of blocks {:?} in {input}", self.image, self.block));
        let [batch, rows, places] = input.shape.dims() else { return Err(misfit()) };
        if self.image.len() != rank || rank == 0 {
            return Err(misfit());
        }
        if !input.dtype.is_number() {
            return Err(Error::unsupported(format!("sums of {input}")));
        }
        let window = self.window();
        window.check(rank)?;
        let mut expected = Dim::from(1);
        for (axis, size) in self.image.iter().enumerate() {
            inputs.assume(window.fits(axis, size))?;
            expected = &expected * &window.outputs(axis, size);
        }
        inputs.assume(Condition::equal("the places of blocks", places, &expected)).map_err(|_| misfit())?;
        let block = self.block.iter().fold(Dim::from(1), |block, &size| &block * &Dim::from(size));
        let channels = rows.floor_div(&block);
        inputs.assume(Condition::equal("the rows of blocks", rows, &(&channels * &block))).map_err(|_| misfit())?;
        let dims = [batch.clone(), channels].into_iter().chain(self.image.iter().cloned());
        Ok(vec![Fact::new(input.dtype, dims.collect::<Shape>())])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], size: &Dim) -> Option<Vec<Option<usize>>> {
        let symbol = size.as_symbol()?;
        let apart = axes[0] == Some(0) && !self.image.iter().any(|size| size.mentions(symbol));
        apart.then(|| vec![Some(0)])
    }
}

fn run(op: &Col2Im, io: &mut Io<'_>) -> Result<()> {
    let input = io.input(0)?;
    let output = io.output(0)?;
    with_number!(output.dtype, T => {
        let (image, to) = (&output.shape[2..], output.slice::<T>()?);
        to.fill(T::ZERO);
        if !to.is_empty() {
            op.add_blocks(input.slice::<T>()?, to, image);
        }
        Ok(())
    }, else Err(Error::internal("sums of no numbers were not refused")))
}

impl Col2Im {
    fn add_blocks<T: Number>(&self, from: &[T], to: &mut [T], image: &[usize]) {
        let rank = image.len();
        let window = self.window();
        let outputs = |axis: usize| match &self.pads {
            Pads::Explicit(pads) => {
                let room = image[axis] + pads[axis].0 + pads[axis].1 - window.extent(axis);
                room / self.strides[axis] + 1
            }
            Pads::SameUpper | Pads::SameLower => image[axis].div_ceil(self.strides[axis]),
        };
        let before: Sizes = (0..rank).map(|axis| window.pads_at(axis, image[axis]).0).collect();
        let counts: Sizes = (0..rank).map(outputs).collect();
        let (places, taps): (usize, usize) = (counts.iter().product(), self.block.iter().product());
        let pixels: usize = image.iter().product();
        let last = rank - 1;
        let stride = self.strides[last];
        // For each axis, the blocks whose element is in the image, and the pixel under that of the first block.
        let mut spans: SmallVec<[(Range<usize>, usize); 4]> = SmallVec::new();
        for (blocks, to) in from.chunks_exact(taps * places).zip(to.chunks_exact_mut(pixels)) {
            for (tap, elements) in blocks.chunks_exact(places).enumerate() {
                spans.clear();
                let mut rest = tap;
                for axis in (0..rank).rev() {
                    let (offset, stride) = (rest % self.block[axis] * self.dilations[axis], self.strides[axis]);
                    rest /= self.block[axis];
                    let least = |pixel: usize| pixel.saturating_sub(offset).div_ceil(stride);
                    let (first, end) = (least(before[axis]), least(before[axis] + image[axis]).min(counts[axis]));
                    spans.insert(0, (first..end.max(first), first * stride + offset - before[axis]));
                }
                let (run, column) = spans[last].clone();
                let rows: usize = spans[..last].iter().map(|(span, _)| span.len()).product();
                if run.is_empty() {
                    continue;
                }
                for row in 0..rows {
                    // The first block of the row, and the line of the image under its element.
                    let (mut rest, mut start, mut line) = (row, 0, 0);
                    let (mut start_step, mut line_step) = (1, 1);
                    for axis in (0..last).rev() {
                        let (span, pixel) = &spans[axis];
                        let at = rest % span.len();
                        rest /= span.len();
                        start += (span.start + at) * start_step;
                        line += (pixel + at * self.strides[axis]) * line_step;
                        start_step *= counts[axis];
                        line_step *= image[axis];
                    }
                    let elements = &elements[start * counts[last]..][run.clone()];
                    let to = &mut to[line * image[last] + column..];
                    match stride {
                        1 => add(to.iter_mut(), elements),
                        _ => add(to.iter_mut().step_by(stride), elements),
                    }
                }
            }
        }
    }
}

/// Sizes of a few axes.
type Sizes = SmallVec<[usize; 4]>;

/// Adds elements to the pixels under them.
fn add<'a, T: Number>(to: impl Iterator<Item = &'a mut T>, elements: &[T]) {
    to.zip(elements).for_each(|(pixel, &element)| *pixel = pixel.plus(element));
}

fn cases() -> Vec<Case> {
    let of = |image: &[usize], block: &[usize]| Col2Im {
        image: image.iter().copied().map(Dim::from).collect(),
        block: block.to_vec(),
        dilations: vec![1; block.len()],
        pads: Pads::Explicit(vec![(0, 0); block.len()]),
        strides: vec![1; block.len()],
    };
    let padded = Col2Im { pads: Pads::Explicit(vec![(1, 0), (0, 2)]), ..of(&[3, 4], &[2, 2]) };
    let spread = Col2Im { strides: vec![2, 1], dilations: vec![1, 2], ..of(&[6, 5], &[2, 2]) };
    let wide = Col2Im { pads: Pads::Explicit(vec![(1, 1), (1, 1)]), ..of(&[4, 16], &[3, 3]) };
    let around = Pads::Explicit(vec![(3, 3), (2, 4)]);
    let outside = Col2Im { pads: around, strides: vec![3, 3], dilations: vec![2, 2], ..of(&[3, 3], &[2, 2]) };
    vec![
        Case::new("apart", of(&[4, 5], &[1, 5])).value(&[2, 10, 4], Fill::Spread),
        Case::new("overlapping", of(&[4, 5], &[2, 3])).value(&[1, 12, 9], Fill::Spread),
        Case::new("padded", padded).value(&[2, 4, 15], Fill::Spread),
        Case::new("spread", spread).value(&[1, 8, 9], Fill::Spread),
        Case::new("lines", of(&[5], &[3])).integers(&[1, 3, 3], &[1, 2, 3, 4, 5, 6, 7, 8, i64::MAX]),
        Case::new("space", of(&[2, 3, 2], &[2, 2, 1])).value(&[1, 4, 4], Fill::Spread),
        Case::new("wide", wide).value(&[2, 18, 64], Fill::Spread),
        Case::new("only padding under some", outside).value(&[1, 4, 9], Fill::Spread),
        Case::new("empty", of(&[4, 5], &[1, 5])).value(&[0, 10, 4], Fill::Spread),
    ]
}
