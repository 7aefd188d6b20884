//! `SegmentPool`: one row for each sequence of a packed batch.

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{
        KernelSet,
        segments::{SegmentReduction, reduce_segments},
    },
    op::{
        Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OpDef, Operator,
        case::with_specials,
    },
    ops::offsets,
    shape::Shape,
    tensor::{DType, Tensor},
};

/// How a sequence's rows are reduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentPoolMode {
    /// Their mean.
    Mean,
    /// The first.
    Cls,
    /// The maximum of each column, NaN if any is.
    Max,
    /// Their sum, divided by the square root of their number.
    MeanSqrtLength,
    /// Their mean, in which the first counts once, the second twice, and so on.
    WeightedMean,
    /// The last.
    Last,
}

impl SegmentPoolMode {
    /// Every mode.
    pub(crate) const ALL: [Self; 6] =
        [Self::Mean, Self::Cls, Self::Max, Self::MeanSqrtLength, Self::WeightedMean, Self::Last];

    /// What the kernel does for this mode.
    pub(super) fn reduction(self) -> SegmentReduction {
        match self {
            Self::Mean => SegmentReduction::Mean,
            Self::Cls => SegmentReduction::First,
            Self::Max => SegmentReduction::Max,
            Self::MeanSqrtLength => SegmentReduction::MeanSqrtLength,
            Self::WeightedMean => SegmentReduction::WeightedMean,
            Self::Last => SegmentReduction::Last,
        }
    }
}

/// The rows of each packed sequence reduced to one row.
///
/// Operands: `x [rows, H]` and `offsets [sequences + 1]` (i32). Result: `[sequences, H]`; zeros for
/// an empty sequence. Made by importers and rewrites only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentPool {
    /// How a sequence's rows are reduced.
    pub mode: SegmentPoolMode,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "SegmentPool",
    onnx: None,
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("segment_pool"),
};

impl Operator for SegmentPool {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(2, 2)?;
        let (x, sequences) = (inputs.required(0)?, offsets::sequences(inputs.required(1)?)?);
        match x.shape.dims() {
            [_, columns] if x.dtype == DType::F32 => {
                Ok(vec![Fact::new(DType::F32, Shape::new(vec![sequences, columns.clone()]))])
            }
            _ => Err(Error::invalid_model(format!("rows {x}: expected f32[rows, columns]"))),
        }
    }
}

struct Kernel {
    reduction: SegmentReduction,
    set: KernelSet,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let reduction = request.op::<SegmentPool>()?.mode.reduction();
    Ok(Box::new(Kernel { reduction, set: request.kernel_set() }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let (x, offsets) = (io.input(0)?, io.input(1)?);
        let &[_, columns] = x.shape else { return Err(Error::internal("rows that are no matrix")) };
        let output = io.output(0)?.slice()?;
        reduce_segments(self.set, self.reduction, x.slice()?, columns, offsets.slice()?, output)
    }
}

fn cases() -> Vec<Case> {
    let offsets = |offsets: &[i32]| Tensor::new([offsets.len()], offsets).expect("as many as there are");
    let of_mode = |mode: SegmentPoolMode| {
        let case = |name: &str| Case::new(format!("{mode:?}, {name}"), SegmentPool { mode });
        [
            case("ragged").value(&[23, 37], Fill::Spread).tensor(offsets(&[0, 1, 8, 8, 20, 23])),
            case("one row").value(&[1, 5], Fill::Hostile).tensor(offsets(&[0, 1])),
            case("special").tensor(with_specials(&[9, 16], 0)).tensor(offsets(&[0, 2, 5, 9])),
            case("no sequence").value(&[0, 5], Fill::Spread).tensor(offsets(&[0])),
        ]
    };
    SegmentPoolMode::ALL.into_iter().flat_map(of_mode).collect()
}
