//! `CenterCropPad`: axes cropped or padded to given sizes, evenly at both ends.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::strided::{self, Axis},
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, Io, OnnxNode, OpDef, Operator, function_kernel},
    shape::{Condition, Dim, Shape, normalize_axis},
    tensor::{DType, Tensor},
};

/// The middle of the operand, or the operand in the middle of zeros, along each of some axes.
///
/// Of an odd number of steps to drop or add, the last end has one more.
#[derive(Clone, Debug, PartialEq)]
pub struct CenterCropPad {
    /// The axes, all where absent; negative ones count from the end.
    pub axes: Option<Vec<i64>>,
    /// The new size of each of those axes.
    pub sizes: Vec<Dim>,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "CenterCropPad",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(|request| function_kernel::<CenterCropPad>(request, run)),
    gpu: GpuState::Host("no shader yet"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let axes = node.ints("axes")?;
    let sizes = node.take_integers(1)?.ok_or_else(|| Error::invalid_model("the new sizes are missing"))?;
    Ok(Arc::new(CenterCropPad { axes, sizes }))
}

impl CenterCropPad {
    /// The new size of each axis that has one.
    fn changes(&self, rank: usize) -> Result<Vec<Option<&Dim>>> {
        let all: Vec<i64> = (0..rank as i64).collect();
        let axes = self.axes.as_deref().unwrap_or(&all);
        if axes.len() != self.sizes.len() {
            return Err(Error::invalid_model(format!("{} sizes for {} axes", self.sizes.len(), axes.len())));
        }
        let mut changes = vec![None; rank];
        for (&axis, size) in axes.iter().zip(&self.sizes) {
            if changes[normalize_axis(axis, rank)?].replace(size).is_some() {
                return Err(Error::invalid_model(format!("the axes {axes:?} name one twice")));
            }
        }
        Ok(changes)
    }
}

impl Operator for CenterCropPad {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        let mut dims = input.shape.dims().to_vec();
        for (dim, size) in dims.iter_mut().zip(self.changes(input.shape.rank())?) {
            let Some(size) = size else { continue };
            inputs.assume(Condition::at_least("a new size", size, &Dim::from(0)))?;
            *dim = size.clone();
        }
        Ok(vec![Fact::new(input.dtype, Shape::new(dims))])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], size: &Dim) -> Option<Vec<Option<usize>>> {
        let symbol = size.as_symbol()?;
        let changes = self.changes(inputs.fact(0)?.shape.rank()).ok()?;
        let keeps = changes[axes[0]?].is_none() && !changes.iter().flatten().any(|size| size.mentions(symbol));
        keeps.then(|| vec![axes[0]])
    }
}

fn run(_: &CenterCropPad, io: &mut Io<'_>) -> Result<()> {
    let input = io.input(0)?;
    // The empty string is an element like any other.
    let filling = if input.dtype == DType::String { io.strings.intern("") } else { 0 };
    let output = io.output(0)?;
    let size = input.dtype.size();
    if output.bytes.is_empty() {
        return Ok(());
    }
    strided::fill(&filling.to_le_bytes()[..size], output.bytes);
    let (from, to) = (strided::steps(input.shape), strided::steps(output.shape));
    let (mut start, mut place, mut axes) = (0, 0, Vec::new());
    for axis in 0..input.shape.len() {
        let (old, new) = (input.shape[axis], output.shape[axis]);
        start += old.saturating_sub(new) / 2 * from[axis] as usize;
        place += new.saturating_sub(old) / 2 * to[axis] as usize;
        axes.push(Axis { count: old.min(new), from: from[axis], to: to[axis] });
    }
    strided::copy(size, axes, input.bytes, start, output.bytes, place);
    Ok(())
}

fn cases() -> Vec<Case> {
    let of = |axes: Option<&[i64]>, sizes: &[usize]| CenterCropPad {
        axes: axes.map(<[i64]>::to_vec),
        sizes: sizes.iter().copied().map(Dim::from).collect(),
    };
    let flags = Tensor::from_bools([3], &[true, false, true]).expect("three flags");
    vec![
        Case::new("crop", of(None, &[3, 4])).value(&[6, 9], Fill::Hostile),
        Case::new("pad", of(None, &[6, 9])).value(&[3, 4], Fill::Hostile),
        Case::new("both", of(Some(&[-1, 1]), &[6, 3])).value(&[2, 6, 3], Fill::Spread),
        Case::new("booleans", of(None, &[6])).tensor(flags),
        Case::new("integers", of(None, &[2])).integers(&[5], &[1, 2, 3, 4, 5]),
        Case::new("scalar", of(None, &[])).value(&[], Fill::Spread),
        Case::new("none left", of(None, &[0, 4])).value(&[3, 4], Fill::Spread),
        Case::new("padded from none", of(Some(&[1]), &[4])).value(&[3, 0], Fill::Spread),
    ]
}
