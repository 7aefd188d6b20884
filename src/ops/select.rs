//! `Where`: one of two operands, element by element.

use std::sync::Arc;

use bytemuck::Pod;
use smallvec::SmallVec;

use crate::{
    cpu::{CpuKernel, Io, KernelRequest, View, ViewMut, strided},
    error::{Error, Result},
    graph::Fact,
    ops::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, OpDef, Operator, tracked},
    shape::Dim,
    tensor::{DType, Tensor},
};

/// Where operand 0 is true the element of operand 1, elsewhere that of operand 2; all three are broadcast.
#[derive(Clone, Debug, PartialEq)]
pub struct Where;

pub(super) static DEF: OpDef = OpDef {
    name: "Where",
    onnx: Some(|_| Ok(Arc::new(Where))),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Pending,
};

impl Operator for Where {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(3, 3)?;
        let (condition, yes, no) = (inputs.required(0)?, inputs.required(1)?, inputs.required(2)?);
        if condition.dtype != DType::Bool || yes.dtype != no.dtype {
            let message = format!("cannot choose between {yes} and {no} by {condition}");
            return Err(Error::invalid_model(message));
        }
        let shape = condition.shape.broadcast(&yes.shape)?.broadcast(&no.shape)?;
        let elements = tracked::numbers(condition).and_then(|(of, truths)| {
            let truths: Vec<u8> = truths.into_iter().map(|truth| u8::from(truth != 0)).collect();
            let condition = View { dtype: DType::Bool, shape: &of, bytes: &truths };
            tracked::moved(&[yes, no], &shape, |views, output| choose(condition, views[0], views[1], output))
        });
        Ok(vec![Fact::new(yes.dtype, shape).with_elements(elements)])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], size: &Dim) -> Option<Vec<Option<usize>>> {
        broadcast_axis(inputs, axes, size).map(|axis| vec![Some(axis)])
    }
}

/// The items' axis of a result of operands that are broadcast: the same, counted from the end, in every operand that
/// has one, and not an axis of the others.
pub(super) fn broadcast_axis(inputs: &Inputs<'_>, axes: &[Option<usize>], size: &Dim) -> Option<usize> {
    let symbol = size.as_symbol()?;
    let shapes =
        (0..inputs.len()).map(|index| inputs.fact(index).map(|fact| &fact.shape)).collect::<Option<Vec<_>>>()?;
    let rank = shapes.iter().map(|shape| shape.rank()).max()?;
    let mut common = None;
    for (shape, axis) in shapes.iter().zip(axes) {
        let behind = axis.map(|axis| shape.rank() - axis);
        if behind.is_some() && *common.get_or_insert(behind) != behind {
            return None;
        }
        let mentions = |(own, dim): (usize, &Dim)| Some(own) != *axis && dim.mentions(symbol);
        if shape.dims().iter().enumerate().any(mentions) {
            return None;
        }
    }
    Some(rank - common.flatten()?)
}

struct Kernel;

fn kernel(_request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let (condition, yes, no) = (io.input(0)?, io.input(1)?, io.input(2)?);
        choose(condition, yes, no, io.output(0)?)
    }
}

fn choose(condition: View<'_>, yes: View<'_>, no: View<'_>, to: &mut ViewMut<'_>) -> Result<()> {
    let mut axes: SmallVec<[Axis; 8]> = to.shape.iter().map(|&count| Axis { count, steps: [0; 3] }).collect();
    for (operand, shape) in [condition.shape, yes.shape, no.shape].into_iter().enumerate() {
        let added = axes.len() - shape.len();
        for ((axis, &size), step) in axes[added..].iter_mut().zip(shape).zip(strided::steps(shape)) {
            axis.steps[operand] = match size {
                size if size == axis.count => step,
                1 => 0,
                _ => return Err(Error::invalid_input(format!("{shape:?} cannot be broadcast to {:?}", to.shape))),
            };
        }
    }
    if to.bytes.is_empty() {
        return Ok(());
    }
    match to.dtype.size() {
        1 => walk::<u8>(&axes, condition.bytes, [yes.bytes, no.bytes], [0; 3], to.bytes),
        2 => walk::<u16>(&axes, condition.bytes, both(yes, no), [0; 3], bytemuck::cast_slice_mut(to.bytes)),
        4 => walk::<u32>(&axes, condition.bytes, both(yes, no), [0; 3], bytemuck::cast_slice_mut(to.bytes)),
        _ => walk::<u64>(&axes, condition.bytes, both(yes, no), [0; 3], bytemuck::cast_slice_mut(to.bytes)),
    }
    Ok(())
}

fn both<'a, T: Pod>(yes: View<'a>, no: View<'a>) -> [&'a [T]; 2] {
    [bytemuck::cast_slice(yes.bytes), bytemuck::cast_slice(no.bytes)]
}

/// An axis of the result, and the steps along it in the condition and the two operands.
struct Axis {
    count: usize,
    steps: [isize; 3],
}

fn walk<T: Pod>(axes: &[Axis], condition: &[u8], from: [&[T]; 2], mut at: [usize; 3], to: &mut [T]) {
    let Some((axis, rest)) = axes.split_first() else {
        to[0] = if condition[at[0]] != 0 { from[0][at[1]] } else { from[1][at[2]] };
        return;
    };
    let steps = axis.steps.map(|step| step as usize);
    if rest.is_empty() {
        for (index, to) in to.iter_mut().enumerate() {
            let [own, yes, no] = [0, 1, 2].map(|operand| at[operand] + index * steps[operand]);
            *to = if condition[own] != 0 { from[0][yes] } else { from[1][no] };
        }
        return;
    }
    for to in to.chunks_exact_mut(to.len() / axis.count) {
        walk(rest, condition, from, at, to);
        for (at, step) in at.iter_mut().zip(steps) {
            *at += step;
        }
    }
}

fn cases() -> Vec<Case> {
    let truth = |shape: &[usize]| {
        let count = shape.iter().product::<usize>();
        let truths: Vec<bool> = (0..count).map(|index| index * index % 7 < 3).collect();
        Tensor::from_bools(shape, &truths).expect("as many as the shape holds")
    };
    let case = |name: &str, shape: &[usize]| Case::new(name, Where).tensor(truth(shape));
    vec![
        case("same shape", &[5, 7]).value(&[5, 7], Fill::Hostile).value(&[5, 7], Fill::Spread),
        case("mask", &[2, 1, 1, 5]).value(&[], Fill::Spread).value(&[2, 3, 4, 5], Fill::Hostile),
        case("all broadcast", &[3, 1]).value(&[1, 4], Fill::Spread).value(&[2, 1, 1], Fill::Spread),
        case("scalars", &[]).value(&[], Fill::Spread).value(&[], Fill::Spread),
        case("integers", &[3]).integers(&[3], &[1, 2, 3]).integers(&[1], &[-9]),
        case("bools", &[4]).tensor(truth(&[4])).tensor(truth(&[1])),
        case("empty", &[0, 3]).value(&[1, 3], Fill::Spread).value(&[], Fill::Spread),
    ]
}
