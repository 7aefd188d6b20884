//! `Pad`: elements added at the ends of axes.

use std::{ops::Range, sync::Arc};

use half::{bf16, f16};
use smallvec::SmallVec;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::strided::{self, Axis},
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::tracked,
    shape::{Condition, Dim, Shape, normalize_axis},
    tensor::{DType, Tensor, View, ViewMut},
};

/// The values of the added elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PadMode {
    /// A given value.
    Constant,
    /// The elements mirrored at the first and last one, without repeating those.
    Reflect,
    /// The first or last element.
    Edge,
    /// The elements of the other end, wrapped around.
    Wrap,
}

/// The operand with elements added or, where a count is negative, removed at the ends of axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Pad {
    /// The values of the added elements.
    pub mode: PadMode,
    /// The number of elements added before each axis.
    pub before: Vec<Dim>,
    /// The number of elements added after each axis.
    pub behind: Vec<Dim>,
    /// The value of [`PadMode::Constant`], one element of the operand's type; zero where it is
    /// absent.
    pub value: Option<Arc<Tensor>>,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "Pad",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("pad"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let mode = match node.string("mode")?.as_deref() {
        None | Some("constant") => PadMode::Constant,
        Some("reflect") => PadMode::Reflect,
        Some("edge") => PadMode::Edge,
        Some("wrap") => PadMode::Wrap,
        Some(other) => return Err(Error::unsupported(format!("the padding mode `{other}`"))),
    };
    let axes = node.take_numbers(3)?;
    // Up to opset 10 the value is a float attribute, and only floats are padded.
    let dtype = node.inputs().required(0)?.dtype;
    let mut value = node.float("value")?.map(|value| pad_value(value, dtype).map(Arc::new)).transpose()?;
    value = value.or(node.take_constant(2)?).filter(|value| !value.is_empty());
    // Opset 1 has another name.
    let listed = if node.opset() < 2 { node.ints("paddings")? } else { node.ints("pads")? };
    let pads = match listed {
        Some(pads) => pads.into_iter().map(Dim::number).collect(),
        None => node.take_integers(1)?.ok_or_else(|| Error::invalid_model("`pads` is missing"))?,
    };
    let rank = node.inputs().required(0)?.shape.rank();
    let axes = axes.unwrap_or_else(|| (0..rank as i64).collect());
    if pads.len() != 2 * axes.len() {
        return Err(Error::invalid_model(format!("{} pads for {} axes", pads.len(), axes.len())));
    }
    let mut before = vec![Dim::from(0); rank];
    let mut behind = before.clone();
    for (position, axis) in axes.iter().enumerate() {
        let axis = normalize_axis(*axis, rank)?;
        before[axis] = pads[position].clone();
        behind[axis] = pads[position + axes.len()].clone();
    }
    Ok(Arc::new(Pad { mode, before, behind, value }))
}

/// The attribute in the type of the operand.
fn pad_value(value: f32, dtype: DType) -> Result<Tensor> {
    match dtype {
        DType::F32 => Ok(Tensor::scalar(value)),
        DType::F64 => Ok(Tensor::scalar(f64::from(value))),
        DType::F16 => Ok(Tensor::scalar(f16::from_f32(value))),
        DType::BF16 => Ok(Tensor::scalar(bf16::from_f32(value))),
        _ => Err(Error::invalid_model(format!("elements of {dtype} padded with the number {value}"))),
    }
}

impl Pad {
    fn run(&self, eval: impl Fn(&Dim) -> Result<i64>, views: &[View<'_>], output: &mut ViewMut<'_>) -> Result<()> {
        let input = views[0];
        let before: SmallVec<[i64; 8]> = self.before.iter().map(eval).collect::<Result<_>>()?;
        if output.bytes.is_empty() {
            return Ok(());
        }
        if self.mode == PadMode::Constant {
            let zero = [0; 8];
            strided::fill(views.get(1).map_or(&zero[..input.dtype.size()], |value| value.bytes), output.bytes);
            inside(input, &before, output);
            return Ok(());
        }
        if let Some(axis) = input.shape.iter().position(|&size| size == 0) {
            return Err(Error::invalid_input(format!("axis {axis} is empty and has nothing to be padded with")));
        }
        let (from, to) = (strided::steps(input.shape), strided::steps(output.shape));
        let walk = Walk { mode: self.mode, size: input.dtype.size(), input, before: &before, from: &from, to: &to };
        walk.axis(0, 0, output.shape, output.bytes, 0);
        Ok(())
    }
}

/// Copies the part of the operand that the result keeps.
fn inside(input: View<'_>, before: &[i64], output: &mut ViewMut<'_>) {
    let (from, to) = (strided::steps(input.shape), strided::steps(output.shape));
    let (mut start, mut place) = (0, 0);
    let mut axes: SmallVec<[Axis; 8]> = SmallVec::new();
    for (axis, &before) in before.iter().enumerate() {
        let range = kept(input.shape[axis], output.shape[axis], before);
        start += range.start * from[axis] as usize;
        place += (range.start as i64 + before).max(0) as usize * to[axis] as usize;
        axes.push(Axis { count: range.len(), from: from[axis], to: to[axis] });
    }
    strided::copy(input.dtype.size(), axes, input.bytes, start, output.bytes, place);
}

/// The elements of an axis that the result keeps.
fn kept(size: usize, result: usize, before: i64) -> Range<usize> {
    let start = (-before).clamp(0, size as i64) as usize;
    let end = (result as i64 - before).clamp(start as i64, size as i64) as usize;
    start..end
}

struct Walk<'a> {
    mode: PadMode,
    size: usize,
    input: View<'a>,
    before: &'a [i64],
    from: &'a [isize],
    to: &'a [isize],
}

