//! Several pointwise functions in one pass over memory.

mod rows;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{KernelSet, broadcast::Broadcast, simd::Side},
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OpDef, Operator},
    ops::pointwise::{
        binary::{self, BinaryFunction},
        broadcast::{broadcast_batch_axes, broadcast_shape},
        chain::rows::{Part, Rows},
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
        if let Some(rows) = Rows::of(output.shape, &operands, &shapes) {
            return self.rows(&rows, output.slice()?);
        }
        let output = output.slice::<f32>()?;
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

impl Kernel {
    /// Computes blocks of whole rows, so that steps on a short row are not as short.
    fn rows(&self, rows: &Rows<'_>, output: &mut [f32]) -> Result<()> {
        let (columns, size) = (rows.columns, rows.block());
        for (index, output) in output.chunks_mut(rows.item).enumerate() {
            let repeated = rows.operands.iter().map(|part| match part {
                Part::Rows(all) => all[index * columns % all.len()..][..columns].repeat(size / columns),
                _ => Vec::new(),
            });
            let repeated: SmallVec<[Vec<f32>; 6]> = repeated.collect();
            for (block, output) in output.chunks_mut(size).enumerate() {
                let (start, count) = (index * rows.item + block * size, output.len());
                self.block(output, |operand| match rows.operands[operand] {
                    Part::Whole(all) => Side::Each(&all[start..start + count]),
                    Part::One(x) => Side::One(x),
                    Part::Rows(_) => Side::Each(&repeated[operand][..count]),
                })?;
            }
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
        chain("short rows of items", &[binary(BinaryFunction::Mul, 1), binary(BinaryFunction::Add, 2)])
            .value(&[3, 2, 91, 7], Fill::Spread)
            .value(&[3, 1, 1, 7], Fill::Spread)
            .constant(&[7], Fill::Spread),
        chain("long", &long).value(&[5, 2000], Fill::Spread).value(&[5, 1], Fill::Spread),
        chain("powers", &[unary(UnaryFunction::Abs), binary(BinaryFunction::Pow, 1), binary(BinaryFunction::Max, 2)])
            .value(&[9], Fill::Spread)
            .value(&[9], Fill::Spread)
            .constant(&[], Fill::Positive),
        chain("empty", &gelu).value(&[0, 3], Fill::Spread).constant(&[], Fill::Spread).constant(&[], Fill::Spread),
    ]
}
