//! `SegmentWindows`: each row of a packed sequence beside its neighbours.

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::segments::segments,
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, Io, OpDef, Operator, function_kernel},
    ops::offsets,
    shape::{Dim, Shape},
    tensor::{DType, Tensor},
};

/// Each row of a packed sequence beside its neighbours, as a convolution along the sequence multiplies them.
///
/// Operands: `x [rows, H]` and `offsets [sequences + 1]` (i32). Result: `[rows, (before + 1 + after) H]`, the
/// neighbours in their order; zeros for those past the ends of the sequence. Made by importers only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentWindows {
    /// The number of neighbours in front.
    pub before: usize,
    /// The number of neighbours behind.
    pub after: usize,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "SegmentWindows",
    onnx: None,
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(|request| function_kernel::<SegmentWindows>(request, run)),
    gpu: GpuState::Kernel("segment_windows"),
};

impl SegmentWindows {
    /// The rows side by side.
    fn count(self) -> usize {
        self.before.saturating_add(self.after).saturating_add(1)
    }
}

impl Operator for SegmentWindows {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(2, 2)?;
        let x = inputs.required(0)?;
        offsets::sequences(inputs.required(1)?)?;
        match x.shape.dims() {
            [rows, columns] if x.dtype == DType::F32 && self.count() <= 1 << 10 => {
                let columns = columns * &Dim::from(self.count());
                Ok(vec![Fact::new(DType::F32, Shape::new(vec![rows.clone(), columns]))])
            }
            _ => Err(Error::invalid_model(format!(
                "windows of {} rows of {x}: expected f32[rows, columns]",
                self.count()
            ))),
        }
    }
}

fn run(op: &SegmentWindows, io: &mut Io<'_>) -> Result<()> {
    let (x, offsets) = (io.input(0)?, io.input(1)?.slice::<i32>()?);
    let &[rows, columns] = x.shape else { return Err(Error::internal("rows that are no matrix")) };
    let x = x.slice::<f32>()?;
    let output = io.output(0)?.slice::<f32>()?;
    let mut places = output.chunks_exact_mut(columns.max(1));
    for sequence in segments(offsets, rows)? {
        for row in sequence.clone() {
            for place in 0..op.count() {
                let Some(to) = places.next() else { break };
                match (row + place).checked_sub(op.before).filter(|from| sequence.contains(from)) {
                    Some(from) => to.copy_from_slice(&x[from * columns..(from + 1) * columns]),
                    None => to.fill(0.0),
                }
            }
        }
    }
    Ok(())
}

fn cases() -> Vec<Case> {
    let offsets = |offsets: &[i32]| Tensor::new([offsets.len()], offsets).expect("as many as there are");
    let of = |before, after| SegmentWindows { before, after };
    vec![
        Case::new("both sides", of(1, 1)).value(&[9, 5], Fill::Hostile).tensor(offsets(&[0, 1, 4, 4, 9])),
        Case::new("wider than sequences", of(3, 2)).value(&[5, 3], Fill::Spread).tensor(offsets(&[0, 2, 5])),
        Case::new("rows alone", of(0, 0)).value(&[4, 3], Fill::Spread).tensor(offsets(&[0, 4])),
        Case::new("no columns", of(1, 1)).value(&[4, 0], Fill::Spread).tensor(offsets(&[0, 4])),
        Case::new("no sequence", of(1, 0)).value(&[0, 5], Fill::Spread).tensor(offsets(&[0])),
    ]
}
