//! Scaled dot-product attention: over padded batches, and over sequences laid one behind another.

use half::bf16;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{
        KernelSet,
        attention::{self as kernels, Given, HeadsView, MaskView},
        gemm::{Factors, Stored},
    },
    op::{
        Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OpDef, Operator, Shapes,
        scratch_numbers,
    },
    ops::{offsets, product::linear::stored_as},
    shape::{Dim, Shape},
    tensor::{DType, Element, Tensor},
};

/// `softmax(scale q k^T + mask) v`, head by head.
///
/// Operands: `q [B, heads, S, D]`, `k [B, heads, T, D]`, `v [B, heads, T, E]`, and a summand `mask` of the scores that
/// broadcasts to `[B, heads, S, T]`, which may be absent. Result: `[B, heads, S, E]`. Made by rewrites only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    /// The factor of the scores, most often `1 / sqrt(D)`.
    pub scale: f32,
}

/// Attention inside each sequence of a packed batch: `qkv [rows, 3 H]` holds each row's query, key and value, each of
/// `heads` heads of `H / heads` columns; sequences begin at `offsets [sequences + 1]` (i32). Result: `[rows, H]`.
/// Made by importers and rewrites only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PackedAttention {
    /// The number of heads.
    pub heads: usize,
    /// The factor of the scores, most often `1 / sqrt(H / heads)`.
    pub scale: f32,
    /// Whether the result is stored as bf16, for products that would round it anyway. Set at load, on the CPU only.
    pub rounded: bool,
}

pub(crate) static ATTENTION: OpDef = OpDef {
    name: "Attention",
    onnx: None,
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("attention"),
};

pub(crate) static PACKED: OpDef = OpDef {
    name: "PackedAttention",
    onnx: None,
    cases: packed_cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(packed_kernel),
    gpu: GpuState::Kernel("packed_attention"),
};

impl Operator for Attention {
    fn def(&self) -> &'static OpDef {
        &ATTENTION
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(3, 4)?;
        let facts: Vec<&Fact> = (0..inputs.len()).filter_map(|index| inputs.fact(index)).collect();
        let (q, k, v) = (inputs.required(0)?, inputs.required(1)?, inputs.required(2)?);
        let misfit = || Error::invalid_model(format!("attention of {q}, {k} and {v}: the operands do not fit"));
        if facts.iter().any(|fact| fact.dtype != DType::F32) {
            return Err(Error::unsupported(format!("attention of {q}, {k} and {v}; only f32 is")));
        }
        let ([b, heads, s, d], [b1, heads1, t, d1], [b2, heads2, t1, e]) =
            (q.shape.dims(), k.shape.dims(), v.shape.dims())
        else {
            return Err(misfit());
        };
        let pairs = [(b, b1), (b, b2), (heads, heads1), (heads, heads2), (d, d1), (t, t1)];
        if pairs.iter().any(|(a, b)| a.as_fixed().zip(b.as_fixed()).is_some_and(|(a, b)| a != b)) {
            return Err(misfit());
        }
        if let Some(mask) = inputs.fact(3) {
            let scores = [b, heads, s, t];
            let fits = |(own, dim): (&Dim, &&Dim)| {
                own.as_fixed() == Some(1) || own.as_fixed().zip(dim.as_fixed()).is_none_or(|(own, dim)| own == dim)
            };
            let skipped = 4usize.checked_sub(mask.shape.rank());
            let fits = skipped.is_some_and(|skipped| mask.shape.dims().iter().zip(&scores[skipped..]).all(fits));
            if !fits {
                return Err(Error::invalid_model(format!("a mask {mask} for attention of {q} and {k}")));
            }
        }
        Ok(vec![Fact::new(DType::F32, Shape::new(vec![b.clone(), heads.clone(), s.clone(), e.clone()]))])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        // Items stay apart along the batch, the heads, and (of q and the mask alone) the rows of q.
        let Some(axis) = axes[0] else { return axes.iter().all(Option::is_none).then(|| vec![None]) };
        let mask = inputs.fact(3).map(|fact| &fact.shape);
        let with_keys = match axis {
            0 | 1 => Some(axis),
            2 => None,
            _ => return None,
        };
        if axes[1] != with_keys || axes[2] != with_keys {
            return None;
        }
        let mask_is_apart = mask.is_none_or(|mask| match (axes[3], (axis + mask.rank()).checked_sub(4)) {
            (None, None) => true,
            (None, Some(own)) => mask[own].as_fixed() == Some(1),
            (Some(found), own) => Some(found) == own,
        });
        mask_is_apart.then(|| vec![Some(axis)])
    }
}

impl Operator for PackedAttention {
    fn def(&self) -> &'static OpDef {
        &PACKED
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
    op: Attention,
    set: KernelSet,
    factors: Factors,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel { op: *request.op()?, set: request.kernel_set(), factors: request.factors() }))
}

