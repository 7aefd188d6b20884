//! `Slice`: ranges of axes, with steps.

mod part;

use std::sync::Arc;

pub use part::Part;
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

/// A strided range of each listed axis, and the other axes whole.
///
/// A symbolic axis is assumed to hold at least one element where that makes the part's size simpler:
/// otherwise it would be an expression that no later operator could match. A run that violates this
/// fails.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// The ranges, of one axis each.
    pub parts: Vec<Part>,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "Slice",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("move"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let fixed = |all: Vec<i64>| all.into_iter().map(Dim::number).collect::<Vec<_>>();
    let (mut axes, steps) = (node.ints("axes")?, node.take_numbers(4)?);
    axes = axes.or(node.take_numbers(3)?);
    let ends = node.ints("ends")?.map(fixed).or(node.take_integers(2)?);
    let starts = node.ints("starts")?.map(fixed).or(node.take_integers(1)?);
    let (Some(starts), Some(ends)) = (starts, ends) else {
        return Err(Error::invalid_model("`starts` or `ends` is missing"));
    };
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()].iter().any(|&len| len != starts.len()) {
        return Err(Error::invalid_model("`starts`, `ends`, `axes` and `steps` are not equally many"));
    }
    let shape = &node.inputs().required(0)?.shape;
    let parts = starts.into_iter().zip(ends).zip(axes).zip(steps);
    let parts = parts.map(|(((start, end), axis), step)| {
        // The largest numbers mean "to the end" in either direction, as ONNX Runtime takes them.
        let all = step < 0 && [i64::MAX, i64::from(i32::MAX)].map(Some).contains(&end.as_fixed());
        let end = if all { Dim::number(i64::MIN) } else { end };
        Ok(Part { axis: shape.axis(axis)?, start, end, step })
    });
    Ok(Arc::new(Slice { parts: parts.collect::<Result<_>>()? }))
}

impl Slice {
    fn shape(&self, inputs: &Inputs<'_>, input: &Shape) -> Result<Shape> {
        let mut dims = input.dims().to_vec();
        for (index, part) in self.parts.iter().enumerate() {
            if part.step == 0 {
                return Err(Error::invalid_model(format!("the step along axis {} is 0", part.axis)));
            }
            if self.parts[..index].iter().any(|other| other.axis == part.axis) {
                return Err(Error::invalid_model(format!("axis {} is sliced twice", part.axis)));
            }
            let size = dims.get(part.axis);
            let size = size.ok_or_else(|| Error::invalid_model(format!("{input} has no axis {}", part.axis)))?;
            let (count, assumed) = part.count(size, inputs.is_measured_size(size));
            assumed.into_iter().try_for_each(|condition| inputs.assume(condition))?;
            dims[part.axis] = count;
        }
        Ok(Shape::new(dims))
    }

    /// The first element in an operand of shape `input`, and the strided reads for `output`.
    ///
    /// # Errors
    /// When a range and the result differ in length.
    pub(crate) fn walk(
        &self,
        eval: impl Fn(&Dim) -> Result<i64>,
        input: &[usize],
        output: &[usize],
    ) -> Result<(usize, SmallVec<[Axis; 8]>)> {
        let mut from = strided::steps(input);
        let mut start = 0;
        for part in &self.parts {
            let size = input[part.axis];
            let (begin, end) = (eval(&part.start)?, eval(&part.end)?);
            let (first, count) = part.resolve(begin, end, size);
            if count != output[part.axis] {
                return Err(Error::invalid_input(format!(
                    "{begin} to {end} of axis {} of size {size} is {count} elements where the model needs {}",
                    part.axis, output[part.axis]
                )));
            }
            start += first * from[part.axis] as usize;
            // A step beyond every size is taken at most once, so its length does not matter.
            from[part.axis] = from[part.axis].wrapping_mul(part.step as isize);
        }
        let to = strided::steps(output);
        let axes = (0..from.len()).map(|axis| Axis { count: output[axis], from: from[axis], to: to[axis] }).collect();
        Ok((start, axes))
    }

    fn run(&self, eval: impl Fn(&Dim) -> Result<i64>, input: View<'_>, output: &mut ViewMut<'_>) -> Result<()> {
        let (start, axes) = self.walk(eval, input.shape, output.shape)?;
        strided::copy(input.dtype.size(), axes, input.bytes, start, output.bytes, 0);
        Ok(())
    }
}

impl Operator for Slice {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        let shape = self.shape(inputs, &input.shape)?;
        let number = |dim: &Dim| dim.as_fixed().ok_or_else(|| Error::unsupported("a symbolic part"));
        let elements = tracked::moved(&[input], &shape, |views, output| self.run(number, views[0], output));
        Ok(vec![Fact::new(input.dtype, shape).with_elements(elements)])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], size: &Dim) -> Option<Vec<Option<usize>>> {
        let (own, symbol) = (axes[0]?, size.as_symbol()?);
        let apart = self.parts.iter().all(|part| {
            if part.axis == own {
                return part.is_whole(&inputs.fact(0).map_or_else(|| size.clone(), |fact| fact.shape[own].clone()));
            }
            !part.start.mentions(symbol) && !part.end.mentions(symbol)
        });
        apart.then(|| vec![Some(own)])
    }
}

struct Kernel(Slice);

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel(request.op::<Slice>()?.clone())))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let (input, bindings) = (io.input(0)?, io.bindings);
        self.0.run(|dim| dim.eval(bindings), input, io.output(0)?)
    }
}

fn cases() -> Vec<Case> {
    let part = |axis, start, end, step| Part { axis, start: Dim::number(start), end: Dim::number(end), step };
    let of = |parts: &[Part]| Slice { parts: parts.to_vec() };
    vec![
        Case::new("middle", of(&[part(1, 1, -1, 1)])).value(&[3, 5, 2], Fill::Hostile),
        Case::new("two axes", of(&[part(2, 1, i64::MAX, 2), part(0, -2, 9, 1)])).value(&[3, 2, 7], Fill::Spread),
        Case::new("backwards", of(&[part(0, -1, i64::MIN, -1)])).value(&[5, 3], Fill::Spread),
        Case::new("backwards by 2", of(&[part(1, 100, 0, -2)])).value(&[2, 6], Fill::Spread),
        Case::new("nothing", of(&[part(1, 4, 2, 1)])).value(&[2, 6], Fill::Spread),
        Case::new("empty", of(&[part(0, 0, 2, 1), part(1, -1, i64::MIN, -1)])).value(&[0, 6], Fill::Spread),
        Case::new("huge step", of(&[part(0, 1, 9, i64::MAX)])).value(&[4, 2], Fill::Spread),
        Case::new("integers", of(&[part(0, 1, 3, 1)])).integers(&[4], &[1, 2, 3, 4]),
    ]
}
