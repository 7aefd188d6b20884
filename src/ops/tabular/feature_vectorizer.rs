//! `FeatureVectorizer`: columns of several tables side by side.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels,
    op::{
        Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator,
        Shapes, first_result,
    },
    ops::tabular::{ON_THE_HOST, rows},
    shape::{Dim, Shape},
    tensor::{DType, Tensor, ViewMut},
};

/// The first columns of each operand, in single precision; columns that an operand lacks are 0.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureVectorizer {
    /// The columns of each operand.
    pub columns: Vec<usize>,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "ai.onnx.ml.FeatureVectorizer",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host(ON_THE_HOST),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let invalid = || Error::invalid_model("`inputdimensions` are not the columns of the operands");
    let columns = match node.ints("inputdimensions")? {
        Some(columns) => {
            columns.iter().map(|&size| usize::try_from(size).map_err(|_| invalid())).collect::<Result<_>>()?
        }
        None => (0..node.inputs().len())
            .map(|index| {
                let (_, columns) = rows::table(node.inputs().required(index)?)?;
                columns.as_fixed().and_then(|columns| usize::try_from(columns).ok()).ok_or_else(invalid)
            })
            .collect::<Result<Vec<_>>>()?,
    };
    let known = columns.iter().try_fold(0usize, |sum, &size| sum.checked_add(size));
    if columns.len() != node.inputs().len() || known.is_none() {
        return Err(invalid());
    }
    Ok(Arc::new(FeatureVectorizer { columns }))
}

impl Operator for FeatureVectorizer {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(self.columns.len().max(1), self.columns.len())?;
        let (count, _) = rows::table(inputs.required(0)?)?;
        for index in 0..inputs.len() {
            let input = inputs.required(index)?;
            rows::check_numbers(input)?;
            let (own, _) = rows::table(input)?;
            if own != count {
                return Err(Error::invalid_model(format!("tables of {count} and of {own} rows side by side")));
            }
        }
        let columns: usize = self.columns.iter().sum();
        Ok(vec![Fact::new(DType::F32, Shape::new([count, Dim::from(columns)]))])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let are_rows = (0..inputs.len())
            .all(|index| axes[index] == Some(0) && inputs.fact(index).is_some_and(|fact| fact.shape.rank() == 2));
        are_rows.then(|| vec![Some(0)])
    }
}

struct Kernel {
    columns: Vec<usize>,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel { columns: request.op::<FeatureVectorizer>()?.columns.clone() }))
}

impl CpuKernel for Kernel {
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        let elements = shapes.inputs.iter().flatten().map(|shape| shape.iter().product::<usize>()).max();
        elements.unwrap_or(0).saturating_mul(size_of::<f32>())
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let Io { inputs, outputs, scratch, .. } = io;
        let output = first_result(outputs)?;
        let (count, width) = rows::sizes(output.shape);
        let output = output.slice::<f32>()?;
        output.fill(0.0);
        let mut start = 0;
        for (input, &columns) in inputs.iter().flatten().zip(&self.columns) {
            let (own, given) = rows::sizes(input.shape);
            if own != count {
                return Err(Error::invalid_input(format!("tables of {count} and of {own} rows side by side")));
            }
            let bytes = &mut scratch[..own * given * size_of::<f32>()];
            let mut view = ViewMut { dtype: DType::F32, shape: input.shape, bytes };
            kernels::cast(*input, &mut view)?;
            let taken = given.min(columns);
            for (from, to) in view.slice::<f32>()?.chunks_exact(given.max(1)).zip(output.chunks_exact_mut(width.max(1)))
            {
                to[start..start + taken].copy_from_slice(&from[..taken]);
            }
            start += columns;
        }
        Ok(())
    }
}

fn cases() -> Vec<Case> {
    let of = |columns: &[usize]| FeatureVectorizer { columns: columns.to_vec() };
    let wide = Tensor::new([3, 1], &[0.1f64, -7.0, 1e300]).expect("three numbers");
    vec![
        Case::new("three", of(&[2, 2, 1]))
            .value(&[3, 2], Fill::Hostile)
            .integers(&[3, 2], &[1, 2, 3, 4, 5, 1 << 40])
            .tensor(wide),
        Case::new("cut and filled", of(&[1, 3])).value(&[2, 2], Fill::Spread).value(&[2, 2], Fill::Spread),
        Case::new("one row", of(&[2, 1])).value(&[2], Fill::Spread).value(&[1], Fill::Spread),
        Case::new("empty", of(&[2])).value(&[0, 2], Fill::Spread),
    ]
}
