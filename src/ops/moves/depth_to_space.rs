//! `DepthToSpace` and `SpaceToDepth`: channels rearranged into blocks of pixels, and back.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::strided::{self, Axis},
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, OnnxNode, OpDef, Operator},
    shape::{Condition, Dim, Shape},
};

/// The order of the channels of one pixel block in the operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockOrder {
    /// Block row, block column, channel (ONNX: `DCR`).
    BlockFirst,
    /// Channel, block row, block column (ONNX: `CRD`).
    ChannelFirst,
}

/// `[N, C b b, H, W]` to `[N, C, H b, W b]`.
#[derive(Clone, Debug, PartialEq)]
pub struct DepthToSpace {
    /// The side of a block, b.
    pub block: usize,
    /// The order of the channels.
    pub order: BlockOrder,
}

/// `[N, C, H b, W b]` to `[N, b b C, H, W]`.
#[derive(Clone, Debug, PartialEq)]
pub struct SpaceToDepth {
    /// The side of a block, b.
    pub block: usize,
}

pub(crate) static DEPTH_TO_SPACE: OpDef = OpDef {
    name: "DepthToSpace",
    onnx: Some(decode_depth_to_space),
    cases: || {
        let of = |block, order| DepthToSpace { block, order };
        vec![
            Case::new("block first", of(2, BlockOrder::BlockFirst)).value(&[2, 12, 2, 3], Fill::Hostile),
            Case::new("channel first", of(3, BlockOrder::ChannelFirst)).value(&[1, 18, 2, 1], Fill::Spread),
            Case::new("empty", of(2, BlockOrder::BlockFirst)).value(&[0, 4, 2, 3], Fill::Spread),
        ]
    },
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(|request| Ok(Box::new(Blocks::from(request.op::<DepthToSpace>()?)))),
    gpu: GpuState::Kernel("move"),
};

pub(crate) static SPACE_TO_DEPTH: OpDef = OpDef {
    name: "SpaceToDepth",
    onnx: Some(decode_space_to_depth),
    cases: || {
        vec![
            Case::new("ragged", SpaceToDepth { block: 2 }).value(&[2, 3, 4, 6], Fill::Hostile),
            Case::new("block of 1", SpaceToDepth { block: 1 }).value(&[1, 2, 3, 2], Fill::Spread),
            Case::new("empty", SpaceToDepth { block: 3 }).value(&[1, 0, 3, 3], Fill::Spread),
        ]
    },
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(|request| Ok(Box::new(Blocks::from(request.op::<SpaceToDepth>()?)))),
    gpu: GpuState::Kernel("move"),
};

fn block(node: &mut OnnxNode<'_>) -> Result<usize> {
    let block = node.int("blocksize")?.and_then(|block| usize::try_from(block).ok()).filter(|&block| block > 0);
    block.ok_or_else(|| Error::invalid_model("`blocksize` is missing or not positive"))
}

fn decode_depth_to_space(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let order = match node.string("mode")?.as_deref() {
        None | Some("DCR") => BlockOrder::BlockFirst,
        Some("CRD") => BlockOrder::ChannelFirst,
        Some(other) => return Err(Error::unsupported(format!("the mode `{other}`"))),
    };
    Ok(Arc::new(DepthToSpace { block: block(node)?, order }))
}

fn decode_space_to_depth(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    match node.string("mode")?.as_deref() {
        None | Some("DCR") => {}
        Some(other) => return Err(Error::unsupported(format!("the mode `{other}`"))),
    }
    Ok(Arc::new(SpaceToDepth { block: block(node)? }))
}

/// The four sizes of an image operand.
fn image<'a>(inputs: &Inputs<'a>) -> Result<(&'a Fact, [Dim; 4])> {
    inputs.expect(1, 1)?;
    let input = inputs.required(0)?;
    let dims = <[Dim; 4]>::try_from(input.shape.dims().to_vec());
    Ok((input, dims.map_err(|_| Error::invalid_model(format!("{input} is not [N, C, H, W]")))?))
}

fn part(inputs: &Inputs<'_>, dim: &Dim, by: &Dim) -> Result<Dim> {
    let part = dim.floor_div(by);
    let misfit = |_| Error::invalid_model(format!("the size {dim} is not a multiple of {by}"));
    inputs.assume(Condition::equal("an axis that is cut into blocks", dim, &(&part * by))).map_err(misfit)?;
    Ok(part)
}

fn first_axis(axes: &[Option<usize>]) -> Option<Vec<Option<usize>>> {
    (axes[0] == Some(0)).then(|| vec![Some(0)])
}

impl Operator for DepthToSpace {
    fn def(&self) -> &'static OpDef {
        &DEPTH_TO_SPACE
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let (input, [n, c, h, w]) = image(inputs)?;
        let side = Dim::from(self.block);
        let channels = part(inputs, &c, &(&side * &side))?;
        Ok(vec![Fact::new(input.dtype, Shape::new(vec![n, channels, h * &side, w * &side]))])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        first_axis(axes)
    }
}

impl Operator for SpaceToDepth {
    fn def(&self) -> &'static OpDef {
        &SPACE_TO_DEPTH
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let (input, [n, c, h, w]) = image(inputs)?;
        let side = Dim::from(self.block);
        let shape = vec![n, &(c * &side) * &side, part(inputs, &h, &side)?, part(inputs, &w, &side)?];
        Ok(vec![Fact::new(input.dtype, Shape::new(shape))])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        first_axis(axes)
    }
}

/// The kernel of either operator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blocks {
    block: usize,
    order: BlockOrder,
    to_space: bool,
}

impl From<&DepthToSpace> for Blocks {
    fn from(op: &DepthToSpace) -> Self {
        Self { block: op.block, order: op.order, to_space: true }
    }
}

impl From<&SpaceToDepth> for Blocks {
    fn from(op: &SpaceToDepth) -> Self {
        Self { block: op.block, order: BlockOrder::BlockFirst, to_space: false }
    }
}

impl CpuKernel for Blocks {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?;
        let output = io.output(0)?;
        let axes = self.walk(input.shape, output.shape)?;
        strided::copy(input.dtype.size(), axes, input.bytes, 0, output.bytes, 0);
        Ok(())
    }
}

impl Blocks {
    /// The strided reads that turn an operand of shape `input` into a result of shape `output`.
    ///
    /// # Errors
    /// When they do not have four dimensions.
    pub(crate) fn walk(&self, input: &[usize], output: &[usize]) -> Result<[Axis; 6]> {
        let (deep, wide) = if self.to_space { (input, output) } else { (output, input) };
        let &[images, channels, height, width] = wide else {
            return Err(Error::internal("an operand that is no image was not refused"));
        };
        let (rows, columns) = (height / self.block, width / self.block);
        let (deep, wide) = (strided::steps(deep), strided::steps(wide));
        let block = self.block as isize;
        // Strides of (block row, block column, channel) in the operand whose channels hold the
        // blocks.
        let [row, column, channel] = match self.order {
            BlockOrder::BlockFirst => [block * channels as isize, channels as isize, 1],
            BlockOrder::ChannelFirst => [block, 1, block * block],
        };
        let axes = [
            (images, deep[0], wide[0]),
            (channels, channel * deep[1], wide[1]),
            (rows, deep[2], block * wide[2]),
            (self.block, row * deep[1], wide[2]),
            (columns, deep[3], block * wide[3]),
            (self.block, column * deep[1], wide[3]),
        ];
        Ok(axes.map(|(count, deep, wide)| match self.to_space {
            true => Axis { count, from: deep, to: wide },
            false => Axis { count, from: wide, to: deep },
        }))
    }
}
