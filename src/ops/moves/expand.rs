//! `Expand`: the operand broadcast to a given shape.

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

/// The operand broadcast with a tensor of that shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Expand {
    /// The shape; where it is 1 or lacks the axis, the operand's size stays.
    pub shape: Vec<Dim>,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "Expand",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("move"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let shape = node.take_integers(1)?.ok_or_else(|| Error::invalid_model("the new shape is missing"))?;
    Ok(Arc::new(Expand { shape }))
}

impl Operator for Expand {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        let shape = inputs.broadcast(&input.shape, &Shape::new(self.shape.clone()))?;
        let elements = tracked::moved(&[input], &shape, |views, output| expand(views[0], output));
        Ok(vec![Fact::new(input.dtype, shape).with_elements(elements)])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], size: &Dim) -> Option<Vec<Option<usize>>> {
        let input = &inputs.fact(0)?.shape;
        let output = inputs.broadcast(input, &Shape::new(self.shape.clone())).ok()?;
        let added = output.rank() - input.rank();
        let symbol = size.as_symbol()?;
        let repeated = |axis: usize| axis < added || input[axis - added].as_fixed() == Some(1);
        match axes[0] {
            // The items' axis stays; no other axis may have the number of items as its size.
            Some(own) => {
                let others = (0..output.rank()).filter(|&axis| axis != own + added);
                (others.map(|axis| &output[axis]).all(|dim| !dim.mentions(symbol)) && output[own + added] == *size)
                    .then(|| vec![Some(own + added)])
            }
            // Each item gets the same copy.
            None => {
                let mut sized = (0..output.rank()).filter(|&axis| output[axis].mentions(symbol));
                let axis = sized.next()?;
                (sized.next().is_none() && output[axis] == *size && repeated(axis)).then(|| vec![Some(axis)])
            }
        }
    }
}

struct Kernel {
    shape: Vec<Dim>,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel { shape: request.op::<Expand>()?.shape.clone() }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let (input, bindings) = (io.input(0)?, io.bindings);
        let output = io.output(0)?;
        let first = output.shape.len() - self.shape.len();
        for (axis, (dim, &size)) in self.shape.iter().zip(&output.shape[first..]).enumerate() {
            let asked = dim.eval(bindings)?;
            if asked != 1 && asked != size as i64 {
                let message = format!("axis {} of size {size} cannot be expanded to {asked}", axis + first);
                return Err(Error::invalid_input(message));
            }
        }
        expand(input, output)
    }
}

fn expand(input: View<'_>, output: &mut ViewMut<'_>) -> Result<()> {
    let added = output.shape.len() - input.shape.len();
    let (from, to) = (strided::steps(input.shape), strided::steps(output.shape));
    let mut axes: SmallVec<[Axis; 8]> = SmallVec::new();
    for (axis, &count) in output.shape.iter().enumerate() {
        let own = axis.checked_sub(added).map(|axis| (input.shape[axis], from[axis]));
        let step = match own {
            Some((size, step)) if size == count => step,
            None | Some((1, _)) => 0,
            Some((size, _)) => {
                let message = format!("axis {axis} of size {size} cannot be expanded to {count}");
                return Err(Error::invalid_input(message));
            }
        };
        axes.push(Axis { count, from: step, to: to[axis] });
    }
    strided::copy(input.dtype.size(), axes, input.bytes, 0, output.bytes, 0);
    Ok(())
}

fn cases() -> Vec<Case> {
    let to = |shape: &[usize]| Expand { shape: shape.iter().copied().map(Dim::from).collect() };
    vec![
        Case::new("rows", to(&[4, 3])).value(&[1, 3], Fill::Hostile),
        Case::new("columns", to(&[4, 5])).value(&[4, 1], Fill::Spread),
        Case::new("more axes", to(&[2, 1, 3, 5])).value(&[4, 1, 1], Fill::Spread),
        Case::new("scalar", to(&[2, 3])).integers(&[], &[-7]),
        Case::new("own size stays", to(&[1])).value(&[3, 2], Fill::Spread),
        Case::new("empty", to(&[0, 3])).value(&[1, 3], Fill::Spread),
    ]
}
