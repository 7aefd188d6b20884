//! `Normalizer`: rows divided by their norm.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{
        Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator,
        Shapes, first_result,
    },
    ops::tabular::{ON_THE_HOST, rows},
    shape::Dim,
    tensor::{DType, Tensor},
};

/// What a row is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// The largest number, as ONNX says: its sign counts.
    Max,
    /// The sum of magnitudes.
    L1,
    /// The root of the sum of squares.
    L2,
}

/// Rows divided by their norm; a row whose norm is 0 stays.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalizer {
    /// The norm.
    pub norm: Norm,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "ai.onnx.ml.Normalizer",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host(ON_THE_HOST),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let norm = match node.string("norm")?.as_deref() {
        None | Some("MAX") => Norm::Max,
        Some("L1") => Norm::L1,
        Some("L2") => Norm::L2,
        Some(other) => return Err(Error::invalid_model(format!("the norm `{other}`"))),
    };
    Ok(Arc::new(Normalizer { norm }))
}

impl Operator for Normalizer {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        rows::check_numbers(input)?;
        rows::table(input)?;
        Ok(vec![Fact::new(DType::F32, input.shape.clone())])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        rows::batch_axes(inputs, axes, 1)
    }
}

struct Kernel {
    norm: Norm,
    from: DType,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel { norm: request.op::<Normalizer>()?.norm, from: request.input(0)?.dtype }))
}

impl CpuKernel for Kernel {
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        rows::converted_bytes(shapes, self.from, DType::F32)
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?;
        let (_, columns) = rows::sizes(input.shape);
        let Io { outputs, scratch, .. } = io;
        let input = rows::convert(input, DType::F32, scratch)?.slice::<f32>()?;
        let output = first_result(outputs)?.slice::<f32>()?;
        for (input, output) in input.chunks_exact(columns.max(1)).zip(output.chunks_exact_mut(columns.max(1))) {
            let numbers = input.iter().map(|&x| f64::from(x));
            let norm = match self.norm {
                Norm::Max => numbers.fold(f64::NEG_INFINITY, f64::max),
                Norm::L1 => numbers.map(f64::abs).sum(),
                Norm::L2 => numbers.map(|x| x * x).sum::<f64>().sqrt(),
            };
            let divisor = if norm == 0.0 { 1.0 } else { norm };
            input.iter().zip(output).for_each(|(x, y)| *y = (f64::from(*x) / divisor) as f32);
        }
        Ok(())
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for norm in [Norm::Max, Norm::L1, Norm::L2] {
        let case = |name: &str| Case::new(format!("{name}, {norm:?}"), Normalizer { norm });
        cases.extend([
            case("rows").value(&[5, 7], Fill::Spread),
            case("large").value(&[3, 9], Fill::Large),
            case("one row").value(&[6], Fill::Spread),
            case("integers").integers(&[3, 2], &[3, -4, 0, 0, 1 << 20, 5]),
            case("doubles").tensor(Tensor::new([1, 2], &[-0.5f64, 1e-3]).expect("two numbers")),
            case("empty").value(&[0, 3], Fill::Spread),
        ]);
    }
    cases
}
