//! `LSTM`, `GRU` and `RNN`: steps along a sequence, each of which reads the state that the step
//! before left.

mod activation;
mod bytes;
mod cases;
mod decode;
mod infer;
mod layer;
mod places;
mod run;
mod step;
mod sums;
mod weights;

pub use activation::StepFunction;

use crate::op::{Accuracy, CpuState, GpuState, OpDef};

/// The operators of this family.
pub(super) fn operators() -> impl Iterator<Item = &'static OpDef> {
    [&DYNAMIC, &GRU, &LSTM, &RNN].into_iter()
}

/// What a step computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Input, output and forget gates and a cell's own state.
    Lstm {
        /// Whether the forget gate is what the input gate leaves.
        coupled: bool,
    },
    /// Update and reset gates.
    Gru {
        /// Whether the reset gate is applied after the product of the state.
        linear_before_reset: bool,
    },
    /// No gates.
    Rnn,
}

/// The way along the sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From its first step.
    Forward,
    /// From its last step.
    Reverse,
    /// Both, with weights of their own.
    Both,
}

/// A recurrent layer with ONNX's operands and results.
///
/// Operands: the input `[steps, batch, I]`; the weights `[ways, gates H, I]`; the weights of the
/// state `[ways, gates H, H]`; and those that may be absent: the biases `[ways, 2 gates H]`, the
/// items' lengths `[batch]`, the first state `[ways, batch, H]`, and for LSTM the cell's first
/// state and the peepholes `[ways, 3 H]`. Results: the states after each step
/// `[steps, ways, batch, H]` and the last ones `[ways, batch, H]`, for LSTM also those of the cell.
///
/// Weights of bytes are transposed, `[ways, I, gates H]` and `[ways, H, gates H]`, and have further
/// operands: the scale and the zero point of the first, and of the second, for each way or also for
/// each column.
#[derive(Clone, Debug, PartialEq)]
pub struct Recurrent {
    /// What a step computes.
    pub cell: Cell,
    /// The way along the sequence.
    pub way: Way,
    /// The functions of the gates, [`Cell::functions`] for each way.
    pub functions: Vec<StepFunction>,
    /// The magnitude that the gates' sums are limited to.
    pub clip: Option<f32>,
    /// Whether the batch is the first axis of the input, of the states, and of the results.
    pub batch_first: bool,
    /// Whether weights are bytes, and the numbers that they are multiplied with become bytes by
    /// their range.
    pub bytes: bool,
}

macro_rules! def {
    ($constant:ident, $name:literal, $decode:path, $cases:path) => {
        pub(crate) static $constant: OpDef = OpDef {
            name: $name,
            onnx: Some($decode),
            cases: $cases,
            accuracy: Accuracy::Reduction,
            cpu: CpuState::Kernel(run::kernel),
            gpu: GpuState::Host("steps that wait for one another"),
        };
    };
}
def!(LSTM, "LSTM", decode::lstm, cases::lstm);
def!(GRU, "GRU", decode::gru, cases::gru);
def!(DYNAMIC, "com.microsoft.DynamicQuantizeLSTM", decode::dynamic, cases::dynamic);
def!(RNN, "RNN", decode::rnn, cases::rnn);

impl Cell {
    /// The gates, and so the rows of weights for each number of the state.
    pub fn gates(self) -> usize {
        match self {
            Self::Lstm { .. } => 4,
            Self::Gru { .. } => 3,
            Self::Rnn => 1,
        }
    }

    /// The functions of each way.
    pub fn functions(self) -> usize {
        match self {
            Self::Lstm { .. } => 3,
            Self::Gru { .. } => 2,
            Self::Rnn => 1,
        }
    }
}

impl Way {
    /// The number of ways.
    pub fn count(self) -> usize {
        if self == Self::Both { 2 } else { 1 }
    }
}

impl Recurrent {
    /// One way forward with ONNX's functions.
    pub fn new(cell: Cell) -> Self {
        let functions = match cell {
            Cell::Lstm { .. } => vec![StepFunction::Sigmoid, StepFunction::Tanh, StepFunction::Tanh],
            Cell::Gru { .. } => vec![StepFunction::Sigmoid, StepFunction::Tanh],
            Cell::Rnn => vec![StepFunction::Tanh],
        };
        Self { cell, way: Way::Forward, functions, clip: None, batch_first: false, bytes: false }
    }
}
