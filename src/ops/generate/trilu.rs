//! `Trilu` and `EyeLike`: triangles of matrices, and diagonals.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels,
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    shape::Dim,
    tensor::{DType, View, ViewMut},
};

/// The upper or lower triangle of each matrix of the last two axes; zero elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Trilu {
    /// Whether the upper triangle is kept, otherwise the lower one.
    pub upper: bool,
    /// The diagonal that bounds the triangle, inclusive: 0 is the main one, positive ones are above
    /// it.
    pub diagonal: i64,
}

pub(crate) static TRILU: OpDef = OpDef {
    name: "Trilu",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("fill"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let upper = node.flag("upper", true)?;
    let diagonal = node.take_numbers(1)?.and_then(|all| all.first().copied()).unwrap_or(0);
    Ok(Arc::new(Trilu { upper, diagonal }))
}

impl Operator for Trilu {
    fn def(&self) -> &'static OpDef {
        &TRILU
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        if input.shape.rank() < 2 {
            return Err(Error::invalid_model(format!("{input} is no matrix")));
        }
        Ok(vec![Fact::new(input.dtype, input.shape.clone())])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let matrices = inputs.fact(0)?.shape.rank() - 2;
        axes[0].filter(|&own| own < matrices).map(|own| vec![Some(own)])
    }
}

struct TriluKernel(Trilu);

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(TriluKernel(request.op::<Trilu>()?.clone())))
}

impl CpuKernel for TriluKernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?;
        let output = io.output(0)?;
        let [.., rows, columns] = *input.shape else { return Ok(()) };
        let size = input.dtype.size();
        output.bytes.copy_from_slice(input.bytes);
        if output.bytes.is_empty() {
            return Ok(());
        }
        for (row, output) in output.bytes.chunks_exact_mut(columns * size).enumerate() {
            let row = (row % rows) as i64;
            // The first column of the upper triangle, or the one after the last of the lower one.
            let edge = row.saturating_add(self.0.diagonal).saturating_add(i64::from(!self.0.upper));
            let edge = edge.clamp(0, columns as i64) as usize * size;
            if self.0.upper {
                output[..edge].fill(0);
            } else {
                output[edge..].fill(0);
            }
        }
        Ok(())
    }
}

fn cases() -> Vec<Case> {
    let of = |upper, diagonal| Trilu { upper, diagonal };
    vec![
        Case::new("upper", of(true, 0)).value(&[2, 3, 5], Fill::Hostile),
        Case::new("lower", of(false, 0)).value(&[5, 3], Fill::Spread),
        Case::new("upper from 2", of(true, 2)).value(&[4, 4], Fill::Spread),
        Case::new("lower to -1", of(false, -1)).value(&[2, 3, 4], Fill::Spread),
        Case::new("far above", of(false, i64::MAX)).value(&[3, 3], Fill::Spread),
        Case::new("far below", of(false, i64::MIN)).integers(&[2, 2], &[1, 2, 3, 4]),
        Case::new("empty", of(true, 0)).value(&[0, 3], Fill::Spread),
    ]
}

/// A matrix of the operand's shape with ones on a diagonal; zero elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct EyeLike {
    /// The result's type; the operand's where absent.
    pub dtype: Option<DType>,
    /// The diagonal: 0 is the main one, positive ones are above it.
    pub diagonal: i64,
}

pub(crate) static EYE_LIKE: OpDef = OpDef {
    name: "EyeLike",
    onnx: Some(|node| {
        let (dtype, diagonal) = (node.dtype("dtype")?, node.int("k")?.unwrap_or(0));
        Ok(Arc::new(EyeLike { dtype, diagonal }))
    }),
    cases: || {
        let of = |dtype, diagonal| EyeLike { dtype, diagonal };
        vec![
            Case::new("wide", of(None, 0)).value(&[3, 5], Fill::Hostile),
            Case::new("above", of(Some(DType::I64), 2)).value(&[4, 4], Fill::Spread),
            Case::new("below", of(Some(DType::F16), -1)).value(&[5, 2], Fill::Spread),
            Case::new("outside", of(Some(DType::Bool), i64::MIN)).value(&[2, 2], Fill::Spread),
            Case::new("empty", of(None, 0)).value(&[0, 3], Fill::Spread),
        ]
    },
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(|request| Ok(Box::new(EyeKernel { diagonal: request.op::<EyeLike>()?.diagonal }))),
    gpu: GpuState::Kernel("fill"),
};

impl Operator for EyeLike {
    fn def(&self) -> &'static OpDef {
        &EYE_LIKE
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        if input.shape.rank() != 2 {
            return Err(Error::invalid_model(format!("{input} is no matrix")));
        }
        Ok(vec![Fact::new(self.dtype.unwrap_or(input.dtype), input.shape.clone())])
    }
}

struct EyeKernel {
    diagonal: i64,
}

impl CpuKernel for EyeKernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let output = io.output(0)?;
        let size = output.dtype.size();
        let mut one = [0u64];
        let one: &mut [u8] = &mut bytemuck::cast_slice_mut(&mut one)[..size];
        let number = View { dtype: DType::U8, shape: &[], bytes: &[1] };
        kernels::cast(number, &mut ViewMut { dtype: output.dtype, shape: &[], bytes: one })?;
        output.bytes.fill(0);
        let [rows, columns] = *output.shape else { return Ok(()) };
        for row in 0..rows {
            let column = (row as i64).saturating_add(self.diagonal);
            if (0..columns as i64).contains(&column) {
                let place = (row * columns + column as usize) * size;
                output.bytes[place..place + size].copy_from_slice(one);
            }
        }
        Ok(())
    }
}
