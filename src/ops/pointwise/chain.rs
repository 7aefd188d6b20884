//! Several pointwise functions in one pass over memory.

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{KernelSet, broadcast::Broadcast, simd::Side},
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OpDef, Operator},
    ops::pointwise::{
        binary::{self, BinaryFunction},
        broadcast::{broadcast_batch_axes, broadcast_shape},
        unary::{self, UnaryFunction},
    },
    shape::Dim,
    tensor::DType,
};
use smallvec::SmallVec;

/// Functions of `f32` applied one after another, without storing intermediate results.
///
/// The first takes operand 0, each further one the result before it. Operands broadcast to one
/// shape.
#[derive(Clone, Debug, PartialEq)]
pub struct PointwiseChain {
    /// The functions in order; at least one.
    pub steps: Vec<ChainStep>,
}

/// One function of a [`PointwiseChain`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ChainStep {
    /// Of the result so far.
    Unary(UnaryFunction),
    /// Of the result so far and an operand.
    Binary {
        /// The function; it maps numbers to numbers.
        function: BinaryFunction,
        /// The operand's position.
        operand: usize,
        /// The operand is the function's first argument, the result so far its second.
        swapped: bool,
    },
}

pub(crate) static DEF: OpDef = OpDef {
    name: "PointwiseChain",
    onnx: None,
    cases,
    accuracy: Accuracy::Pointwise,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("pointwise"),
};

impl ChainStep {
    /// Whether a chain can contain the step: it maps `f32` to `f32`.
    pub fn is_numeric(&self) -> bool {
        match self {
            Self::Unary(function) => function.keeps_floats(),
            Self::Binary { function, .. } => function.keeps_floats() && !matches!(function, BinaryFunction::Mean),
        }
    }
}

impl Operator for PointwiseChain {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, usize::MAX)?;
        for index in 0..inputs.len() {
            let fact = inputs.required(index)?;
            if fact.dtype != DType::F32 {
                return Err(Error::internal(format!("operand {index} of a chain is {fact}")));
            }
        }
        for step in &self.steps {
            if !step.is_numeric() || matches!(step, ChainStep::Binary { operand, .. } if *operand >= inputs.len()) {
                return Err(Error::internal(format!("a chain of {} operands has the step {step:?}", inputs.len())));
            }
        }
        Ok(vec![Fact::new(DType::F32, broadcast_shape(inputs)?)])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], size: &Dim) -> Option<Vec<Option<usize>>> {
        broadcast_batch_axes(inputs, axes, size)
    }
}

/// Elements that go through all steps at a time; with their operands they stay in the L1 cache.
const BLOCK: usize = 1024;

struct Kernel {
    steps: Vec<ChainStep>,
    set: KernelSet,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel { steps: request.op::<PointwiseChain>()?.steps.clone(), set: request.kernel_set() }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let mut operands: SmallVec<[&[f32]; 6]> = SmallVec::new();
        let mut shapes: SmallVec<[&[usize]; 6]> = SmallVec::new();
        for index in 0..io.inputs.len() {
            let view = io.input(index)?;
            operands.push(view.slice()?);
            shapes.push(view.shape);
        }
        let output = io.output(0)?;
        let walk = Broadcast::new(output.shape, &shapes)?;
        let columns = output.shape.last().copied().unwrap_or(1);
        let output = output.slice::<f32>()?;
        if let Some(parts) = Part::of_all(&operands, &shapes, output.len(), columns) {
            return self.rows(&parts, columns, output);
        }
        let len = walk.run_len();
        let mut result = Ok(());
        walk.for_each_run(|position, starts| {
            for start in (0..len).step_by(BLOCK) {
                let block = &mut output[position + start..position + len.min(start + BLOCK)];
                let count = block.len();
                let side = |operand: usize| walk.side(operand, operands[operand], starts[operand], start, count);
                if result.is_ok() {
                    result = self.block(block, side);
                }
            }
        });
        result
    }
}

/// What of an operand belongs to a block of whole rows of the result.
enum Part<'a> {
    /// As many elements, at the same place.
    Whole(&'a [f32]),
    /// The same element.
    One(f32),
    /// The same row again and again: as many as a block has.
    Rows(Vec<f32>),
}

impl<'a> Part<'a> {
    /// Rows of a block.
    fn rows(columns: usize) -> usize {
        (BLOCK / columns.max(1)).max(1)
    }

