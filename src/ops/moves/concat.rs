//! `Concat`: operands concatenated along an axis.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::strided::{self, Axis},
    op::{
        Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator,
        first_result,
    },
    ops::tracked,
    shape::{Dim, Shape},
    tensor::{DType, Tensor, View, ViewMut},
};

/// The operands, of equal type and other sizes, concatenated along an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Concat {
    /// The axis; negative counts from the end.
    pub axis: i64,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "Concat",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("move"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    // Opset 1 to 3 have a default.
    let default = (node.opset() < 4).then_some(1);
    let axis = node.int("axis")?.or(default).ok_or_else(|| Error::invalid_model("`axis` is missing"))?;
    Ok(Arc::new(Concat { axis }))
}

impl Operator for Concat {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let first = inputs.required(0)?;
        let axis = first.shape.axis(self.axis)?;
        let facts = (0..inputs.len()).map(|index| inputs.required(index)).collect::<Result<Vec<_>>>()?;
        let mut dims = first.shape.dims().to_vec();
        for fact in &facts[1..] {
            let fits = fact.dtype == first.dtype && fact.shape.rank() == dims.len();
            let misfit = || Error::invalid_model(format!("{fact} and {first} cannot be joined along axis {axis}"));
            if !fits {
                return Err(misfit());
            }
            for (own, (dim, other)) in dims.iter_mut().zip(fact.shape.dims()).enumerate() {
                // Different expressions may still be equal.
                *dim = match own == axis {
                    true => &*dim + other,
                    false => inputs.equal("another axis than the joined one", dim, other).map_err(|_| misfit())?,
                };
            }
        }
        let shape = Shape::new(dims);
        let elements = tracked::moved(&facts, &shape, |views, output| concat(views.iter().copied(), axis, output));
        Ok(vec![Fact::new(first.dtype, shape).with_elements(elements)])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let axis = inputs.fact(0)?.shape.axis(self.axis).ok()?;
        let own = axes[0]?;
        (own != axis && axes.iter().all(|other| *other == Some(own))).then(|| vec![Some(own)])
    }
}

struct Kernel {
    axis: usize,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let axis = request.input(0)?.shape.axis(request.op::<Concat>()?.axis)?;
    Ok(Box::new(Kernel { axis }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let Io { inputs, outputs, .. } = io;
        let output = first_result(outputs)?;
        concat(inputs.iter().copied().flatten(), self.axis, output)
    }
}

fn concat<'a>(inputs: impl Iterator<Item = View<'a>>, axis: usize, output: &mut ViewMut<'_>) -> Result<()> {
    let outer: usize = output.shape[..axis].iter().product();
    let behind: usize = output.shape[axis + 1..].iter().product();
    let row = output.shape[axis] * behind;
    let mut start = 0;
    for input in inputs {
        let other = |shape: &'a [usize]| shape[..axis].iter().chain(&shape[axis + 1..]);
        if !other(input.shape).eq(output.shape[..axis].iter().chain(&output.shape[axis + 1..])) {
            let (own, whole) = (input.shape, output.shape);
            return Err(Error::invalid_input(format!("{own:?} cannot be joined into {whole:?} along axis {axis}")));
        }
        let part = input.shape[axis] * behind;
        let axes = [Axis { count: outer, from: part as isize, to: row as isize }, Axis { count: part, from: 1, to: 1 }];
        strided::copy(input.dtype.size(), axes, input.bytes, 0, output.bytes, start);
        start += part;
    }
    Ok(())
}

fn cases() -> Vec<Case> {
    let along = |axis| Concat { axis };
    let bools = |values: &[bool]| Tensor::from_bools([values.len()], values).expect("as many as there are");
    vec![
        Case::new("rows", along(0)).value(&[2, 3], Fill::Hostile).value(&[1, 3], Fill::Spread),
        Case::new("middle", along(1))
            .value(&[2, 3, 2], Fill::Spread)
            .value(&[2, 0, 2], Fill::Spread)
            .constant(&[2, 4, 2], Fill::Spread),
        Case::new("columns", along(-1)).value(&[5, 1], Fill::Spread).value(&[5, 2], Fill::Hostile),
        Case::new("one operand", along(0)).value(&[3], Fill::Spread),
        Case::new("integers", along(0)).integers(&[2], &[1, -2]).integers(&[1], &[3]),
        Case::new("bools", along(0)).tensor(bools(&[true])).tensor(bools(&[false, true])),
        Case::new("empty", along(0))
            .tensor(Tensor::zeros(DType::F64, [2, 0]).expect("no bytes"))
            .tensor(Tensor::zeros(DType::F64, [1, 0]).expect("no bytes")),
    ]
}
