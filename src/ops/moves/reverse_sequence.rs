//! `ReverseSequence`: the first elements of each sequence in reverse order.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, Io, OnnxNode, OpDef, Operator, function_kernel},
    shape::{Condition, Dim},
    tensor::DType,
};

/// Operand 0, of which each sequence's first steps are reversed, as many as operand 1 says.
///
/// The first two axes are the sequences and their steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReverseSequence {
    /// Whether the sequences are along axis 0 and the steps along axis 1, otherwise the other way.
    pub sequences_first: bool,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "ReverseSequence",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(|request| function_kernel::<ReverseSequence>(request, run)),
    gpu: GpuState::Host("no shader yet"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    match (node.int("batch_axis")?.unwrap_or(1), node.int("time_axis")?.unwrap_or(0)) {
        (0, 1) => Ok(Arc::new(ReverseSequence { sequences_first: true })),
        (1, 0) => Ok(Arc::new(ReverseSequence { sequences_first: false })),
        (batch, time) => Err(Error::invalid_model(format!(
            "`batch_axis` is {batch} and `time_axis` is {time}, expected 0 and 1 in either order"
        ))),
    }
}

impl ReverseSequence {
    fn batch_axis(self) -> usize {
        usize::from(!self.sequences_first)
    }
}

impl Operator for ReverseSequence {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(2, 2)?;
        let (input, lengths) = (inputs.required(0)?, inputs.required(1)?);
        let (true, [count], DType::I64) = (input.shape.rank() >= 2, lengths.shape.dims(), lengths.dtype) else {
            return Err(Error::invalid_model(format!("sequences {input} of the lengths {lengths}")));
        };
        inputs.assume(Condition::equal("the sequences", &input.shape[self.batch_axis()], count))?;
        Ok(vec![Fact::new(input.dtype, input.shape.clone())])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        match (axes[0], axes[1]) {
            (Some(axis), Some(_)) if axis == self.batch_axis() => Some(vec![Some(axis)]),
            (Some(axis), None) if axis >= 2 => Some(vec![Some(axis)]),
            _ => None,
        }
    }
}

fn run(op: &ReverseSequence, io: &mut Io<'_>) -> Result<()> {
    let (input, lengths) = (io.input(0)?, io.input(1)?.slice::<i64>()?);
    let (count, steps) = (input.shape[op.batch_axis()], input.shape[1 - op.batch_axis()]);
    let block = input.shape[2..].iter().product::<usize>() * input.dtype.size();
    let output = io.output(0)?;
    for (sequence, &length) in lengths.iter().enumerate() {
        let length = usize::try_from(length).ok().filter(|&length| length <= steps).ok_or_else(|| {
            Error::invalid_input(format!("sequence {sequence} has the length {length}, expected 0 to {steps}"))
        })?;
        let place = |step| block * if op.sequences_first { sequence * steps + step } else { step * count + sequence };
        for step in 0..steps {
            let from = place(if step < length { length - 1 - step } else { step });
            output.bytes[place(step)..][..block].copy_from_slice(&input.bytes[from..from + block]);
        }
    }
    Ok(())
}

fn cases() -> Vec<Case> {
    let of = |sequences_first| ReverseSequence { sequences_first };
    vec![
        Case::new("steps first", of(false)).value(&[4, 3, 2], Fill::Hostile).integers(&[3], &[4, 0, 2]),
        Case::new("sequences first", of(true)).value(&[3, 4], Fill::Spread).integers(&[3], &[1, 3, 4]),
        Case::new("integers", of(true)).integers(&[1, 3], &[1, 2, 3]).integers(&[1], &[2]),
        Case::new("no steps", of(true)).value(&[2, 0], Fill::Spread).integers(&[2], &[0, 0]),
        Case::new("empty", of(false)).value(&[4, 0], Fill::Spread).integers(&[0], &[]),
    ]
}