    /// The parts of all operands, if one is a short row and none is broadcast otherwise.
    fn of_all(operands: &[&'a [f32]], shapes: &[&[usize]], len: usize, columns: usize) -> Option<Vec<Self>> {
        if columns < 2 || Self::rows(columns) < 2 || len == columns {
            return None;
        }
        let of = |(own, shape): (&&'a [f32], &&[usize])| match own.len() {
            1 => Some(Self::One(own[0])),
            own_len if own_len == len => Some(Self::Whole(*own)),
            own_len if own_len == columns && shape.last() == Some(&columns) => {
                Some(Self::Rows(own.repeat(Self::rows(columns))))
            }
            _ => None,
        };
        let parts: Vec<Self> = operands.iter().zip(shapes).map(of).collect::<Option<_>>()?;
        parts.iter().any(|part| matches!(part, Self::Rows(_))).then_some(parts)
    }
}

impl Kernel {
    /// Computes blocks of whole rows, so that steps on a short row are not as short.
    fn rows(&self, parts: &[Part<'_>], columns: usize, output: &mut [f32]) -> Result<()> {
        let size = Part::rows(columns) * columns;
        for (index, block) in output.chunks_mut(size).enumerate() {
            let (start, count) = (index * size, block.len());
            self.block(block, |operand| match &parts[operand] {
                Part::Whole(all) => Side::Each(&all[start..start + count]),
                Part::One(x) => Side::One(*x),
                Part::Rows(rows) => Side::Each(&rows[..count]),
            })?;
        }
        Ok(())
    }

    /// Computes one block; `side` returns an operand's elements there.
    fn block<'a>(&self, block: &mut [f32], side: impl Fn(usize) -> Side<'a, f32>) -> Result<()> {
        match side(0) {
            Side::One(x) => block.fill(x),
            Side::Each(all) => block.copy_from_slice(all),
        }
        for step in &self.steps {
            match *step {
                ChainStep::Unary(function) => unary::apply_in_place(self.set, function, block)?,
                ChainStep::Binary { function, operand, swapped } => {
                    binary::apply_in_place(self.set, function, block, side(operand), swapped)?;
                }
            }
        }
        Ok(())
    }
}

fn cases() -> Vec<Case> {
    let unary = ChainStep::Unary;
    let binary = |function, operand| ChainStep::Binary { function, operand, swapped: false };
    let chain = |name: &str, steps: &[ChainStep]| Case::new(name, PointwiseChain { steps: steps.to_vec() });
    let gelu = [
        unary(UnaryFunction::Erf),
        binary(BinaryFunction::Add, 1),
        binary(BinaryFunction::Mul, 0),
        binary(BinaryFunction::Mul, 2),
    ];
    let clip = UnaryFunction::Clip { low: -0.5, high: 0.75 };
    let long = [
        unary(UnaryFunction::Tanh),
        binary(BinaryFunction::Add, 0),
        unary(UnaryFunction::Cos),
        ChainStep::Binary { function: BinaryFunction::Sub, operand: 1, swapped: true },
    ];
    vec![
        chain("gelu", &gelu).value(&[3, 37], Fill::Spread).constant(&[], Fill::Spread).constant(&[1], Fill::Positive),
        chain("hostile", &gelu)
            .value(&[7, 41], Fill::Hostile)
            .constant(&[], Fill::Spread)
            .value(&[7, 1], Fill::Positive),
        chain("rows", &[binary(BinaryFunction::Add, 1), unary(clip)])
            .value(&[2, 3, 19], Fill::Spread)
            .constant(&[19], Fill::Spread),
        chain("widened", &[binary(BinaryFunction::Mul, 1), unary(UnaryFunction::Exp)])
            .value(&[1, 5], Fill::Spread)
            .value(&[4, 1], Fill::Spread),
        chain("short rows", &[binary(BinaryFunction::Mul, 1), binary(BinaryFunction::Add, 2)])
            .value(&[5, 91, 7], Fill::Spread)
            .constant(&[1, 7], Fill::Spread)
            .value(&[5, 91, 7], Fill::Spread),
        chain("long", &long).value(&[5, 2000], Fill::Spread).value(&[5, 1], Fill::Spread),
        chain("powers", &[unary(UnaryFunction::Abs), binary(BinaryFunction::Pow, 1), binary(BinaryFunction::Max, 2)])
            .value(&[9], Fill::Spread)
            .value(&[9], Fill::Spread)
            .constant(&[], Fill::Positive),
        chain("empty", &gelu).value(&[0, 3], Fill::Spread).constant(&[], Fill::Spread).constant(&[], Fill::Spread),
    ]
}
