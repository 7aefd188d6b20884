//! `OneHot`: a row for each index, with one element on.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{
        number::{Number, with_number},
        strided,
    },
    op::{Accuracy, Case, CpuKernel, CpuState, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::index::{check_number, not_numbers},
    shape::{Dim, Shape, normalize_axis},
    tensor::{DType, Tensor, View},
};

/// Operand 0 with a further axis, along which the element at the index is on.
///
/// Operand 1 is the axis' length; operand 2 holds the off and the on value. An index out of range
/// turns no element on; negative ones count from the end.
#[derive(Clone, Debug, PartialEq)]
pub struct OneHot {
    /// The position of the new axis in the result; negative counts from the end.
    pub axis: i64,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "OneHot",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("fill"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    Ok(Arc::new(OneHot { axis: node.int("axis")?.unwrap_or(-1) }))
}

/// The length of the new axis, which must be known at load.
fn depth(inputs: &Inputs<'_>) -> Result<Dim> {
    let number = inputs.constant(1).and_then(|tensor| match tensor.dtype() {
        DType::F32 => tensor.as_slice::<f32>().ok()?.first().map(|&depth| depth as i64),
        DType::F64 => tensor.as_slice::<f64>().ok()?.first().map(|&depth| depth as i64),
        _ => None,
    });
    let depth = number.map(Dim::number).or_else(|| inputs.integers(1)?.first().cloned());
    let depth = depth.ok_or_else(|| Error::unsupported("a depth that depends on data"))?;
    match depth.as_fixed() {
        Some(number) if number < 0 => Err(Error::invalid_model(format!("the depth {number}"))),
        _ => Ok(depth),
    }
}

impl Operator for OneHot {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(3, 3)?;
        let (indices, values) = (inputs.required(0)?, inputs.required(2)?);
        check_number(indices.dtype)?;
        inputs
            .equal("the list of the values of off and on", &Dim::from(2), &values.shape.elements())
            .map_err(|_| Error::invalid_model(format!("the values of off and on are {values}")))?;
        let mut dims = indices.shape.dims().to_vec();
        dims.insert(normalize_axis(self.axis, dims.len() + 1)?, depth(inputs)?);
        Ok(vec![Fact::new(values.dtype, Shape::new(dims))])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], size: &Dim) -> Option<Vec<Option<usize>>> {
        let axis = normalize_axis(self.axis, inputs.fact(0)?.shape.rank() + 1).ok()?;
        let (own, symbol) = (axes[0]?, size.as_symbol()?);
        let apart = axes[2].is_none() && !depth(inputs).ok()?.mentions(symbol);
        apart.then(|| vec![Some(own + usize::from(own >= axis))])
    }
}

struct Kernel {
    axis: usize,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let axis = normalize_axis(request.op::<OneHot>()?.axis, request.input(0)?.shape.rank() + 1)?;
    Ok(Box::new(Kernel { axis }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let (indices, values) = (io.input(0)?, io.input(2)?);
        let output = io.output(0)?;
        let size = values.dtype.size();
        let (off, on) = values.bytes.split_at(size);
        strided::fill(off, output.bytes);
        let (depth, inner) = (output.shape[self.axis], output.shape[self.axis + 1..].iter().product::<usize>());
        each_index(indices, |position, index| {
            let index = if index < 0 { index.saturating_add(depth as i64) } else { index };
            if (0..depth as i64).contains(&index) {
                let place = ((position / inner) * depth + index as usize) * inner + position % inner;
                output.bytes[place * size..(place + 1) * size].copy_from_slice(on);
            }
        })
    }
}

/// Indices of any numeric type, truncated.
fn each_index(indices: View<'_>, mut visit: impl FnMut(usize, i64)) -> Result<()> {
    with_number!(indices.dtype, T => {
        for (position, &index) in indices.slice::<T>()?.iter().enumerate() {
            visit(position, index.wide() as i64);
        }
        Ok(())
    }, else Err(not_numbers()))
}

fn cases() -> Vec<Case> {
    let along = |axis| OneHot { axis };
    let depth = |case: Case, depth: i64| case.constant_tensor(Tensor::scalar(depth));
    let values = |case: Case| case.tensor(Tensor::new([2], &[-1.5f32, 2.0]).expect("two values"));
    let floats = Tensor::new([3], &[0f32, 2.7, -1.0]).expect("three numbers");
    vec![
        values(depth(Case::new("last", along(-1)).integers(&[2, 3], &[0, 4, -1, 5, -5, -6]), 5)),
        values(depth(Case::new("first", along(0)).integers(&[4], &[3, 1, 1, i64::MIN]), 4)),
        values(depth(Case::new("middle", along(1)).integers(&[2, 2], &[0, 1, 2, i64::MAX]), 3)),
        values(depth(Case::new("numbers", along(-1)).tensor(floats), 3)),
        values(depth(Case::new("no depth", along(-1)).integers(&[2], &[0, 1]), 0)),
        values(depth(Case::new("empty", along(-1)).integers(&[0], &[]), 4)),
    ]
}
