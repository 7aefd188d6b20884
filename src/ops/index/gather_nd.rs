//! `GatherND`: slices selected by tuples of indices.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::{
        index::{self, Indices, check_index_type},
        tracked,
    },
    shape::{Dim, Shape},
};

/// For each index tuple along operand 1's last axis, the slice of operand 0.
#[derive(Clone, Debug, PartialEq)]
pub struct GatherNd {
    /// The number of leading axes that both operands share, indexed item by item.
    pub batch_dims: usize,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "GatherND",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("gather_nd"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let batch_dims = usize::try_from(node.int("batch_dims")?.unwrap_or(0));
    Ok(Arc::new(GatherNd { batch_dims: batch_dims.map_err(|_| Error::invalid_model("`batch_dims` is negative"))? }))
}

/// The number of indices in a tuple, if the shapes of data and indices fit together.
pub(crate) fn tuple_len(data: &Fact, indices: &Fact, batch_dims: usize) -> Result<usize> {
    check_index_type(indices.dtype)?;
    let misfit = || Error::invalid_model(format!("tuples of indices {indices} into {data}"));
    let last = indices.shape.dims().last().ok_or_else(misfit)?;
    let len = last.as_fixed().ok_or_else(|| Error::unsupported("tuples of indices of a symbolic length"))?;
    let len = usize::try_from(len).map_err(|_| misfit())?;
    let fits = batch_dims < indices.shape.rank() && batch_dims.saturating_add(len) <= data.shape.rank();
    if fits { Ok(len) } else { Err(misfit()) }
}

impl Operator for GatherNd {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(2, 2)?;
        let (data, indices) = (inputs.required(0)?, inputs.required(1)?);
        let len = tuple_len(data, indices, self.batch_dims)?;
        let outer = &indices.shape.dims()[..indices.shape.rank() - 1];
        let shape: Shape = outer.iter().chain(&data.shape.dims()[self.batch_dims + len..]).cloned().collect();
        let elements = tracked::indexed(&Kernel { batch_dims: self.batch_dims, len }, &[data], indices, &shape);
        Ok(vec![Fact::new(data.dtype, shape).with_elements(elements)])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let last = inputs.fact(1)?.shape.rank() - 1;
        match (axes[0], axes[1]) {
            (None, Some(own)) if self.batch_dims == 0 && own < last => Some(vec![Some(own)]),
            (Some(own), Some(other)) if own == other && own < self.batch_dims => Some(vec![Some(own)]),
            _ => None,
        }
    }
}

struct Kernel {
    batch_dims: usize,
    len: usize,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let batch_dims = request.op::<GatherNd>()?.batch_dims;
    let len = tuple_len(request.input(0)?, request.input(1)?, batch_dims)?;
    Ok(Box::new(Kernel { batch_dims, len }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let (data, indices) = (io.input(0)?, io.input(1)?);
        let output = io.output(0)?;
        let (same, other) = (&data.shape[..self.batch_dims], &indices.shape[..self.batch_dims]);
        if same != other {
            return Err(Error::invalid_input(format!("first axes {same:?} of the data and {other:?} of the indices")));
        }
        let batches: usize = same.iter().product();
        let outer = &indices.shape[..indices.shape.len() - 1];
        let tuples = outer.iter().product::<usize>() / batches.max(1);
        let picked = &data.shape[self.batch_dims..self.batch_dims + self.len];
        let row = data.shape[self.batch_dims + self.len..].iter().product::<usize>() * data.dtype.size();
        let indices = Indices::of(indices)?;
        for batch in 0..batches {
            for tuple in batch * tuples..(batch + 1) * tuples {
                let range = tuple * self.len..(tuple + 1) * self.len;
                let at = index::locate(&indices, range, data.shape, self.batch_dims)?;
                let start = (batch * picked.iter().product::<usize>() + at) * row;
                output.bytes[tuple * row..(tuple + 1) * row].copy_from_slice(&data.bytes[start..start + row]);
            }
        }
        Ok(())
    }
}

fn cases() -> Vec<Case> {
    let batch = |batch_dims| GatherNd { batch_dims };
    vec![
        Case::new("elements", batch(0)).value(&[3, 4], Fill::Hostile).integers(&[3, 2], &[0, 0, -1, 3, 2, -4]),
        Case::new("rows", batch(0)).value(&[3, 4, 2], Fill::Spread).integers(&[2, 1, 1], &[2, -3]),
        Case::new("batches", batch(1)).value(&[2, 3, 2], Fill::Spread).integers(&[2, 2, 1], &[0, 2, -1, 1]),
        Case::new("whole", batch(0)).value(&[2, 2], Fill::Spread).integers(&[2, 0], &[]),
        Case::new("empty", batch(0)).value(&[3, 4], Fill::Spread).integers(&[0, 2], &[]),
    ]
}
