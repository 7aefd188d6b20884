//! `ScatterND`: parts of the data replaced or joined at positions given by tuples.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OpDef, Operator},
    ops::{
        index::{
            self, Indices, gather_nd,
            scatter::{Join, operands, same_shape, scatter},
        },
        tracked,
    },
};

/// Operand 0 with slices replaced by operand 2 at the index tuples of operand 1.
#[derive(Clone, Debug, PartialEq)]
pub struct ScatterNd {
    /// How an update is combined with the element.
    pub join: Join,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "ScatterND",
    onnx: Some(|node| Ok(Arc::new(ScatterNd { join: Join::decode(node)? }))),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("scatter"),
};

impl Operator for ScatterNd {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let [data, indices, updates] = operands(inputs, self.join)?;
        let len = gather_nd::tuple_len(data, indices, 0)?;
        if updates.shape.rank() != indices.shape.rank() - 1 + data.shape.rank() - len {
            return Err(Error::invalid_model(format!("indices {indices} and updates {updates} for {data}")));
        }
        let moves = self.join == Join::Replace;
        let elements =
            moves.then(|| tracked::indexed(&Kernel { join: self.join, len }, &[data, updates], indices, &data.shape));
        Ok(vec![Fact::new(data.dtype, data.shape.clone()).with_elements(elements.flatten())])
    }
}

struct Kernel {
    join: Join,
    len: usize,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let len = gather_nd::tuple_len(request.input(0)?, request.input(1)?, 0)?;
    Ok(Box::new(Kernel { join: request.op::<ScatterNd>()?.join, len }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let (data, indices, updates) = (io.input(0)?.shape, io.input(1)?.shape, io.input(2)?.shape);
        let (outer, len) = (&indices[..indices.len() - 1], self.len);
        same_shape(outer, &updates[..outer.len()])?;
        same_shape(&data[len..], &updates[outer.len()..])?;
        let (tuples, row): (usize, usize) = (outer.iter().product(), data[len..].iter().product());
        let places = |data: &[usize], indices: &Indices<'_>, visit: &mut dyn FnMut(usize, usize)| {
            for tuple in 0..tuples {
                let at = index::locate(indices, tuple * len..(tuple + 1) * len, data, 0)?;
                (0..row).for_each(|element| visit(tuple * row + element, at * row + element));
            }
            Ok(())
        };
        scatter(io, self.join, places)
    }
}

fn cases() -> Vec<Case> {
    let of = |join| ScatterNd { join };
    vec![
        Case::new("elements", of(Join::Replace))
            .value(&[3, 4], Fill::Hostile)
            .integers(&[2, 2], &[0, -1, 2, 0])
            .value(&[2], Fill::Spread),
        Case::new("rows", of(Join::Add))
            .value(&[3, 4], Fill::Spread)
            .integers(&[3, 1], &[1, -1, 1])
            .value(&[3, 4], Fill::Spread),
        Case::new("nothing", of(Join::Max)).value(&[3], Fill::Spread).integers(&[0, 1], &[]).value(&[0], Fill::Spread),
    ]
}
