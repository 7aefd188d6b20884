//! `Softmax` and `LogSoftmax`.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{KernelSet, number::Number, softmax},
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::norm::row_axis::RowAxis,
    shape::Dim,
    tensor::DType,
};

/// `e^x / sum e^x`, summed over one axis, or over all axes from it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softmax {
    /// The axis; negative counts from the end.
    pub axis: i64,
    /// Whether the result is the logarithm: `x - ln(sum e^x)`.
    pub log: bool,
    /// Whether the sum includes the axes after [`axis`](Self::axis), as in ONNX before opset 13.
    ///
    /// Never set for the last axis.
    pub to_end: bool,
}

macro_rules! def {
    ($name:literal, $log:literal) => {
        OpDef {
            name: $name,
            onnx: Some(|node| decode(node, $log)),
            cases: || cases($log),
            accuracy: Accuracy::Pointwise,
            cpu: CpuState::Kernel(kernel),
            gpu: GpuState::Kernel("softmax"),
        }
    };
}
pub(crate) static SOFTMAX: OpDef = def!("Softmax", false);
pub(crate) static LOG_SOFTMAX: OpDef = def!("LogSoftmax", true);

fn decode(node: &mut OnnxNode<'_>, log: bool) -> Result<Arc<dyn Operator>> {
    let RowAxis { axis, to_end } = RowAxis::decode(node, "softmax")?;
    Ok(Arc::new(Softmax { axis, log, to_end }))
}

impl Softmax {
    /// The softmax over one axis.
    pub fn over(axis: i64) -> Self {
        Self { axis, log: false, to_end: false }
    }

    /// The rows of which each is summed.
    pub(crate) fn rows(&self) -> RowAxis {
        RowAxis { axis: self.axis, to_end: self.to_end }
    }
}

impl Operator for Softmax {
    fn def(&self) -> &'static OpDef {
        if self.log { &LOG_SOFTMAX } else { &SOFTMAX }
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        self.rows().infer(inputs, "softmax")
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        self.rows().batch_axes(inputs, axes)
    }
}

struct Kernel {
    rows_of: RowAxis,
    /// Whether the summed axes are the last ones.
    ///
    /// Decided by the axes, not by their sizes, which differ from run to run.
    rows: bool,
    log: bool,
    set: KernelSet,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let op = request.op::<Softmax>()?;
    let axis = request.input(0)?.shape.axis(op.axis)?;
    let rows = op.to_end || axis + 1 == request.input(0)?.shape.rank();
    Ok(Box::new(Kernel { rows_of: op.rows(), rows, log: op.log, set: request.kernel_set() }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?;
        let output = io.output(0)?;
        let (axis, inner) = self.rows_of.row(input.shape)?;
        match input.dtype {
            DType::F32 if !self.log && self.rows => {
                softmax::softmax_rows(self.set, input.slice()?, output.slice()?, axis)?;
            }
            DType::F32 if !self.log => {
                softmax::softmax_columns(self.set, input.slice()?, output.slice()?, axis, inner)?
            }
            DType::F32 => wide::<f32>(input.slice()?, output.slice()?, axis, inner, self.log),
            DType::F64 => wide::<f64>(input.slice()?, output.slice()?, axis, inner, self.log),
            DType::F16 => wide::<half::f16>(input.slice()?, output.slice()?, axis, inner, self.log),
            DType::BF16 => wide::<half::bf16>(input.slice()?, output.slice()?, axis, inner, self.log),
            dtype => return Err(Error::internal(format!("softmax was given {dtype}"))),
        }
        Ok(())
    }
}

/// Softmax over the middle axis of `[outer, axis, inner]`, in double precision.
fn wide<T: Number>(input: &[T], output: &mut [T], axis: usize, inner: usize, log: bool) {
    if input.is_empty() {
        return;
    }
    for (from, to) in input.chunks_exact(axis * inner).zip(output.chunks_exact_mut(axis * inner)) {
        for column in 0..inner {
            let at = |row: usize| from[row * inner + column].wide();
            let largest = (0..axis).map(at).fold(f64::NEG_INFINITY, f64::larger);
            let sum: f64 = (0..axis).map(|row| (at(row) - largest).exp()).sum();
            for row in 0..axis {
                let x = at(row) - largest;
                to[row * inner + column] = T::narrow(if log { x - sum.ln() } else { x.exp() / sum });
            }
        }
    }
}

fn cases(log: bool) -> Vec<Case> {
    let over = |name: &str, axis: i64| Case::new(name, Softmax { axis, log, to_end: false });
    vec![
        over("rows", -1).value(&[3, 77], Fill::Spread),
        over("large", -1).value(&[5, 9], Fill::Large),
        over("heads", 3).value(&[2, 3, 5, 17], Fill::Spread),
        over("middle", 1).value(&[2, 7, 19], Fill::Spread),
        over("first", 0).value(&[5, 3], Fill::Spread),
        over("hostile", -1).value(&[41, 7], Fill::Hostile),
        over("hostile columns", 0).value(&[7, 41], Fill::Hostile),
        over("one", -1).value(&[4, 1], Fill::Spread),
        over("empty", -1).value(&[3, 0], Fill::Spread),
        over("none", -1).value(&[0, 3], Fill::Spread),
        Case::new("to the end", Softmax { axis: 1, log, to_end: true }).value(&[2, 3, 5], Fill::Spread),
    ]
}
