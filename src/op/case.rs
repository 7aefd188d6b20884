//! Cases: an operator on given operands, for tests and benches of every backend.

use std::sync::Arc;

use crate::{
    error::Result,
    graph::{Graph, ValueId},
    op::Operator,
    shape::Shape,
    tensor::{DType, Tensor},
};

/// How a case's operand is filled, deterministically.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fill {
    /// Numbers spread over -2 to 2, none of them zero.
    Spread,
    /// Numbers spread over 0.1 to 2.
    Positive,
    /// NaN, infinities, zeros of both signs, denormals and huge values among ordinary numbers.
    Hostile,
    /// Large magnitudes, up to 1e4, without overflow in a square.
    Large,
}

/// An operand of a case.
#[derive(Clone, Debug)]
pub enum CaseInput {
    /// A tensor known only at run time.
    Value(Tensor),
    /// A constant of the graph.
    Constant(Tensor),
    /// An absent optional operand.
    Absent,
}

/// One operator on given operands.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it tests, for messages: `ragged`, `hostile`, `empty`.
    pub name: String,
    /// The operator with its attributes.
    pub op: Arc<dyn Operator>,
    /// Its operands.
    pub inputs: Vec<CaseInput>,
}

impl Case {
    /// A case without operands.
    pub fn new(name: impl Into<String>, op: impl Operator) -> Self {
        Self { name: name.into(), op: Arc::new(op), inputs: Vec::new() }
    }

    /// Adds an f32 operand known only at run time.
    #[must_use]
    pub fn value(self, shape: &[usize], fill: Fill) -> Self {
        let tensor = filled(shape, fill, self.inputs.len());
        self.tensor(tensor)
    }

    /// Adds an f32 constant.
    #[must_use]
    pub fn constant(self, shape: &[usize], fill: Fill) -> Self {
        let tensor = filled(shape, fill, self.inputs.len());
        self.constant_tensor(tensor)
    }

    /// Adds an f64 operand known only at run time.
    #[must_use]
    pub(crate) fn doubles(self, shape: &[usize]) -> Self {
        let count = shape.iter().product::<usize>();
        let number = |at: usize| ((at * 7919 + self.inputs.len() * 104_729 + 1) % 2003) as f64 / 1001.5 * 2.0 - 2.0;
        let numbers: Vec<f64> = (0..count).map(number).collect();
        self.tensor(Tensor::new(shape, &numbers).expect("as many numbers as the shape has"))
    }

    /// Adds an i64 operand known only at run time.
    #[must_use]
    pub fn integers(self, shape: &[usize], values: &[i64]) -> Self {
        self.tensor(Tensor::new(shape, values).expect("a case's numbers fill its shape"))
    }

    /// Adds a given run-time operand.
    #[must_use]
    pub fn tensor(mut self, tensor: Tensor) -> Self {
        self.inputs.push(CaseInput::Value(tensor));
        self
    }

    /// Adds a given constant.
    #[must_use]
    pub fn constant_tensor(mut self, tensor: Tensor) -> Self {
        self.inputs.push(CaseInput::Constant(tensor));
        self
    }

    /// Leaves an optional operand out.
    #[must_use]
    pub fn absent(mut self) -> Self {
        self.inputs.push(CaseInput::Absent);
        self
    }

    /// A graph of this one node.
    ///
    /// Run-time operands are inputs `x0`, `x1`, ...; outputs are `y0`, `y1`, ...
    ///
    /// # Errors
    /// When the operands do not fit the operator.
    pub fn graph(&self) -> Result<Graph> {
        let mut graph = Graph::new(format!("{} {}", self.op.def().name, self.name));
        let inputs: Vec<Option<ValueId>> = self
            .inputs
            .iter()
            .enumerate()
            .map(|(index, input)| match input {
                CaseInput::Value(tensor) => {
                    Some(graph.input(format!("x{index}"), tensor.dtype(), Shape::fixed(tensor.shape())))
                }
                CaseInput::Constant(tensor) => Some(graph.constant(format!("c{index}"), tensor.clone())),
                CaseInput::Absent => None,
            })
            .collect();
        let outputs = graph.node(&self.name, self.op.clone(), inputs)?;
        for (index, id) in outputs.into_iter().enumerate() {
            graph.output(format!("y{index}"), id);
        }
        Ok(graph)
    }
}

/// An f32 tensor of pseudo-random numbers, determined by `seed`.
pub(crate) fn filled(shape: &[usize], fill: Fill, seed: usize) -> Tensor {
    const HOSTILE: [f32; 12] =
        [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1e-40, -1e-40, f32::MAX, f32::MIN, 1e-20, 88.8, -104.0];
    let mut state = 0x9e37_79b9_7f4a_7c15u64.wrapping_mul(seed as u64 + 1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut tensor = Tensor::zeros(DType::F32, shape).expect("a case's shape is small");
    for value in tensor.as_mut_slice::<f32>().expect("made as f32") {
        let bits = next();
        let unit = (bits >> 40) as f32 / (1u64 << 24) as f32;
        let spread = if unit < 0.5 { unit * 4.0 - 2.01 } else { unit * 4.0 - 1.99 };
        *value = match fill {
            Fill::Spread => spread,
            Fill::Positive => 0.1 + unit * 1.9,
            Fill::Large => spread * 5e3,
            Fill::Hostile if bits % 3 == 0 => HOSTILE[(bits >> 8) as usize % HOSTILE.len()],
            Fill::Hostile => spread,
        };
    }
    tensor
}

/// Spread numbers, with a NaN in block 1 and an infinity in block 2 along `axis`.
pub(crate) fn with_specials(shape: &[usize], axis: usize) -> Tensor {
    let mut tensor = filled(shape, Fill::Spread, 0);
    let block: usize = shape[axis..].iter().skip(1).product();
    let values = tensor.as_mut_slice::<f32>().expect("made as f32");
    values[block + block / 2] = f32::NAN;
    values[2 * block] = f32::INFINITY;
    tensor
}
