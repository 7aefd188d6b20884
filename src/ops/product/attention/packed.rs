//! Attention over sequences packed one after another without padding.

use half::bf16;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{
        KernelSet,
        attention::{self as kernels, Given},
        gemm::{Factors, Stored},
    },
    op::{
        Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OpDef, Operator, Shapes,
        case::with_specials, scratch_numbers,
    },
    ops::{offsets, product::linear::stored_as},
    shape::{Dim, Shape},
    tensor::{DType, Element, Tensor},
};

/// Attention within each sequence of a packed batch.
///
/// `qkv [rows, 3 H]` holds each row's query, key and value, each of `heads` heads of `H / heads`
/// columns; sequences begin at `offsets [sequences + 1]` (i32). Result: `[rows, H]`. Made by
/// importers and rewrites only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PackedAttention {
    /// The number of heads.
    pub heads: usize,
    /// The factor of the scores, most often `1 / sqrt(H / heads)`.
    pub scale: f32,
    /// Whether the result is stored as bf16, for products that would round it anyway.
    ///
    /// Set at load, on the CPU only.
    pub rounded: bool,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "PackedAttention",
    onnx: None,
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("packed_attention"),
};

impl Operator for PackedAttention {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(2, 2)?;
        let qkv = inputs.required(0)?;
        offsets::sequences(inputs.required(1)?)?;
        let [rows, columns] = qkv.shape.dims() else {
            return Err(Error::invalid_model(format!("packed attention of {qkv}: expected [rows, 3 H]")));
        };
        let width = columns.as_fixed().and_then(|columns| usize::try_from(columns).ok());
        let hidden = width.filter(|width| width.is_multiple_of(3)).map(|width| width / 3);
        let hidden = hidden.filter(|&hidden| self.heads > 0 && hidden.is_multiple_of(self.heads));
        match hidden {
            Some(hidden) if matches!(qkv.dtype, DType::F32 | DType::BF16) => {
                let shape = Shape::new(vec![rows.clone(), Dim::from(hidden)]);
                Ok(vec![Fact::new(stored_as(self.rounded), shape)])
            }
            _ => Err(Error::invalid_model(format!("packed attention of {qkv} with {} heads", self.heads))),
        }
    }
}

struct Kernel {
    op: PackedAttention,
    set: KernelSet,
    factors: Factors,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel { op: *request.op()?, set: request.kernel_set(), factors: request.factors() }))
}

impl CpuKernel for Kernel {
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        // The longest sequence is not known here; it may be the only one.
        let Some(&[rows, columns]) = shapes.inputs[0] else { return 0 };
        let head_dim = columns / 3 / self.op.heads;
        let len = kernels::attention_len_as(self.set, self.factors, rows, head_dim, head_dim);
        len.map_or(usize::MAX, |len| len.saturating_mul(size_of::<f32>()))
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let qkv = io.input(0)?;
        match (qkv.dtype, self.op.rounded) {
            (DType::BF16, true) => self.attend::<bf16, bf16>(io),
            (DType::BF16, false) => self.attend::<bf16, f32>(io),
            (_, true) => self.attend::<f32, bf16>(io),
            (_, false) => self.attend::<f32, f32>(io),
        }
    }
}

impl Kernel {
    fn attend<X: Given + Element, O: Stored + Element>(&self, io: &mut Io<'_>) -> Result<()> {
        let PackedAttention { heads, scale, .. } = self.op;
        let (qkv, offsets) = (io.input(0)?, io.input(1)?);
        let &[_, columns] = qkv.shape else { return Err(Error::internal("rows that are no matrix")) };
        let head_dim = columns / 3 / heads;
        let (qkv, offsets) = (qkv.slice::<X>()?, offsets.slice()?);
        let attention = kernels::PackedAttention { qkv, offsets, heads, head_dim, scale };
        let output = io.outputs.first_mut().ok_or_else(|| Error::internal("attention has no result"))?;
        let (output, scratch) = (output.slice::<O>()?, scratch_numbers(io.scratch));
        kernels::packed_attention_as(self.set, self.factors, &attention, output, scratch)
    }
}

fn cases() -> Vec<Case> {
    let offsets = |offsets: &[i32]| Tensor::new([offsets.len()], offsets).expect("as many as there are");
    let case = |name: &str, heads: usize| Case::new(name, PackedAttention { heads, scale: 0.25, rounded: false });
    vec![
        case("ragged", 3).value(&[40, 3 * 24], Fill::Spread).tensor(offsets(&[0, 1, 8, 8, 20, 40])),
        case("one head", 1).value(&[9, 3 * 5], Fill::Spread).tensor(offsets(&[0, 4, 9])),
        case("wide", 2).value(&[150, 3 * 64], Fill::Spread).tensor(offsets(&[0, 3, 150])),
        case("large", 2).value(&[20, 3 * 16], Fill::Large).tensor(offsets(&[0, 20])),
        case("special", 2).tensor(with_specials(&[9, 24], 0)).tensor(offsets(&[0, 2, 5, 9])),
        case("no sequence", 2).value(&[0, 3 * 16], Fill::Spread).tensor(offsets(&[0])),
    ]
}
