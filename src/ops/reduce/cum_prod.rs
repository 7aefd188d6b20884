//! `CumProd`: running products along an axis.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::number::{Number, with_number},
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, Io, OnnxNode, OpDef, Operator, function_kernel},
    ops::index::{check_number, not_numbers},
    shape::{Dim, normalize_axis},
};

/// The running products along an axis, multiplied one by one; integers wrap.
#[derive(Clone, Debug, PartialEq)]
pub struct CumProd {
    /// The axis; negative counts from the end.
    pub axis: i64,
    /// Whether an element is excluded from its own product.
    pub exclusive: bool,
    /// Whether the products start at the end of the axis.
    pub reverse: bool,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "CumProd",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(|request| function_kernel::<CumProd>(request, run)),
    gpu: GpuState::Host("no shader yet"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let (exclusive, reverse) = (node.flag("exclusive", false)?, node.flag("reverse", false)?);
    let axis = node.take_numbers(1)?.and_then(|all| all.first().copied());
    let axis = axis.ok_or_else(|| Error::invalid_model("the axis is missing"))?;
    Ok(Arc::new(CumProd { axis, exclusive, reverse }))
}

impl Operator for CumProd {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        check_number(input.dtype)?;
        input.shape.axis(self.axis)?;
        Ok(vec![Fact::new(input.dtype, input.shape.clone())])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let axis = inputs.fact(0)?.shape.axis(self.axis).ok()?;
        axes[0].filter(|&own| own != axis).map(|own| vec![Some(own)])
    }
}

fn run(op: &CumProd, io: &mut Io<'_>) -> Result<()> {
    let input = io.input(0)?;
    let axis = normalize_axis(op.axis, input.shape.len())?;
    let (size, inner) = (input.shape[axis], input.shape[axis + 1..].iter().product::<usize>());
    let output = io.output(0)?;
    with_number!(input.dtype, T => {
        products(op, input.slice::<T>()?, size, inner, output.slice::<T>()?);
        Ok(())
    }, else Err(not_numbers()))
}

/// Products of blocks of `size` rows of `inner` elements.
fn products<T: Number>(op: &CumProd, input: &[T], size: usize, inner: usize, output: &mut [T]) {
    if output.is_empty() {
        return;
    }
    for (input, output) in input.chunks_exact(size * inner).zip(output.chunks_exact_mut(size * inner)) {
        for column in 0..inner {
            let mut product = T::narrow(1.0);
            for index in 0..size {
                let place = if op.reverse { size - 1 - index } else { index } * inner + column;
                let next = product.times(input[place]);
                output[place] = if op.exclusive { product } else { next };
                product = next;
            }
        }
    }
}

fn cases() -> Vec<Case> {
    let of = |axis, exclusive, reverse| CumProd { axis, exclusive, reverse };
    vec![
        Case::new("last", of(-1, false, false)).value(&[3, 7], Fill::Spread),
        Case::new("first", of(0, false, false)).value(&[5, 3], Fill::Spread),
        Case::new("exclusive", of(1, true, false)).value(&[2, 5, 3], Fill::Spread),
        Case::new("reverse", of(1, false, true)).value(&[2, 4, 3], Fill::Spread),
        Case::new("both", of(0, true, true)).integers(&[4], &[1, -2, i64::MAX, 5]),
        Case::new("empty", of(0, false, false)).value(&[0, 3], Fill::Spread),
    ]
}
