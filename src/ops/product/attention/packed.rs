//! Attention over sequences packed one after another without padding.

use half::bf16;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{
        KernelSet,
        attention::{self as kernels, DistanceBias, Given, Reach},
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
/// `qkv [rows, H + 2 K]` holds each row's queries, `heads` of `D` columns, then its keys and its values, each
/// `key_heads` of `D` columns; sequences begin at `offsets [sequences + 1]` (i32). An optional constant
/// `bias [heads, 2 M + 1]` is added to the scores by the distance from query to key, clamped to `-M` and `M`. Of the
/// optional `visible [rows]` (i32) each row holds the number of its sequence's first keys that its queries see; of a row
/// that sees none the result is 0.
/// Result: `[rows, H]`. Made by importers and rewrites only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PackedAttention {
    /// The number of heads.
    pub heads: usize,
    /// The number of heads of keys and values, each shared by as many heads in a row.
    pub key_heads: usize,
    /// The keys that a query sees.
    pub reach: Reach,
    /// The factor of the scores, most often `1 / sqrt(H / heads)`.
    pub scale: f32,
    /// Whether the result is stored as bf16, for products that would round it anyway.
    ///
    /// Set at load, on the CPU only.
    pub rounded: bool,
}

impl PackedAttention {
    /// Attention to all keys, with keys and values of its own for each head.
    pub fn new(heads: usize, scale: f32) -> Self {
        Self { heads, key_heads: heads, reach: Reach::ALL, scale, rounded: false }
    }

    fn head_dim(&self, columns: usize) -> Option<usize> {
        head_dim(self.heads, self.key_heads, columns)
    }
}

/// The columns of a head, if packed rows of so many columns hold whole heads of queries, keys and values.
pub(super) fn head_dim(heads: usize, key_heads: usize, columns: usize) -> Option<usize> {
    let parts = heads.checked_add(key_heads.checked_mul(2)?).filter(|_| key_heads > 0)?;
    let whole = columns.is_multiple_of(parts) && heads > 0 && heads.is_multiple_of(key_heads);
    whole.then(|| columns / parts)
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
        inputs.expect(2, 4)?;
        let qkv = inputs.required(0)?;
        offsets::sequences(inputs.required(1)?)?;
        let [rows, columns] = qkv.shape.dims() else {
            return Err(Error::invalid_model(format!("packed attention of {qkv}: expected [rows, H + 2 K]")));
        };
        let width = columns.as_fixed().and_then(|columns| usize::try_from(columns).ok());
        let hidden = width.and_then(|width| self.head_dim(width)).map(|head_dim| head_dim * self.heads);
        if let Some(bias) = inputs.fact(2) {
            let fits = match bias.shape.dims() {
                [heads, distances] => {
                    heads.as_fixed() == Some(self.heads as i64) && distances.as_fixed().is_some_and(|n| n % 2 == 1)
                }
                _ => false,
            };
            if !fits || bias.dtype != DType::F32 {
                let heads = self.heads;
                return Err(Error::invalid_model(format!("packed attention with a bias {bias} for {heads} heads")));
            }
        }
        if let Some(visible) = inputs.fact(3)
            && (visible.dtype != DType::I32 || visible.shape.rank() != 1)
        {
            return Err(Error::invalid_model(format!("packed attention with visible keys {visible}")));
        }
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
    /// Whether scores depend on the distance from query to key.
    by_distance: bool,
    set: KernelSet,
    factors: Factors,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let op: PackedAttention = *request.op()?;
    let by_distance = op.reach != Reach::ALL || request.inputs().fact(2).is_some();
    Ok(Box::new(Kernel { op, by_distance, set: request.kernel_set(), factors: request.factors() }))
}

