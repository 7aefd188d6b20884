//! `Where`: one of two operands, element by element.

use std::sync::Arc;

use bytemuck::Pod;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::broadcast::Broadcast,
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OpDef, Operator},
    ops::{
        pointwise::broadcast::{broadcast_batch_axes, broadcast_shape},
        tracked,
    },
    shape::Dim,
    tensor::{DType, Tensor, View, ViewMut},
};

/// The elements of operand 1 where operand 0 is true, elsewhere those of operand 2.
///
/// All three broadcast.
#[derive(Clone, Debug, PartialEq)]
pub struct Where;

pub(crate) static DEF: OpDef = OpDef {
    name: "Where",
    onnx: Some(|_| Ok(Arc::new(Where))),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("pointwise"),
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
        let shape = broadcast_shape(inputs)?;
        let elements = tracked::numbers(condition).and_then(|(of, truths)| {
            let truths: Vec<u8> = truths.into_iter().map(|truth| u8::from(truth != 0)).collect();
            let condition = View { dtype: DType::Bool, shape: &of, bytes: &truths };
            tracked::moved(&[yes, no], &shape, |views, output| choose(condition, views[0], views[1], output))
        });
        Ok(vec![Fact::new(yes.dtype, shape).with_elements(elements)])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], size: &Dim) -> Option<Vec<Option<usize>>> {
        broadcast_batch_axes(inputs, axes, size)
    }
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
    let walk = Broadcast::new(to.shape, &[condition.shape, yes.shape, no.shape])?;
    match to.dtype.size() {
        1 => pick::<u8>(&walk, condition, yes, no, to),
        2 => pick::<u16>(&walk, condition, yes, no, to),
        4 => pick::<u32>(&walk, condition, yes, no, to),
        _ => pick::<u64>(&walk, condition, yes, no, to),
    }
    Ok(())
}

fn pick<T: Pod>(walk: &Broadcast, condition: View<'_>, yes: View<'_>, no: View<'_>, to: &mut ViewMut<'_>) {
    let (yes, no): (&[T], &[T]) = (bytemuck::cast_slice(yes.bytes), bytemuck::cast_slice(no.bytes));
    let output: &mut [T] = bytemuck::cast_slice_mut(to.bytes);
    let steps = [0, 1, 2].map(|operand| usize::from(walk.moves(operand)));
    walk.for_each_run(|position, starts| {
        for (index, to) in output[position..position + walk.run_len()].iter_mut().enumerate() {
            let [own, yes_at, no_at] = [0, 1, 2].map(|operand| starts[operand] + index * steps[operand]);
            *to = if condition.bytes[own] != 0 { yes[yes_at] } else { no[no_at] };
        }
    });
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