impl CpuKernel for Kernel {
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        match (shapes.inputs[1], shapes.inputs[2]) {
            (Some(&[_, _, keys, head_dim]), Some(&[.., value_dim])) => {
                let len = kernels::attention_len_as(self.set, self.factors, keys, head_dim, value_dim);
                len.map_or(usize::MAX, |len| len.saturating_mul(size_of::<f32>()))
            }
            _ => 0,
        }
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let (q, k, v) = (io.input(0)?, io.input(1)?, io.input(2)?);
        let mask = io.inputs.get(3).copied().flatten();
        let (&[batch, heads, queries, head_dim], &[.., keys, _], &[.., value_dim]) = (q.shape, k.shape, v.shape) else {
            return Err(Error::internal("operands of other ranks were not refused"));
        };
        if k.shape != [batch, heads, keys, head_dim] || v.shape != [batch, heads, keys, value_dim] {
            let (q, k, v) = (q.shape, k.shape, v.shape);
            return Err(Error::invalid_input(format!("attention of {q:?}, {k:?} and {v:?}: the operands do not fit")));
        }
        let mask = match mask {
            Some(mask) => {
                let strides = broadcast_strides(mask.shape, [batch, heads, queries, keys])?;
                Some(MaskView { data: mask.slice()?, strides })
            }
            None => None,
        };
        let attention = kernels::Attention {
            batch,
            heads,
            queries,
            keys,
            head_dim,
            value_dim,
            scale: self.op.scale,
            q: dense(q.slice()?, heads, queries, head_dim),
            k: dense(k.slice()?, heads, keys, head_dim),
            v: dense(v.slice()?, heads, keys, value_dim),
            mask,
        };
        let output = io.outputs.first_mut().ok_or_else(|| Error::internal("attention has no result"))?;
        let strides = [heads * queries * value_dim, queries * value_dim, value_dim];
        let (output, scratch) = (output.slice()?, scratch_numbers(io.scratch));
        kernels::attention_as(self.set, self.factors, &attention, output, strides, scratch)
    }
}

/// A dense `[batch, heads, rows, columns]`.
fn dense(data: &[f32], heads: usize, rows: usize, columns: usize) -> HeadsView<'_> {
    HeadsView { data, batch_stride: heads * rows * columns, head_stride: rows * columns, row_stride: columns }
}

/// From element to element along each axis of `whole`, to which `own` is broadcast; 0 where it repeats.
fn broadcast_strides(own: &[usize], whole: [usize; 4]) -> Result<[usize; 4]> {
    let misfit = || Error::invalid_input(format!("a mask of shape {own:?} for scores of shape {whole:?}"));
    let skipped = 4usize.checked_sub(own.len()).ok_or_else(misfit)?;
    let mut strides = [0; 4];
    let mut step = 1;
    for (axis, &size) in own.iter().enumerate().rev() {
        if size != 1 {
            if size != whole[axis + skipped] {
                return Err(misfit());
            }
            strides[axis + skipped] = step;
        }
        step *= size;
    }
    Ok(strides)
}

struct PackedKernel {
    op: PackedAttention,
    set: KernelSet,
    factors: Factors,
}

fn packed_kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(PackedKernel { op: *request.op()?, set: request.kernel_set(), factors: request.factors() }))
}

impl CpuKernel for PackedKernel {
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

impl PackedKernel {
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

/// A mask as exporters write it: 0 where a key counts, the least f32 where it does not.
fn padding_mask(shape: &[usize]) -> Tensor {
    let mut mask = Tensor::zeros(DType::F32, shape).expect("a small mask");
    let keys = shape[shape.len() - 1];
    for (index, value) in mask.as_mut_slice::<f32>().expect("made as f32").iter_mut().enumerate() {
        let (row, key) = (index / keys, index % keys);
        *value = if key > row % 3 + keys / 2 { f32::MIN } else { 0.0 };
    }
    mask
}

fn cases() -> Vec<Case> {
    let spread = Fill::Spread;
    let case = |name: &str| Case::new(name, Attention { scale: 0.3 });
    vec![
        case("plain").value(&[2, 3, 7, 16], spread).value(&[2, 3, 7, 16], spread).value(&[2, 3, 7, 16], spread),
        case("other keys").value(&[1, 2, 3, 5], spread).value(&[1, 2, 70, 5], spread).value(&[1, 2, 70, 9], spread),
        case("long").value(&[1, 1, 150, 32], spread).value(&[1, 1, 150, 32], spread).value(&[1, 1, 150, 32], spread),
        case("mask of keys")
            .value(&[2, 3, 7, 8], spread)
            .value(&[2, 3, 7, 8], spread)
            .value(&[2, 3, 7, 8], spread)
            .tensor(padding_mask(&[2, 1, 1, 7])),
        case("mask of all")
            .value(&[2, 3, 5, 8], spread)
            .value(&[2, 3, 7, 8], spread)
            .value(&[2, 3, 7, 8], spread)
            .tensor(padding_mask(&[2, 3, 5, 7])),
        case("small mask")
            .value(&[2, 3, 5, 8], spread)
            .value(&[2, 3, 7, 8], spread)
            .value(&[2, 3, 7, 8], spread)
            .tensor(padding_mask(&[5, 7])),
        case("large").value(&[1, 1, 9, 4], Fill::Large).value(&[1, 1, 9, 4], spread).value(&[1, 1, 9, 4], spread),
        case("empty").value(&[0, 3, 7, 8], spread).value(&[0, 3, 7, 8], spread).value(&[0, 3, 7, 8], spread),
    ]
}

fn packed_cases() -> Vec<Case> {
    let offsets = |offsets: &[i32]| Tensor::new([offsets.len()], offsets).expect("as many as there are");
    let case = |name: &str, heads: usize| Case::new(name, PackedAttention { heads, scale: 0.25, rounded: false });
    vec![
        case("ragged", 3).value(&[40, 3 * 24], Fill::Spread).tensor(offsets(&[0, 1, 8, 8, 20, 40])),
        case("one head", 1).value(&[9, 3 * 5], Fill::Spread).tensor(offsets(&[0, 4, 9])),
        case("wide", 2).value(&[150, 3 * 64], Fill::Spread).tensor(offsets(&[0, 3, 150])),
        case("large", 2).value(&[20, 3 * 16], Fill::Large).tensor(offsets(&[0, 20])),
        case("special", 2).tensor(super::matmul::with_specials(&[9, 24], 0)).tensor(offsets(&[0, 2, 5, 9])),
        case("no sequence", 2).value(&[0, 3 * 16], Fill::Spread).tensor(offsets(&[0])),
    ]
}
