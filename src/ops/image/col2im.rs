//! `Col2Im`: images as sums of overlapping blocks.

use std::sync::Arc;

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
        // The place along an axis of element `tap` of block `at`, if it is in the image.
        let place = |axis: usize, at: usize, tap: usize| {
            let before = window.pads_at(axis, image[axis]).0;
            let place = (at * self.strides[axis] + tap * self.dilations[axis]).checked_sub(before);
            place.filter(|&place| place < image[axis])
        };
        let outputs = |axis: usize| match &self.pads {
            Pads::Explicit(pads) => {
                let room = image[axis] + pads[axis].0 + pads[axis].1 - window.extent(axis);
                room / self.strides[axis] + 1
            }
            Pads::SameUpper | Pads::SameLower => image[axis].div_ceil(self.strides[axis]),
        };
        let counts: Vec<usize> = (0..rank).map(outputs).collect();
        let (places, taps): (usize, usize) = (counts.iter().product(), self.block.iter().product());
        let pixels: usize = image.iter().product();
        for (blocks, to) in from.chunks_exact(taps * places).zip(to.chunks_exact_mut(pixels)) {
            for (index, &element) in blocks.iter().enumerate() {
                let (mut tap, mut at, mut pixel, mut step) = (index / places, index % places, Some(0), 1);
                for axis in (0..rank).rev() {
                    let own = place(axis, at % counts[axis], tap % self.block[axis]);
                    pixel = pixel.zip(own).map(|(pixel, own)| pixel + own * step);
                    at /= counts[axis];
                    tap /= self.block[axis];
                    step *= image[axis];
                }
                if let Some(pixel) = pixel {
                    to[pixel] = to[pixel].plus(element);
                }
            }
        }
    }
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
    vec![
        Case::new("apart", of(&[4, 5], &[1, 5])).value(&[2, 10, 4], Fill::Spread),
        Case::new("overlapping", of(&[4, 5], &[2, 3])).value(&[1, 12, 9], Fill::Spread),
        Case::new("padded", padded).value(&[2, 4, 15], Fill::Spread),
        Case::new("spread", spread).value(&[1, 8, 9], Fill::Spread),
        Case::new("lines", of(&[5], &[3])).integers(&[1, 3, 3], &[1, 2, 3, 4, 5, 6, 7, 8, i64::MAX]),
        Case::new("space", of(&[2, 3, 2], &[2, 2, 1])).value(&[1, 4, 4], Fill::Spread),
        Case::new("empty", of(&[4, 5], &[1, 5])).value(&[0, 10, 4], Fill::Spread),
    ]
}
