//! `Split`: an axis split into parts.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::strided::{self, Axis},
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::tracked,
    shape::{Condition, Dim, Shape},
    tensor::{View, ViewMut},
};

/// The operand split along an axis, with one result per part.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// The axis; negative counts from the end.
    pub axis: i64,
    /// The sizes of the parts.
    pub parts: Parts,
}

/// The sizes of the parts.
#[derive(Clone, Debug, PartialEq)]
pub enum Parts {
    /// The sizes as given.
    Sizes(Vec<Dim>),
    /// That many parts of equal size.
    Equal(usize),
    /// That many parts of equal size; the last one may be smaller.
    AboutEqual(usize),
}

pub(crate) static DEF: OpDef = OpDef {
    name: "Split",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("move"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let axis = node.int("axis")?.unwrap_or(0);
    let count = node.output_count();
    let named = node.int("num_outputs")?;
    let sizes = match node.ints("split")? {
        Some(sizes) => Some(sizes.into_iter().map(Dim::number).collect()),
        None => node.take_integers(1)?,
    };
    if let Some(named) = named.filter(|&named| named != count as i64) {
        return Err(Error::invalid_model(format!("`num_outputs` is {named}, the node names {count} results")));
    }
    // Before opset 18 the parts must be equal.
    let equal = if node.opset() < 18 { Parts::Equal(count) } else { Parts::AboutEqual(count) };
    Ok(Arc::new(Split { axis, parts: sizes.map_or(equal, Parts::Sizes) }))
}

impl Split {
    fn shapes(&self, inputs: &Inputs<'_>, input: &Shape) -> Result<(usize, Vec<Shape>)> {
        let axis = input.axis(self.axis)?;
        let size = &input[axis];
        let sizes = match &self.parts {
            Parts::Sizes(sizes) => sizes.clone(),
            Parts::Equal(0) | Parts::AboutEqual(0) => return Err(Error::invalid_model("a Split without results")),
            Parts::Equal(count) => vec![size.floor_div(&Dim::from(*count)); *count],
            Parts::AboutEqual(count) => {
                let part = match size.exact_div(&Dim::from(*count)) {
                    Some(part) => part,
                    None => size.ceil_div(&Dim::from(*count)),
                };
                let mut sizes = vec![part.clone(); *count];
                sizes[count - 1] = size - &(&part * &Dim::from(count - 1));
                sizes
            }
        };
        let misfit = |_| Error::invalid_model(format!("axis {axis} of {input} cannot be cut into {sizes:?}"));
        let sum = sizes.iter().fold(Dim::from(0), |sum, size| sum + size);
        inputs.assume(Condition::equal("the whole of all parts", &sum, size)).map_err(misfit)?;
        // ONNX Runtime refuses more parts than there are elements.
        let least = Dim::from(usize::from(matches!(self.parts, Parts::AboutEqual(_))));
        for size in &sizes {
            inputs.assume(Condition::at_least("a part", size, &least)).map_err(misfit)?;
        }
        let shape = |own: Dim| {
            let mut dims = input.dims().to_vec();
            dims[axis] = own;
            Shape::new(dims)
        };
        Ok((axis, sizes.into_iter().map(shape).collect()))
    }
}

impl Operator for Split {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        let (axis, shapes) = self.shapes(inputs, &input.shape)?;
        let mut start = Some(0);
        let facts = shapes.into_iter().map(|shape| {
            let own = start;
            start = own.zip(shape[axis].as_fixed()).map(|(start, size)| start + size as usize);
            let elements = own.and_then(|start| {
                tracked::moved(&[input], &shape, |views, output| part(views[0], axis, start, output))
            });
            Fact::new(input.dtype, shape).with_elements(elements)
        });
        Ok(facts.collect())
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], size: &Dim) -> Option<Vec<Option<usize>>> {
        let (axis, shapes) = self.shapes(inputs, &inputs.fact(0)?.shape).ok()?;
        let (own, symbol) = (axes[0]?, size.as_symbol()?);
        let depends = shapes.iter().any(|shape| shape[axis].mentions(symbol));
        (own != axis && !depends).then(|| vec![Some(own); shapes.len()])
    }
}

struct Kernel {
    axis: usize,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let axis = request.input(0)?.shape.axis(request.op::<Split>()?.axis)?;
    Ok(Box::new(Kernel { axis }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?;
        let (size, sum): (usize, usize) =
            (input.shape[self.axis], io.outputs.iter().map(|output| output.shape[self.axis]).sum());
        if size != sum {
            let axis = self.axis;
            return Err(Error::invalid_input(format!("axis {axis} of size {size} is cut into parts of {sum} in all")));
        }
        let mut start = 0;
        for output in &mut io.outputs {
            part(input, self.axis, start, output)?;
            start += output.shape[self.axis];
        }
        Ok(())
    }
}

fn part(input: View<'_>, axis: usize, start: usize, output: &mut ViewMut<'_>) -> Result<()> {
    let outer: usize = input.shape[..axis].iter().product();
    let behind: usize = input.shape[axis + 1..].iter().product();
    let (row, own) = (input.shape[axis] * behind, output.shape[axis] * behind);
    let axes = [Axis { count: outer, from: row as isize, to: own as isize }, Axis { count: own, from: 1, to: 1 }];
    strided::copy(input.dtype.size(), axes, input.bytes, start * behind, output.bytes, 0);
    Ok(())
}

fn cases() -> Vec<Case> {
    let equal = |axis, count| Split { axis, parts: Parts::Equal(count) };
    let about = |axis, count| Split { axis, parts: Parts::AboutEqual(count) };
    let sizes =
        |axis, sizes: &[usize]| Split { axis, parts: Parts::Sizes(sizes.iter().copied().map(Dim::from).collect()) };
    vec![
        Case::new("even", equal(-1, 3)).value(&[4, 9], Fill::Hostile),
        Case::new("uneven", about(0, 3)).value(&[8, 2], Fill::Spread),
        Case::new("sizes", sizes(1, &[1, 0, 4])).value(&[3, 5, 2], Fill::Spread),
        Case::new("empty", sizes(1, &[2, 1])).value(&[0, 3], Fill::Spread),
        Case::new("integers", sizes(0, &[1, 2])).integers(&[3], &[5, 6, 7]),
    ]
}
