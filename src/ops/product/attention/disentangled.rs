//! Attention over packed sequences whose scores have summands of relative positions' own vectors.

use half::bf16;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{
        KernelSet,
        attention::{self as kernels, Disentangled, Given, Reach},
        gemm::Factors,
    },
    op::{
        Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OpDef, Operator, Shapes,
        scratch_numbers,
    },
    ops::{offsets, product::attention::packed::head_dim},
    shape::{Dim, Shape},
    tensor::{DType, Element, Tensor},
};

/// Attention within each sequence of a packed batch, by contents and by relative positions.
///
/// Operands: `qkv [rows, 3 H]` and `offsets [sequences + 1]` (i32), as of
/// [`PackedAttention`](super::PackedAttention); optionally `position_keys [2 span, H]`, whose products with queries are
/// added to their products with keys, and `position_queries [2 span, H]`, likewise for keys. Result: `[rows, H]`. Made by
/// importers only.
///
/// Source: He et al., "DeBERTa: Decoding-enhanced BERT with Disentangled Attention" (2021).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DisentangledAttention {
    /// The number of heads.
    pub heads: usize,
    /// The factor of the scores.
    pub scale: f32,
    /// Half of the number of positions.
    pub span: usize,
    /// The distance from which on all share a position, if positions further away stand for several distances.
    pub buckets_to: Option<usize>,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "DisentangledAttention",
    onnx: None,
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("packed_attention"),
};

impl DisentangledAttention {
    /// The position of a distance from key to query.
    ///
    /// With buckets each distance below half of the span has one of its own; the others are shared by distances that
    /// grow by a factor.
    pub fn position(&self, distance: i64) -> usize {
        let span = self.span as i64;
        let middle = span / 2;
        let bucket = match self.buckets_to {
            Some(most) if distance.abs() > middle => {
                let factor = (distance.abs() as f32 / middle as f32).ln() / ((most as f32 - 1.0) / middle as f32).ln();
                ((factor * (middle as f32 - 1.0)).ceil() as i64 + middle) * distance.signum()
            }
            _ => distance,
        };
        bucket.saturating_add(span).clamp(0, 2 * span - 1) as usize
    }

    /// The positions of all distances, up to the one from which on all share a position.
    pub(crate) fn index(&self) -> Vec<u32> {
        let most = self.buckets_to.unwrap_or_default().max(self.span) as i64;
        (-most..=most).map(|distance| self.position(distance) as u32).collect()
    }
}

impl Operator for DisentangledAttention {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(2, 4)?;
        let qkv = inputs.required(0)?;
        offsets::sequences(inputs.required(1)?)?;
        let misfit = || Error::invalid_model(format!("disentangled attention of {qkv} with {} heads", self.heads));
        let [rows, columns] = qkv.shape.dims() else { return Err(misfit()) };
        let width = columns.as_fixed().and_then(|columns| usize::try_from(columns).ok());
        let head_dim = width.and_then(|width| head_dim(self.heads, self.heads, width)).ok_or_else(misfit)?;
        if !matches!(qkv.dtype, DType::F32 | DType::BF16) || self.span < 4 || self.span > 1 << 20 {
            return Err(misfit());
        }
        if self.buckets_to.is_some_and(|most| most <= self.span / 2 + 1 || most > 1 << 20) {
            return Err(Error::invalid_model("disentangled attention: no distance beyond those of their own"));
        }
        let hidden = self.heads * head_dim;
        let vectors = Fact::new(DType::F32, Shape::new(vec![Dim::from(2 * self.span), Dim::from(hidden)]));
        if (2..4)
            .filter_map(|index| inputs.fact(index))
            .any(|fact| fact.shape != vectors.shape || fact.dtype != DType::F32)
        {
            return Err(Error::invalid_model(format!("disentangled attention: positions that are not {vectors}")));
        }
        Ok(vec![Fact::new(DType::F32, Shape::new(vec![rows.clone(), Dim::from(hidden)]))])
    }
}

struct Kernel {
    op: DisentangledAttention,
    index: Vec<u32>,
    set: KernelSet,
    factors: Factors,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let op: DisentangledAttention = *request.op()?;
    Ok(Box::new(Kernel { index: op.index(), op, set: request.kernel_set(), factors: request.factors() }))
}

