//! `Compress`: the slices of an axis that flags select.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::tracked,
    shape::{Shape, normalize_axis},
    tensor::{AlignedBytes, DType, Tensor},
};

/// The slices along an axis whose flag, in operand 1, is true.
///
/// Slices without a flag are left out; flags without a slice are ignored.
#[derive(Clone, Debug, PartialEq)]
pub struct Compress {
    /// The axis; without one the operand is flattened first.
    pub axis: Option<i64>,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "Compress",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host("its sizes are known only while it runs"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    Ok(Arc::new(Compress { axis: node.int("axis")? }))
}

impl Operator for Compress {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn measures(&self, _inputs: &Inputs<'_>) -> Result<usize> {
        Ok(1)
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(2, 2)?;
        let (input, flags) = (inputs.required(0)?, inputs.required(1)?);
        // ONNX Runtime flattens flags of more dimensions as it flattens the operand.
        if flags.dtype != DType::Bool || (flags.shape.rank() != 1 && self.axis.is_some()) {
            return Err(Error::invalid_model(format!("the flags are {flags}, expected a list of bool")));
        }
        let axis = self.axis.map(|axis| input.shape.axis(axis)).transpose()?;
        if let Some(facts) = tracked::computed(inputs, |operands| compute(self.axis, operands))? {
            return Ok(facts);
        }
        let mut dims = input.shape.dims().to_vec();
        match axis {
            Some(axis) => dims[axis] = inputs.measured(0)?,
            None => dims = vec![inputs.measured(0)?],
        }
        Ok(vec![Fact::new(input.dtype, Shape::new(dims))])
    }
}

struct Kernel(Option<i64>);

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel(request.op::<Compress>()?.axis)))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        io.fill_by(|operands| compute(self.0, operands))
    }

    fn compute(&self, inputs: &[Option<&Tensor>]) -> Result<Vec<Tensor>> {
        compute(self.0, inputs)
    }
}

fn compute(axis: Option<i64>, inputs: &[Option<&Tensor>]) -> Result<Vec<Tensor>> {
    let &[Some(input), Some(flags)] = inputs else { return Err(Error::internal("Compress has two operands")) };
    let flat = [input.len()];
    let (shape, axis) = match axis {
        Some(axis) => (input.shape(), normalize_axis(axis, input.shape().len())?),
        None => (&flat[..], 0),
    };
    let kept: Vec<usize> = flags
        .bytes()
        .iter()
        .take(shape[axis])
        .enumerate()
        .filter(|(_, flag)| **flag != 0)
        .map(|(index, _)| index)
        .collect();
    let block = shape[axis + 1..].iter().product::<usize>() * input.dtype().size();
    let outer = shape[..axis].iter().product::<usize>();
    let mut data = AlignedBytes::try_zeroed(outer * kept.len() * block)?;
    let from = |outer: usize, index: usize| (outer * shape[axis] + index) * block;
    for row in 0..outer {
        for (place, &index) in kept.iter().enumerate() {
            let (from, to) = (from(row, index), (row * kept.len() + place) * block);
            data[to..to + block].copy_from_slice(&input.bytes()[from..from + block]);
        }
    }
    let mut own = shape.to_vec();
    own[axis] = kept.len();
    Ok(vec![input.with_elements(own, data)?])
}

fn cases() -> Vec<Case> {
    let flags = |case: Case, flags: &[bool]| case.tensor(Tensor::from_bools([flags.len()], flags).expect("flags"));
    let along = |axis| Compress { axis };
    vec![
        flags(Case::new("rows", along(Some(0))).value(&[3, 4], Fill::Hostile), &[true, false, true]),
        flags(Case::new("last", along(Some(-1))).value(&[2, 3, 4], Fill::Spread), &[false, true, true, false]),
        flags(Case::new("few flags", along(Some(1))).value(&[2, 5], Fill::Spread), &[false, true]),
        flags(Case::new("many flags", along(Some(0))).value(&[1, 2], Fill::Spread), &[true, true, false]),
        flags(Case::new("flat", along(None)).integers(&[2, 2], &[1, 2, 3, 4]), &[false, true, false, true]),
        Case::new("a mask", along(None))
            .value(&[2, 3], Fill::Spread)
            .tensor(Tensor::from_bools([2, 3], &[true, false, true, false, false, true]).expect("flags")),
        flags(Case::new("none", along(Some(0))).value(&[2, 3], Fill::Spread), &[false, false]),
        flags(Case::new("empty", along(Some(1))).value(&[0, 3], Fill::Spread), &[true]),
    ]
}
