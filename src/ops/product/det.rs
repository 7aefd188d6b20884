//! `Det`: determinants of square matrices.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, Io, OpDef, Operator, function_kernel},
    ops::wide,
    shape::{Condition, Dim, Shape},
    tensor::{DType, Tensor},
};

/// The determinant of each matrix of the last two axes, in double precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Det;

pub(crate) static DEF: OpDef = OpDef {
    name: "Det",
    onnx: Some(|_| Ok(Arc::new(Det))),
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(|request| function_kernel::<Det>(request, run)),
    gpu: GpuState::Host("no shader yet"),
};

impl Operator for Det {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        let [outer @ .., rows, columns] = input.shape.dims() else {
            return Err(Error::invalid_model(format!("{input} is no matrix")));
        };
        if !matches!(input.dtype, DType::F32 | DType::F64) {
            return Err(Error::unsupported(format!("determinants of {input}; only f32 and f64 are")));
        }
        inputs.assume(Condition::equal("the sides of a square matrix", rows, columns))?;
        Ok(vec![Fact::new(input.dtype, Shape::new(outer))])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let matrices = inputs.fact(0)?.shape.rank() - 2;
        axes[0].filter(|&own| own < matrices).map(|own| vec![Some(own)])
    }
}

fn run(_: &Det, io: &mut Io<'_>) -> Result<()> {
    let input = io.input(0)?;
    let size = input.shape[input.shape.len() - 1];
    let output = io.output(0)?;
    let mut numbers = wide::read(input)?;
    let results: Vec<f64> = match size {
        // The empty product.
        0 => vec![1.0; output.shape.iter().product()],
        _ => numbers.chunks_exact_mut(size * size).map(|matrix| determinant(matrix, size)).collect(),
    };
    wide::write(output, &results)
}

/// The determinant of a matrix, by elimination with the largest pivot of each column.
fn determinant(matrix: &mut [f64], size: usize) -> f64 {
    let mut product = 1.0;
    for column in 0..size {
        let magnitude = |row: &usize| matrix[row * size + column].abs();
        let pivot = (column..size).max_by(|a, b| magnitude(a).total_cmp(&magnitude(b))).unwrap_or(column);
        if pivot != column {
            (column..size).for_each(|at| matrix.swap(pivot * size + at, column * size + at));
            product = -product;
        }
        let head = matrix[column * size + column];
        product *= head;
        if head == 0.0 {
            return product;
        }
        let (above, below) = matrix.split_at_mut((column + 1) * size);
        let own = &above[column * size..];
        for row in below.chunks_exact_mut(size) {
            let factor = row[column] / head;
            row[column..].iter_mut().zip(&own[column..]).for_each(|(to, &from)| *to -= factor * from);
        }
    }
    product
}

fn cases() -> Vec<Case> {
    let singular = Tensor::new([2, 2], &[1f32, 2.0, 2.0, 4.0]).expect("four numbers");
    let swapped = Tensor::new([3, 3], &[0f64, 2.0, 1.0, 3.0, 0.0, 0.5, 0.0, 0.0, 4.0]).expect("nine numbers");
    vec![
        Case::new("one", Det).value(&[4, 4], Fill::Spread),
        Case::new("several", Det).value(&[2, 3, 5, 5], Fill::Spread),
        Case::new("single numbers", Det).value(&[3, 1, 1], Fill::Large),
        Case::new("singular", Det).tensor(singular),
        Case::new("f64", Det).tensor(swapped),
        Case::new("of no rows", Det).value(&[2, 0, 0], Fill::Spread),
        Case::new("empty", Det).value(&[0, 3, 3], Fill::Spread),
    ]
}