impl CpuKernel for Kernel {
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        // The longest sequence is not known here; it may be the only one.
        let Some(&[rows, columns]) = shapes.inputs[0] else { return 0 };
        let head_dim = head_dim(self.op.heads, self.op.heads, columns).unwrap_or_default();
        let attention = kernels::attention_len_as(self.set, self.factors, rows, head_dim, head_dim);
        let positions = kernels::disentangled_len(self.set, self.factors, rows, head_dim, 2 * self.op.span);
        let sum =
            attention.ok().zip(positions.ok()).and_then(|(attention, positions)| attention.checked_add(positions));
        sum.and_then(|sum| sum.checked_mul(size_of::<f32>())).unwrap_or(usize::MAX)
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        match io.input(0)?.dtype {
            DType::BF16 => self.attend::<bf16>(io),
            _ => self.attend::<f32>(io),
        }
    }
}

impl Kernel {
    fn attend<X: Given + Element>(&self, io: &mut Io<'_>) -> Result<()> {
        let DisentangledAttention { heads, scale, span, .. } = self.op;
        let (qkv, offsets) = (io.input(0)?, io.input(1)?);
        let &[_, columns] = qkv.shape else { return Err(Error::internal("rows that are no matrix")) };
        let head_dim = head_dim(heads, heads, columns).ok_or_else(|| Error::internal("rows of other columns"))?;
        let optional = |index: usize| -> Result<Option<&[f32]>> {
            io.inputs.get(index).copied().flatten().map(|view| view.slice::<f32>()).transpose()
        };
        let (keys, queries) = (optional(2)?, optional(3)?);
        let positions = Some(Disentangled { keys, queries, positions: 2 * span, index: &self.index });
        let (qkv, offsets) = (qkv.slice::<X>()?, offsets.slice()?);
        let attention = kernels::PackedAttention {
            qkv,
            offsets,
            heads,
            key_heads: heads,
            head_dim,
            scale,
            bias: None,
            reach: Reach::ALL,
            visible: None,
            positions,
        };
        let output = io.outputs.first_mut().ok_or_else(|| Error::internal("attention has no result"))?;
        let (output, scratch) = (output.slice::<f32>()?, scratch_numbers(io.scratch));
        kernels::packed_attention_as(self.set, self.factors, &attention, output, scratch)
    }
}

fn cases() -> Vec<Case> {
    let offsets = |offsets: &[i32]| Tensor::new([offsets.len()], offsets).expect("as many as there are");
    let case = |name: &str, heads, span, buckets_to| {
        Case::new(name, DisentangledAttention { heads, scale: 0.2, span, buckets_to })
    };
    let spread = Fill::Spread;
    vec![
        case("both ways", 2, 5, None)
            .value(&[30, 6 * 8], spread)
            .tensor(offsets(&[0, 1, 4, 4, 30]))
            .constant(&[10, 16], spread)
            .constant(&[10, 16], spread),
        case("buckets", 1, 16, Some(24))
            .value(&[60, 3 * 16], spread)
            .tensor(offsets(&[0, 7, 60]))
            .constant(&[32, 16], spread)
            .constant(&[32, 16], spread),
        case("queries alone", 3, 40, None)
            .value(&[41, 9 * 5], spread)
            .tensor(offsets(&[0, 20, 41]))
            .constant(&[80, 15], spread),
        case("keys alone", 1, 8, Some(20))
            .value(&[23, 3 * 24], spread)
            .tensor(offsets(&[0, 3, 23]))
            .absent()
            .constant(&[16, 24], spread),
        case("no sequence", 2, 4, None)
            .value(&[0, 6 * 4], spread)
            .tensor(offsets(&[0]))
            .constant(&[8, 8], spread)
            .constant(&[8, 8], spread),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_fall_into_the_buckets_of_transformers() {
        let base = DisentangledAttention { heads: 1, scale: 1.0, span: 256, buckets_to: Some(512) };
        let of = |distance| base.position(distance);
        assert_eq!([0, 1, 127, 128, 129, 130, 200].map(of), [256, 257, 383, 384, 385, 386, 425]);
        assert_eq!([-1, -128, -129, -300, -511, -512, -9000].map(of), [255, 128, 127, 49, 1, 0, 0]);
        assert_eq!([300, 400, 510, 511, 512, 9000].map(of), [463, 489, 511, 511, 511, 511]);
        let plain = DisentangledAttention { heads: 1, scale: 1.0, span: 5, buckets_to: None };
        assert_eq!([-9, -5, -4, 0, 4, 5, 9].map(|distance| plain.position(distance)), [0, 0, 1, 5, 9, 9, 9]);
    }
}
