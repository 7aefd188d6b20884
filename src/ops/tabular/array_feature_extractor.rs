//! `ArrayFeatureExtractor`: elements of the last axis by index, the same for all rows.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OpDef, Operator},
    ops::{index::Indices, tabular::ON_THE_HOST},
    shape::{Dim, Shape},
    tensor::DType,
};

/// The elements of operand 0 along its last axis that operand 1 names; of a vector, as one row.
#[derive(Clone, Debug, PartialEq)]
pub struct ArrayFeatureExtractor;

pub(crate) static DEF: OpDef = OpDef {
    name: "ai.onnx.ml.ArrayFeatureExtractor",
    onnx: Some(|_| Ok(Arc::new(ArrayFeatureExtractor))),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host(ON_THE_HOST),
};

impl Operator for ArrayFeatureExtractor {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(2, 2)?;
        let (data, indices) = (inputs.required(0)?, inputs.required(1)?);
        if indices.dtype != DType::I64 {
            return Err(Error::invalid_model(format!("indices must be i64, found {}", indices.dtype)));
        }
        let count = indices.shape.elements();
        let shape = match data.shape.dims() {
            [] => return Err(Error::invalid_model("a scalar has no features")),
            [_] => Shape::new([Dim::from(1), count]),
            [outer @ .., _] => outer.iter().cloned().chain([count]).collect(),
        };
        Ok(vec![Fact::new(data.dtype, shape)])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let rank = inputs.fact(0)?.shape.rank();
        match (axes[0], axes[1]) {
            (Some(axis), None) if axis + 1 < rank => Some(vec![Some(axis)]),
            // Labels by the index of each row.
            (None, Some(_)) if inputs.fact(1)?.shape.rank() == 1 => Some(vec![Some(rank.max(2) - 1)]),
            _ => None,
        }
    }
}

struct Kernel;

fn kernel(_request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let (data, indices) = (io.input(0)?, Indices::of(io.input(1)?)?);
        let output = io.output(0)?;
        let (size, axis) = (data.shape.last().copied().unwrap_or(0), data.shape.len().saturating_sub(1));
        let (element, count) = (data.dtype.size(), indices.len());
        let places = (0..count).map(|position| indices.resolve(position, axis, size)).collect::<Result<Vec<_>>>()?;
        let (from, to) = (size * element, count * element);
        for (from, to) in data.bytes.chunks_exact(from.max(1)).zip(output.bytes.chunks_exact_mut(to.max(1))) {
            for (place, to) in places.iter().zip(to.chunks_exact_mut(element)) {
                to.copy_from_slice(&from[place * element..(place + 1) * element]);
            }
        }
        Ok(())
    }
}

fn cases() -> Vec<Case> {
    let case = |name: &str| Case::new(name, ArrayFeatureExtractor);
    vec![
        case("columns").value(&[5, 4], Fill::Hostile).integers(&[1, 3], &[3, 0, 3]),
        case("vector").value(&[6], Fill::Spread).integers(&[2], &[5, 1]),
        case("labels").integers(&[3], &[10, 20, 30]).integers(&[4], &[2, 2, 0, 1]),
        case("deep").value(&[2, 2, 3], Fill::Spread).integers(&[1], &[2]),
        case("none").value(&[3, 2], Fill::Spread).integers(&[0], &[]),
        case("empty").value(&[0, 2], Fill::Spread).integers(&[1], &[1]),
    ]
}
