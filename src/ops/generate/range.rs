//! `Range`: equally spaced numbers.

use std::sync::Arc;

use half::{bf16, f16};

use crate::{
    error::{Error, Result},
    graph::{Fact, MAX_TRACKED},
    op::{Accuracy, Case, CpuKernel, CpuState, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::generate::constant::Constant,
    shape::{Dim, Shape},
    tensor::{DType, Element, Tensor},
};

/// The most numbers that are computed at load.
const MAX_NUMBERS: f64 = (1 << 24) as f64;

/// Integers from `start` up to `limit`, exclusive.
///
/// ONNX's `Range` of floating-point numbers is decoded as a [`Constant`].
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    /// The first.
    pub start: Dim,
    /// The end, exclusive.
    pub limit: Dim,
    /// The step; not 0.
    pub step: i64,
    /// The result's type: i64, i32 or i16.
    pub dtype: DType,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "Range",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("fill"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let dtype = node.inputs().required(0)?.dtype;
    if let Some(stash) = node.int("stash_type")?
        && stash != 1
        && matches!(dtype, DType::F16 | DType::BF16)
    {
        return Err(Error::unsupported(format!("`stash_type` is {stash}, expected 1 (f32)")));
    }
    if dtype.is_float() {
        let (delta, limit, start) = (node.take_constant(2)?, node.take_constant(1)?, node.take_constant(0)?);
        return match (start, limit, delta) {
            (Some(start), Some(limit), Some(delta)) => {
                Ok(Arc::new(Constant { value: Arc::new(floats(&start, &limit, &delta)?) }))
            }
            _ => Err(Error::invalid_model("`start`, `limit` or `delta` is missing")),
        };
    }
    let one = |all: Option<Vec<Dim>>| match all.map(<[Dim; 1]>::try_from) {
        Some(Ok([one])) => Ok(one),
        _ => Err(Error::invalid_model("`start`, `limit` and `delta` must be one number each")),
    };
    let step = one(node.take_integers(2)?)?;
    let step = step.as_fixed().ok_or_else(|| Error::unsupported("a `delta` that depends on an input's shape"))?;
    let limit = one(node.take_integers(1)?)?;
    let start = one(node.take_integers(0)?)?;
    Ok(Arc::new(Range { start, limit, step, dtype }))
}

fn floats(start: &Tensor, limit: &Tensor, delta: &Tensor) -> Result<Tensor> {
    let one = |tensor: &Tensor| match tensor.dtype() {
        DType::F32 => tensor.as_slice::<f32>().ok().and_then(|all| all.first()).map(|&value| f64::from(value)),
        DType::F64 => tensor.as_slice::<f64>().ok().and_then(|all| all.first().copied()),
        DType::F16 => tensor.as_slice::<f16>().ok().and_then(|all| all.first()).map(|&value| f64::from(value)),
        DType::BF16 => tensor.as_slice::<bf16>().ok().and_then(|all| all.first()).map(|&value| f64::from(value)),
        _ => None,
    };
    let (Some(start_at), Some(limit), Some(delta)) = (one(start), one(limit), one(delta)) else {
        return Err(Error::unsupported("a Range of neither f16, bf16, f32, f64, i16, i32 nor i64"));
    };
    let count = ((limit - start_at) / delta).ceil();
    if count.is_nan() || count > MAX_NUMBERS {
        return Err(Error::limit(format!("a range from {start_at} to {limit} by {delta}")));
    }
    let values = (0..count.max(0.0) as usize).map(|index| start_at + index as f64 * delta);
    match start.dtype() {
        DType::F64 => list(values),
        DType::F16 => list(values.map(f16::from_f64)),
        DType::BF16 => list(values.map(bf16::from_f64)),
        _ => list(values.map(|value| value as f32)),
    }
}

fn list<T: Element>(values: impl Iterator<Item = T>) -> Result<Tensor> {
    let values: Vec<T> = values.collect();
    Tensor::new([values.len()], &values)
}

impl Range {
    fn count(&self) -> Dim {
        let (from, to, step) = match self.step {
            step if step < 0 => (&self.limit, &self.start, step.saturating_neg()),
            step => (&self.start, &self.limit, step),
        };
        Dim::max(&(to - from).ceil_div(&Dim::number(step)), &Dim::from(0))
    }
}

impl Operator for Range {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(0, 0)?;
        if self.step == 0 {
            return Err(Error::invalid_model("`delta` is 0"));
        }
        if !matches!(self.dtype, DType::I16 | DType::I32 | DType::I64) {
            return Err(Error::unsupported(format!("a range of {}", self.dtype)));
        }
        let count = self.count();
        let tracked = count.as_fixed().filter(|&count| count <= MAX_TRACKED as i64);
        let element = |index| &self.start + &(&Dim::number(index) * &Dim::number(self.step));
        let elements = tracked.map(|count| (0..count).map(element).collect());
        Ok(vec![Fact::new(self.dtype, Shape::new([count])).with_elements(elements)])
    }
}

struct Kernel(Range);

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel(request.op::<Range>()?.clone())))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let start = io.eval(&self.0.start)?;
        let number = |index: usize| start.wrapping_add((index as i64).wrapping_mul(self.0.step));
        let output = io.output(0)?;
        match self.0.dtype {
            DType::I16 => output.slice()?.iter_mut().enumerate().for_each(|(index, to)| *to = number(index) as i16),
            DType::I32 => output.slice()?.iter_mut().enumerate().for_each(|(index, to)| *to = number(index) as i32),
            _ => output.slice()?.iter_mut().enumerate().for_each(|(index, to)| *to = number(index)),
        }
        Ok(())
    }
}

fn cases() -> Vec<Case> {
    let of = |start, limit, step, dtype| Range { start: Dim::number(start), limit: Dim::number(limit), step, dtype };
    vec![
        Case::new("up", of(-2, 9, 3, DType::I64)),
        Case::new("down", of(5, -1, -1, DType::I32)),
        Case::new("none", of(5, 5, 1, DType::I64)),
        Case::new("wrong way", of(0, 5, -1, DType::I16)),
        Case::new("more than is tracked", of(0, 3001, 2, DType::I32)),
    ]
}
