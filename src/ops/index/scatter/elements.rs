//! `ScatterElements`: elements of the data replaced or joined along an axis.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::strided,
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::{
        index::{
            self, Indices,
            scatter::{Join, operands, same_shape, scatter},
        },
        tracked,
    },
    shape::Dim,
};

/// Operand 0 with elements replaced by operand 2 at the indices of operand 1 along an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct ScatterElements {
    /// The axis; negative counts from the end.
    pub axis: i64,
    /// How an update is combined with the element.
    pub join: Join,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "ScatterElements",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("scatter"),
};

pub(crate) fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    Ok(Arc::new(ScatterElements { axis: node.int("axis")?.unwrap_or(0), join: Join::decode(node)? }))
}

impl Operator for ScatterElements {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let [data, indices, updates] = operands(inputs, self.join)?;
        let axis = data.shape.axis(self.axis)?;
        if [indices.shape.rank(), updates.shape.rank()] != [data.shape.rank(); 2] {
            return Err(Error::invalid_model(format!("indices {indices} and updates {updates} for {data}")));
        }
        let moves = self.join == Join::Replace;
        let elements =
            moves.then(|| tracked::indexed(&Kernel { axis, join: self.join }, &[data, updates], indices, &data.shape));
        Ok(vec![Fact::new(data.dtype, data.shape.clone()).with_elements(elements.flatten())])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let axis = inputs.fact(0)?.shape.axis(self.axis).ok()?;
        let own = axes[0]?;
        (own != axis && axes.iter().all(|other| *other == Some(own))).then(|| vec![Some(own)])
    }
}

struct Kernel {
    axis: usize,
    join: Join,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let op: &ScatterElements = request.op()?;
    Ok(Box::new(Kernel { axis: request.input(0)?.shape.axis(op.axis)?, join: op.join }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let shape = io.input(1)?.shape;
        same_shape(shape, io.input(2)?.shape)?;
        let axis = self.axis;
        let places = |data: &[usize], indices: &Indices<'_>, visit: &mut dyn FnMut(usize, usize)| {
            index::check_within(data, shape, axis)?;
            let steps = strided::steps(data);
            index::each(shape, &steps, axis, |position, base| {
                visit(position, base + indices.resolve(position, axis, data[axis])? * steps[axis] as usize);
                Ok(())
            })
        };
        scatter(io, self.join, places)
    }
}

fn cases() -> Vec<Case> {
    let of = |axis, join| ScatterElements { axis, join };
    let case = |name: &str, op| {
        Case::new(name, op)
            .value(&[3, 4], Fill::Hostile)
            .integers(&[2, 3], &[0, -1, 2, 0, 1, 2])
            .value(&[2, 3], Fill::Spread)
    };
    vec![
        case("rows", of(0, Join::Replace)),
        case("add", of(0, Join::Add)),
        case("mul", of(1, Join::Mul)),
        case("max", of(-1, Join::Max)),
        case("min", of(0, Join::Min)),
        Case::new("along each row", of(1, Join::Add))
            .value(&[3, 4], Fill::Spread)
            .integers(&[3, 2], &[0, -1, 2, 2, 1, 3])
            .value(&[3, 2], Fill::Spread),
        Case::new("integers", of(0, Join::Add))
            .integers(&[3], &[1, 2, i64::MAX])
            .integers(&[2], &[2, -1])
            .integers(&[2], &[1, 5]),
        Case::new("nothing", of(0, Join::Replace))
            .value(&[3], Fill::Spread)
            .integers(&[0], &[])
            .value(&[0], Fill::Spread),
    ]
}