impl CpuKernel for Kernel {
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        // The longest sequence is not known here; it may be the only one.
        let Some(&[rows, columns]) = shapes.inputs[0] else { return 0 };
        let head_dim = self.op.head_dim(columns).unwrap_or_default();
        let len = kernels::attention_len_as(self.set, self.factors, rows, head_dim, head_dim);
        // A summand for each distance within a sequence.
        let distances = if self.by_distance { rows.saturating_mul(2) } else { 0 };
        len.map_or(usize::MAX, |len| len.saturating_add(distances).saturating_mul(size_of::<f32>()))
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
        let PackedAttention { heads, key_heads, reach, scale, .. } = self.op;
        let (qkv, offsets) = (io.input(0)?, io.input(1)?);
        let &[_, columns] = qkv.shape else { return Err(Error::internal("rows that are no matrix")) };
        let head_dim = self.op.head_dim(columns).ok_or_else(|| Error::internal("rows of other columns"))?;
        let bias = match io.inputs.get(2).copied().flatten() {
            Some(bias) => Some(DistanceBias { table: bias.slice()?, most: bias.shape[1] / 2 }),
            None => None,
        };
        let (qkv, offsets) = (qkv.slice::<X>()?, offsets.slice()?);
        let visible = io.inputs.get(3).copied().flatten().map(|visible| visible.slice()).transpose()?;
        let attention = kernels::PackedAttention {
            qkv,
            offsets,
            heads,
            key_heads,
            head_dim,
            scale,
            bias,
            reach,
            visible,
            positions: None,
        };
        let output = io.outputs.first_mut().ok_or_else(|| Error::internal("attention has no result"))?;
        let (output, scratch) = (output.slice::<O>()?, scratch_numbers(io.scratch));
        kernels::packed_attention_as(self.set, self.factors, &attention, output, scratch)
    }
}

fn cases() -> Vec<Case> {
    let offsets = |offsets: &[i32]| Tensor::new([offsets.len()], offsets).expect("as many as there are");
    let case = |name: &str, heads: usize| Case::new(name, PackedAttention::new(heads, 0.25));
    let with = |name: &str, heads, key_heads, reach| {
        Case::new(name, PackedAttention { key_heads, reach, ..PackedAttention::new(heads, 0.25) })
    };
    let visible = |parts: &[(i32, usize)]| {
        let rows: Vec<i32> = parts.iter().flat_map(|(keys, rows)| std::iter::repeat_n(*keys, *rows)).collect();
        Tensor::new([rows.len()], &rows).expect("as many as there are")
    };
    let window = |before, after| Reach { before, after };
    vec![
        case("ragged", 3).value(&[40, 3 * 24], Fill::Spread).tensor(offsets(&[0, 1, 8, 8, 20, 40])),
        case("one head", 1).value(&[9, 3 * 5], Fill::Spread).tensor(offsets(&[0, 4, 9])),
        case("wide", 2).value(&[150, 3 * 64], Fill::Spread).tensor(offsets(&[0, 3, 150])),
        case("large", 2).value(&[20, 3 * 16], Fill::Large).tensor(offsets(&[0, 20])),
        case("special", 2).tensor(with_specials(&[9, 24], 0)).tensor(offsets(&[0, 2, 5, 9])),
        with("grouped", 4, 2, Reach::ALL).value(&[30, 8 * 16], Fill::Spread).tensor(offsets(&[0, 1, 20, 30])),
        with("causal", 2, 2, Reach::CAUSAL).value(&[80, 6 * 8], Fill::Spread).tensor(offsets(&[0, 1, 80])),
        with("window", 2, 1, window(9, 9)).value(&[300, 4 * 16], Fill::Spread).tensor(offsets(&[0, 3, 300])),
        with("causal window", 1, 1, window(70, 0)).value(&[200, 3 * 24], Fill::Spread).tensor(offsets(&[0, 200])),
        with("bias", 2, 2, Reach::ALL)
            .value(&[40, 6 * 16], Fill::Spread)
            .tensor(offsets(&[0, 1, 3, 40]))
            .constant(&[2, 2 * 5 + 1], Fill::Spread),
        with("bias in a window", 2, 1, window(20, 3))
            .value(&[140, 4 * 8], Fill::Spread)
            .tensor(offsets(&[0, 140]))
            .constant(&[2, 2 * 70 + 1], Fill::Spread),
        case("visible", 2)
            .value(&[30, 6 * 16], Fill::Spread)
            .tensor(offsets(&[0, 1, 20, 30]))
            .absent()
            .tensor(visible(&[(1, 1), (7, 19), (10, 10)])),
        with("visible in a window with a bias", 2, 1, window(20, 3))
            .value(&[90, 4 * 8], Fill::Spread)
            .tensor(offsets(&[0, 40, 90]))
            .constant(&[2, 2 * 70 + 1], Fill::Spread)
            .tensor(visible(&[(21, 40), (50, 50)])),
        with("rows that see none", 2, 1, window(3, 3))
            .value(&[75, 4 * 8], Fill::Spread)
            .tensor(offsets(&[0, 70, 75]))
            .absent()
            .tensor(visible(&[(5, 70), (1, 5)])),
        case("no sequence", 2).value(&[0, 3 * 16], Fill::Spread).tensor(offsets(&[0])),
    ]
}