impl Walk<'_> {
    /// The element at `place` of a non-empty axis of that size.
    fn source(&self, place: i64, size: usize) -> usize {
        let size = size as i64;
        let at = match self.mode {
            PadMode::Edge => place.clamp(0, size - 1),
            PadMode::Wrap => place.rem_euclid(size),
            _ => {
                let period = (2 * (size - 1)).max(1);
                let at = place.rem_euclid(period);
                if at < size { at } else { period - at }
            }
        };
        at as usize
    }

    fn axis(&self, axis: usize, start: usize, shape: &[usize], output: &mut [u8], place: usize) {
        if axis == shape.len() {
            strided::copy(self.size, [], self.input.bytes, start, output, place);
            return;
        }
        for index in 0..shape[axis] {
            let source = self.source(index as i64 - self.before[axis], self.input.shape[axis]);
            let start = start + source * self.from[axis] as usize;
            self.axis(axis + 1, start, shape, output, place + index * self.to[axis] as usize);
        }
    }
}

impl Operator for Pad {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        if [self.before.len(), self.behind.len()] != [input.shape.rank(); 2] {
            return Err(Error::invalid_model(format!("pads of {} axes for {input}", self.before.len())));
        }
        if let Some(value) = self.value.as_ref().filter(|value| value.len() != 1 || value.dtype() != input.dtype) {
            return Err(Error::invalid_model(format!("{input} cannot be padded with {value:?}")));
        }
        let pads = self.before.iter().zip(&self.behind);
        let shape: Shape =
            input.shape.dims().iter().zip(pads).map(|(dim, (before, behind))| &(dim + before) + behind).collect();
        for dim in shape.dims() {
            inputs.assume(Condition::at_least("a padded axis", dim, &Dim::from(0)))?;
        }
        let value = match self.value.as_deref().map(Tensor::to_i64) {
            None => Some(vec![Dim::from(0)]),
            Some(value) => value.ok().map(|value| value.into_iter().map(Dim::number).collect()),
        };
        let value = Fact::new(input.dtype, Shape::scalar()).with_elements(value);
        let number = |dim: &Dim| dim.as_fixed().ok_or_else(|| Error::unsupported("symbolic pads"));
        let elements = tracked::moved(&[input, &value], &shape, |views, output| self.run(number, views, output));
        Ok(vec![Fact::new(input.dtype, shape).with_elements(elements)])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], size: &Dim) -> Option<Vec<Option<usize>>> {
        let (own, symbol) = (axes[0]?, size.as_symbol()?);
        let untouched = self.before[own].as_fixed() == Some(0) && self.behind[own].as_fixed() == Some(0);
        let depends = self.before.iter().chain(&self.behind).any(|dim| dim.mentions(symbol));
        (untouched && !depends).then(|| vec![Some(own)])
    }
}

struct Kernel(Pad);

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel(request.op::<Pad>()?.clone())))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let (input, bindings) = (io.input(0)?, io.bindings);
        let output = io.output(0)?;
        let eval = |dim: &Dim| dim.eval(bindings);
        match &self.0.value {
            Some(value) => {
                let value = View { dtype: value.dtype(), shape: &[], bytes: value.bytes() };
                self.0.run(eval, &[input, value], output)
            }
            None => self.0.run(eval, &[input], output),
        }
    }
}

fn cases() -> Vec<Case> {
    let dims = |pads: &[i64]| pads.iter().copied().map(Dim::number).collect();
    let of =
        |mode, before: &[i64], behind: &[i64]| Pad { mode, before: dims(before), behind: dims(behind), value: None };
    let with = |before: &[i64], behind: &[i64], value: Tensor| Pad {
        value: Some(Arc::new(value)),
        ..of(PadMode::Constant, before, behind)
    };
    vec![
        Case::new("zeros", of(PadMode::Constant, &[0, 1, 2], &[0, 3, 0])).value(&[2, 3, 4], Fill::Hostile),
        Case::new("value", with(&[1, 0], &[0, 2], Tensor::scalar(-3.5f32))).value(&[3, 5], Fill::Spread),
        Case::new("taken away", with(&[-1, 2], &[-1, -3], Tensor::scalar(9f32))).value(&[4, 5], Fill::Spread),
        Case::new("all taken away", of(PadMode::Constant, &[-9, 0], &[9, 0])).value(&[4, 2], Fill::Spread),
        Case::new("from nothing", with(&[2, 0], &[1, 1], Tensor::scalar(7f32))).value(&[0, 2], Fill::Spread),
        Case::new("reflect", of(PadMode::Reflect, &[0, 2], &[1, 3])).value(&[3, 5], Fill::Spread),
        Case::new("reflect twice", of(PadMode::Reflect, &[5], &[6])).value(&[3], Fill::Spread),
        Case::new("reflect one", of(PadMode::Reflect, &[2], &[1])).value(&[1], Fill::Spread),
        Case::new("edge", of(PadMode::Edge, &[1, 2], &[3, -1])).value(&[2, 4], Fill::Hostile),
        Case::new("wrap", of(PadMode::Wrap, &[4, 0], &[1, 5])).value(&[3, 2], Fill::Spread),
        Case::new("integers", with(&[1], &[1], Tensor::scalar(-1i64))).integers(&[2], &[5, 6]),
        Case::new("bytes", of(PadMode::Edge, &[1], &[1])).tensor(Tensor::zeros(DType::U8, [2]).expect("two bytes")),
    ]
}
