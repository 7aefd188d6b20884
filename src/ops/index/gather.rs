//! `Gather`: rows selected by index.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::{
        index::{Indices, check_index_type},
        tracked,
    },
    shape::{Dim, Shape},
    tensor::{View, ViewMut},
};

/// What an index out of range reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfRange {
    /// Nothing: the run fails. Negative indices count from the end, as in ONNX.
    Error,
    /// That row; negative indices are out of range too.
    Row(usize),
}

/// Operand 0 with `axis` replaced by the axes of operand 1, the indices into it.
#[derive(Clone, Debug, PartialEq)]
pub struct Gather {
    /// The indexed axis; negative counts from the end.
    pub axis: i64,
    /// What an index out of range reads.
    pub outside: OutOfRange,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "Gather",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("gather"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    Ok(Arc::new(Gather { axis: node.int("axis")?.unwrap_or(0), outside: OutOfRange::Error }))
}

impl Operator for Gather {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(2, 2)?;
        let (data, indices) = (inputs.required(0)?, inputs.required(1)?);
        check_index_type(indices.dtype)?;
        let axis = data.shape.axis(self.axis)?;
        if let (OutOfRange::Row(row), Some(size)) = (self.outside, data.shape[axis].as_fixed())
            && row as i64 >= size
        {
            return Err(Error::invalid_model(format!("row {row} for indices outside, of an axis of size {size}")));
        }
        let dims = data.shape.dims();
        let shape: Shape = dims[..axis].iter().chain(indices.shape.dims()).chain(&dims[axis + 1..]).cloned().collect();
        let elements = tracked::numbers(indices).and_then(|(of, numbers)| {
            tracked::moved(&[data], &shape, |views, output| {
                gather(views[0], tracked::view(&of, &numbers), axis, self.outside, output)
            })
        });
        Ok(vec![Fact::new(data.dtype, shape).with_elements(elements)])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let (data, indices) = (inputs.fact(0)?, inputs.fact(1)?);
        let axis = data.shape.axis(self.axis).ok()?;
        match (axes[0], axes[1]) {
            (None, Some(own)) => Some(vec![Some(axis + own)]),
            (Some(own), None) if own < axis => Some(vec![Some(own)]),
            (Some(own), None) if own > axis => Some(vec![Some(own - 1 + indices.shape.rank())]),
            _ => None,
        }
    }
}

struct Kernel {
    axis: usize,
    outside: OutOfRange,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let op: &Gather = request.op()?;
    Ok(Box::new(Kernel { axis: request.input(0)?.shape.axis(op.axis)?, outside: op.outside }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        gather(io.input(0)?, io.input(1)?, self.axis, self.outside, io.output(0)?)
    }
}

fn gather(data: View<'_>, indices: View<'_>, axis: usize, outside: OutOfRange, to: &mut ViewMut<'_>) -> Result<()> {
    let size = data.shape[axis];
    let indices = Indices::of(indices)?;
    let row = data.shape[axis + 1..].iter().product::<usize>() * data.dtype.size();
    let row_of = |position: usize| match outside {
        OutOfRange::Error => indices.resolve(position, axis, size),
        OutOfRange::Row(row) => {
            let index = usize::try_from(indices.get(position)).unwrap_or(usize::MAX);
            Ok(if index < size { index } else { row })
        }
    };
    if row == 0 {
        return (0..indices.len()).try_for_each(|position| row_of(position).map(drop));
    }
    if indices.len() == 0 || size == 0 {
        return if to.bytes.is_empty() { Ok(()) } else { row_of(0).map(drop) };
    }
    for (from, to) in data.bytes.chunks_exact(size * row).zip(to.bytes.chunks_exact_mut(indices.len() * row)) {
        for (position, to) in to.chunks_exact_mut(row).enumerate() {
            let start = row_of(position)? * row;
            to.copy_from_slice(&from[start..start + row]);
        }
    }
    Ok(())
}

fn cases() -> Vec<Case> {
    let along = |axis| Gather { axis, outside: OutOfRange::Error };
    let else_row = |row| Gather { axis: 0, outside: OutOfRange::Row(row) };
    vec![
        Case::new("rows", along(0)).value(&[7, 5], Fill::Hostile).integers(&[2, 3], &[6, 0, -1, 3, -7, 3]),
        Case::new("middle", along(1)).value(&[2, 4, 3], Fill::Spread).integers(&[5], &[3, 3, 0, -2, 1]),
        Case::new("scalar index", along(-1)).value(&[3, 4], Fill::Spread).integers(&[], &[2]),
        Case::new("wide integers", along(0)).integers(&[3, 1], &[-5, 1 << 40, 7]).integers(&[4], &[2, 1, 0, -3]),
        Case::new("else row 2", else_row(2)).value(&[3, 5], Fill::Spread).integers(&[6], &[0, 1, 2, 3, -1, i64::MIN]),
        Case::new("no index", along(0)).value(&[3, 5], Fill::Spread).integers(&[0], &[]),
        Case::new("empty rows", along(0)).value(&[3, 0], Fill::Spread).integers(&[2], &[1, -1]),
        Case::new("no outer row", along(1)).value(&[0, 3, 2], Fill::Spread).integers(&[2], &[1, -1]),
    ]
}
