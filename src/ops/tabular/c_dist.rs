//! `CDist`: distances between the rows of two tables.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::tabular::{ON_THE_HOST, rows},
    shape::{Dim, Shape},
    tensor::{DType, Element, View, ViewMut},
};

/// The distance of each row of operand 0 from each row of operand 1, summed in double precision.
#[derive(Clone, Debug, PartialEq)]
pub struct CDist {
    /// Whether it is the square of the distance.
    pub squared: bool,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "com.microsoft.CDist",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host(ON_THE_HOST),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let squared = match node.string("metric")?.as_deref() {
        None | Some("sqeuclidean") => true,
        Some("euclidean") => false,
        Some(other) => return Err(Error::invalid_model(format!("the metric `{other}`"))),
    };
    Ok(Arc::new(CDist { squared }))
}

impl Operator for CDist {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(2, 2)?;
        let (first, second) = (inputs.required(0)?, inputs.required(1)?);
        let fits = first.dtype == second.dtype && matches!(first.dtype, DType::F32 | DType::F64);
        let ([rows, columns], [others, own], true) = (first.shape.dims(), second.shape.dims(), fits) else {
            return Err(Error::invalid_model(format!("distances between {first} and {second}")));
        };
        if let Some(expected) = own.as_fixed().and_then(|own| usize::try_from(own).ok()) {
            rows::check_columns(columns, expected)?;
        }
        Ok(vec![Fact::new(first.dtype, Shape::new([rows.clone(), others.clone()]))])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        match (axes[0], axes[1]) {
            (Some(0), None) => Some(vec![Some(0)]),
            (None, Some(0)) => Some(vec![Some(1)]),
            _ => None,
        }
    }
}

struct Kernel {
    squared: bool,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel { squared: request.op::<CDist>()?.squared }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let (first, second) = (io.input(0)?, io.input(1)?);
        rows::expect_columns(first.shape[1], second.shape[1])?;
        let output = io.output(0)?;
        match first.dtype {
            DType::F64 => self.distances::<f64>(first, second, output, |sum| sum),
            _ => self.distances::<f32>(first, second, output, |sum| sum as f32),
        }
    }
}

impl Kernel {
    fn distances<T: Element + Into<f64>>(
        &self,
        first: View<'_>,
        second: View<'_>,
        output: &mut ViewMut<'_>,
        rounded: impl Fn(f64) -> T,
    ) -> Result<()> {
        let (columns, others) = (first.shape[1], second.shape[0]);
        let (first, second, output) = (first.slice::<T>()?, second.slice::<T>()?, output.slice::<T>()?);
        for (row, to) in output.chunks_exact_mut(others.max(1)).enumerate() {
            let own = &first[row * columns..(row + 1) * columns];
            for (other, to) in to.iter_mut().enumerate() {
                let other = &second[other * columns..(other + 1) * columns];
                let square = |(&a, &b): (&T, &T)| (a.into() - b.into()).powi(2);
                let sum: f64 = own.iter().zip(other).map(square).sum();
                *to = rounded(if self.squared { sum } else { sum.sqrt() });
            }
        }
        Ok(())
    }
}

fn cases() -> Vec<Case> {
    let of = |squared| CDist { squared };
    vec![
        Case::new("squares", of(true)).value(&[5, 3], Fill::Spread).value(&[4, 3], Fill::Spread),
        Case::new("constant", of(false)).value(&[5, 3], Fill::Spread).constant(&[4, 3], Fill::Spread),
        Case::new("empty", of(false)).value(&[0, 3], Fill::Spread).value(&[4, 3], Fill::Spread),
    ]
}
