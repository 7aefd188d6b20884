//! `ArgMax` and `ArgMin`: the index of the largest or smallest element along an axis.

use std::{cmp::Ordering, sync::Arc};

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::number::{Number, with_number},
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::index::{check_number, not_numbers},
    shape::{Dim, Shape},
    tensor::DType,
};

/// The index, as i64, of the extreme element along an axis.
///
/// NaN counts as more extreme than every number.
#[derive(Clone, Debug, PartialEq)]
pub struct ArgReduce {
    /// Whether the largest is selected, otherwise the smallest.
    pub largest: bool,
    /// The axis; negative counts from the end.
    pub axis: i64,
    /// Whether the axis is kept with size 1.
    pub keep_dims: bool,
    /// Whether the last of equal elements is selected, otherwise the first.
    pub select_last: bool,
}

pub(crate) static ARG_MAX: OpDef = OpDef {
    name: "ArgMax",
    onnx: Some(|node| decode(node, true)),
    cases: || cases(true),
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("arg_reduce"),
};

pub(crate) static ARG_MIN: OpDef = OpDef {
    name: "ArgMin",
    onnx: Some(|node| decode(node, false)),
    cases: || cases(false),
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("arg_reduce"),
};

fn decode(node: &mut OnnxNode<'_>, largest: bool) -> Result<Arc<dyn Operator>> {
    Ok(Arc::new(ArgReduce {
        largest,
        axis: node.int("axis")?.unwrap_or(0),
        keep_dims: node.flag("keepdims", true)?,
        select_last: node.flag("select_last_index", false)?,
    }))
}

impl Operator for ArgReduce {
    fn def(&self) -> &'static OpDef {
        if self.largest { &ARG_MAX } else { &ARG_MIN }
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        check_number(input.dtype)?;
        let axis = input.shape.axis(self.axis)?;
        let mut dims = input.shape.dims().to_vec();
        if self.keep_dims {
            dims[axis] = Dim::from(1);
        } else {
            dims.remove(axis);
        }
        Ok(vec![Fact::new(DType::I64, Shape::new(dims))])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let axis = inputs.fact(0)?.shape.axis(self.axis).ok()?;
        let own = axes[0].filter(|&own| own != axis)?;
        Some(vec![Some(own - usize::from(!self.keep_dims && own > axis))])
    }
}

struct Kernel {
    axis: usize,
    op: ArgReduce,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let op: &ArgReduce = request.op()?;
    Ok(Box::new(Kernel { axis: request.input(0)?.shape.axis(op.axis)?, op: op.clone() }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?;
        let output = io.output(0)?.slice::<i64>()?;
        let (size, inner) = (input.shape[self.axis], input.shape[self.axis + 1..].iter().product::<usize>());
        if output.is_empty() {
            return Ok(());
        }
        if size == 0 {
            return Err(Error::invalid_input(format!("axis {} is empty and has no extreme element", self.axis)));
        }
        with_number!(input.dtype, T => {
            let blocks = input.slice::<T>()?.chunks_exact(size * inner);
            for (block, output) in blocks.zip(output.chunks_exact_mut(inner)) {
                for (column, output) in output.iter_mut().enumerate() {
                    *output = self.find((0..size).map(|row| block[row * inner + column])) as i64;
                }
            }
            Ok(())
        }, else Err(not_numbers()))
    }
}

impl Kernel {
    fn find<T: Number>(&self, lane: impl Iterator<Item = T>) -> usize {
        let mut best: Option<(usize, T)> = None;
        for (index, value) in lane.enumerate() {
            let better = best.is_none_or(|(_, held)| {
                let order = match (value.is_nan(), held.is_nan()) {
                    (false, false) if !self.op.largest => held.order(value),
                    _ => value.order(held),
                };
                order == Ordering::Greater || (self.op.select_last && order == Ordering::Equal)
            });
            if better {
                best = Some((index, value));
            }
        }
        best.map_or(0, |(index, _)| index)
    }
}

fn cases(largest: bool) -> Vec<Case> {
    let of = |axis, keep_dims, select_last| ArgReduce { largest, axis, keep_dims, select_last };
    vec![
        Case::new("last axis", of(-1, true, false)).value(&[3, 7], Fill::Spread),
        Case::new("first axis", of(0, false, false)).value(&[5, 3], Fill::Hostile),
        Case::new("middle", of(1, true, true)).value(&[2, 9, 3], Fill::Hostile),
        Case::new("equal, first", of(0, false, false)).integers(&[5], &[2, 7, 7, 2, 3]),
        Case::new("equal, last", of(0, false, true)).integers(&[5], &[2, 7, 7, 2, 3]),
        Case::new("empty", of(1, true, false)).value(&[0, 3], Fill::Spread),
    ]
}
