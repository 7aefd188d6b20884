//! `TopK`: the largest or smallest elements along an axis.

use std::{cmp::Ordering, sync::Arc};

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::number::{Number, with_number},
    op::{
        Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator,
        Shapes,
    },
    ops::index::{check_number, not_numbers},
    shape::{Dim, Shape},
    tensor::DType,
};

/// The `count` extreme elements along an axis, in order, and their indices as i64.
///
/// Of equal elements the one with the lower index comes first; NaN is larger than every number.
#[derive(Clone, Debug, PartialEq)]
pub struct TopK {
    /// The axis; negative counts from the end.
    pub axis: i64,
    /// The number of elements.
    pub count: Dim,
    /// Whether the largest are selected, otherwise the smallest.
    pub largest: bool,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "TopK",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("top_k"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let (axis, largest) = (node.int("axis")?.unwrap_or(-1), node.flag("largest", true)?);
    // Unsorted results may be in any order, so also sorted.
    node.flag("sorted", true)?;
    let count = match node.int("k")? {
        Some(count) => Some(Dim::number(count)),
        None => node.take_integers(1)?.and_then(|all| all.into_iter().next()),
    };
    let count = count.ok_or_else(|| Error::invalid_model("`k` is missing"))?;
    Ok(Arc::new(TopK { axis, count, largest }))
}

impl Operator for TopK {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        check_number(input.dtype)?;
        let axis = input.shape.axis(self.axis)?;
        let size = &input.shape[axis];
        if self.count.as_fixed().zip(size.as_fixed()).is_some_and(|(count, size)| count > size) {
            return Err(Error::invalid_model(format!("the first {} of axis {axis} of {input}", self.count)));
        }
        let mut dims = input.shape.dims().to_vec();
        dims[axis] = self.count.clone();
        let shape = Shape::new(dims);
        Ok(vec![Fact::new(input.dtype, shape.clone()), Fact::new(DType::I64, shape)])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], size: &Dim) -> Option<Vec<Option<usize>>> {
        let axis = inputs.fact(0)?.shape.axis(self.axis).ok()?;
        let own = axes[0].filter(|&own| own != axis)?;
        (!self.count.mentions(size.as_symbol()?)).then(|| vec![Some(own); 2])
    }
}

struct Kernel {
    axis: usize,
    largest: bool,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let op: &TopK = request.op()?;
    Ok(Box::new(Kernel { axis: request.input(0)?.shape.axis(op.axis)?, largest: op.largest }))
}

impl CpuKernel for Kernel {
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        let size = shapes.inputs.first().copied().flatten().map_or(0, |shape| shape[self.axis]);
        size.saturating_mul(size_of::<u64>())
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?;
        let Io { outputs, scratch, .. } = io;
        let [values, indices] = outputs.as_mut_slice() else { return Err(Error::internal("TopK has two results")) };
        let (size, count) = (input.shape[self.axis], values.shape[self.axis]);
        let inner = input.shape[self.axis + 1..].iter().product::<usize>();
        if count > size {
            let axis = self.axis;
            return Err(Error::invalid_input(format!("the first {count} elements of axis {axis} of size {size}")));
        }
        let order: &mut [u64] = bytemuck::cast_slice_mut(&mut scratch[..size * size_of::<u64>()]);
        let indices = indices.slice::<i64>()?;
        with_number!(input.dtype, T => {
            let (input, values) = (input.slice::<T>()?, values.slice::<T>()?);
            let lanes = if values.is_empty() { 0 } else { values.len() / count };
            for lane in 0..lanes {
                let (block, column) = (lane / inner, lane % inner);
                let at = |row: u64| input[(block * size + row as usize) * inner + column];
                self.sort(order, count, at);
                for (rank, &row) in order[..count].iter().enumerate() {
                    let place = (block * count + rank) * inner + column;
                    values[place] = at(row);
                    indices[place] = row as i64;
                }
            }
            Ok(())
        }, else Err(not_numbers()))
    }
}

impl Kernel {
    /// Moves the `count` extreme indices to the front, in order.
    fn sort<T: Number>(&self, order: &mut [u64], count: usize, at: impl Fn(u64) -> T) {
        order.iter_mut().enumerate().for_each(|(index, slot)| *slot = index as u64);
        let compare = |a: &u64, b: &u64| -> Ordering {
            let (x, y) = (at(*a), at(*b));
            let order = if self.largest { y.order(x) } else { x.order(y) };
            order.then(a.cmp(b))
        };
        if count < order.len() {
            order.select_nth_unstable_by(count, compare);
        }
        order[..count].sort_unstable_by(compare);
    }
}

fn cases() -> Vec<Case> {
    let of = |axis, count: usize, largest| TopK { axis, count: Dim::from(count), largest };
    vec![
        Case::new("last axis", of(-1, 3, true)).value(&[4, 7], Fill::Hostile),
        Case::new("smallest", of(0, 2, false)).value(&[5, 3], Fill::Hostile),
        Case::new("middle", of(1, 9, true)).value(&[2, 9, 3], Fill::Spread),
        Case::new("equal", of(0, 4, true)).integers(&[6], &[5, 9, 5, 9, 1, 5]),
        Case::new("none", of(1, 0, true)).value(&[2, 3], Fill::Spread),
        Case::new("empty", of(1, 2, true)).value(&[0, 3], Fill::Spread),
    ]
}
