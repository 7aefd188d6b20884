//! `Tile`: the operand repeated along its axes.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::strided::{self, Axis},
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::tracked,
    shape::{Dim, Shape},
    tensor::{View, ViewMut},
};

/// The operand repeated along each axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Tile {
    /// The number of copies along each axis.
    pub repeats: Vec<Dim>,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "Tile",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("move"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    if node.opset() < 6 {
        return decode_along_axis(node);
    }
    let repeats = node.take_integers(1)?.ok_or_else(|| Error::invalid_model("`repeats` is missing"))?;
    Ok(Arc::new(Tile { repeats }))
}

/// The form up to opset 5: a number of repetitions along one axis.
fn decode_along_axis(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let axis = node.take_numbers(2)?.and_then(|all| all.first().copied());
    let count = node.take_integers(1)?.and_then(|all| all.first().cloned());
    let (Some(axis), Some(count)) = (axis, count) else {
        return Err(Error::invalid_model("`tiles` or `axis` is missing"));
    };
    let shape = &node.inputs().required(0)?.shape;
    let axis = shape.axis(axis)?;
    let repeats = (0..shape.rank()).map(|own| if own == axis { count.clone() } else { Dim::from(1) }).collect();
    Ok(Arc::new(Tile { repeats }))
}

impl Operator for Tile {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        if self.repeats.len() != input.shape.rank() {
            return Err(Error::invalid_model(format!("{} repeats for {}", self.repeats.len(), input.shape)));
        }
        let shape: Shape = input.shape.dims().iter().zip(&self.repeats).map(|(dim, repeats)| dim * repeats).collect();
        let elements = tracked::moved(&[input], &shape, |views, output| {
            tile(views[0], output);
            Ok(())
        });
        Ok(vec![Fact::new(input.dtype, shape).with_elements(elements)])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], size: &Dim) -> Option<Vec<Option<usize>>> {
        let symbol = size.as_symbol()?;
        let input = &inputs.fact(0)?.shape;
        let mut sized = (0..self.repeats.len()).filter(|&axis| self.repeats[axis].mentions(symbol));
        match (axes[0], sized.next(), sized.next()) {
            (Some(own), None, None) if self.repeats[own].as_fixed() == Some(1) => Some(vec![Some(own)]),
            // Each item gets the same copy.
            (None, Some(axis), None) if self.repeats[axis] == *size && input[axis].as_fixed() == Some(1) => {
                Some(vec![Some(axis)])
            }
            _ => None,
        }
    }
}

struct Kernel;

fn kernel(_request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?;
        tile(input, io.output(0)?);
        Ok(())
    }
}

fn tile(input: View<'_>, output: &mut ViewMut<'_>) {
    if output.bytes.is_empty() {
        return;
    }
    strided::copy(input.dtype.size(), walk(input.shape, output.shape), input.bytes, 0, output.bytes, 0);
}

/// The strided reads of all copies of a non-empty operand.
pub(crate) fn walk(input: &[usize], output: &[usize]) -> SmallVec<[Axis; 8]> {
    let (from, to) = (strided::steps(input), strided::steps(output));
    let mut axes = SmallVec::new();
    for (axis, &count) in input.iter().enumerate() {
        let whole = to[axis].wrapping_mul(count as isize);
        axes.push(Axis { count: output[axis] / count, from: 0, to: whole });
        axes.push(Axis { count, from: from[axis], to: to[axis] });
    }
    axes
}

fn cases() -> Vec<Case> {
    let by = |repeats: &[usize]| Tile { repeats: repeats.iter().copied().map(Dim::from).collect() };
    vec![
        Case::new("both axes", by(&[2, 3])).value(&[3, 5], Fill::Hostile),
        Case::new("outer axis", by(&[4, 1, 1])).value(&[2, 3, 2], Fill::Spread),
        Case::new("scalar", by(&[])).value(&[], Fill::Spread),
        Case::new("never", by(&[2, 0])).value(&[3, 2], Fill::Spread),
        Case::new("integers", by(&[3])).integers(&[2], &[1, -2]),
    ]
}
