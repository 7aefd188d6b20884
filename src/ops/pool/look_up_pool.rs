//! `LookUpPool`: one row for each sequence of a packed batch, of rows of a table.

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{
        KernelSet,
        segments::{SegmentReduction, reduce_looked_up},
    },
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OpDef, Operator},
    ops::{offsets, pool::segment_pool::SegmentPoolMode},
    shape::Shape,
    tensor::{DType, Tensor},
};

/// The rows of a table that each packed sequence names, reduced to one row.
///
/// Operands: `table [rows, H]`, `ids [tokens]` (i32; negative ones count from the end) and `offsets [sequences + 1]` (i32).
/// Result: `[sequences, H]`, as [`SegmentPool`](crate::ops::pool::segment_pool::SegmentPool) gives it of the rows looked
/// up. Made on the CPU, which need not write those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookUpPool {
    /// How a sequence's rows are reduced.
    pub mode: SegmentPoolMode,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "LookUpPool",
    onnx: None,
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host("made for the CPU alone"),
};

impl Operator for LookUpPool {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(3, 3)?;
        let (table, ids) = (inputs.required(0)?, inputs.required(1)?);
        let sequences = offsets::sequences(inputs.required(2)?)?;
        match table.shape.dims() {
            [_, columns] if table.dtype == DType::F32 && ids.dtype == DType::I32 && ids.shape.rank() == 1 => {
                Ok(vec![Fact::new(DType::F32, Shape::new(vec![sequences, columns.clone()]))])
            }
            _ => {
                Err(Error::invalid_model(format!("rows {ids} of {table}: expected i32[tokens] and f32[rows, columns]")))
            }
        }
    }
}

struct Kernel {
    reduction: SegmentReduction,
    set: KernelSet,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let reduction = request.op::<LookUpPool>()?.mode.reduction();
    Ok(Box::new(Kernel { reduction, set: request.kernel_set() }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let (table, ids, offsets) = (io.input(0)?, io.input(1)?, io.input(2)?);
        let &[_, columns] = table.shape else { return Err(Error::internal("a table that is no matrix")) };
        let output = io.output(0)?.slice()?;
        reduce_looked_up(self.set, self.reduction, table.slice()?, columns, ids.slice()?, offsets.slice()?, output)
    }
}

fn cases() -> Vec<Case> {
    let offsets = |offsets: &[i32]| Tensor::new([offsets.len()], offsets).expect("as many as there are");
    let of_mode = |mode: SegmentPoolMode| {
        let case = |name: &str| Case::new(format!("{mode:?}, {name}"), LookUpPool { mode });
        let ids: Vec<i32> = (0..23).map(|at| at * 5 % 11 - 4).collect();
        let ids = Tensor::new([ids.len()], &ids).expect("as many as there are");
        [
            case("ragged").value(&[7, 171], Fill::Spread).tensor(ids).tensor(offsets(&[0, 1, 8, 8, 20, 23])),
            case("one row").value(&[1, 5], Fill::Hostile).tensor(offsets(&[0])).tensor(offsets(&[0, 1])),
            case("no sequence").value(&[3, 5], Fill::Spread).tensor(offsets(&[])).tensor(offsets(&[0])),
        ]
    };
    SegmentPoolMode::ALL.into_iter().flat_map(of_mode).collect()
}
