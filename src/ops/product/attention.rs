//! Scaled dot-product attention: over padded batches here, over packed sequences in `packed`.

pub(crate) mod disentangled;
pub(crate) mod heads_last;
mod order;
pub(crate) mod packed;
pub(crate) mod rotary;
pub mod standard;

pub use disentangled::DisentangledAttention;
pub use heads_last::HeadsLastAttention;
pub use packed::PackedAttention;
pub use rotary::RotaryHeads;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{
        KernelSet,
        attention::{self as kernels, MaskView},
        gemm::Factors,
    },
    op::{
        Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OpDef, Operator, Shapes,
        scratch_numbers,
    },
    ops::product::attention::order::Order,
    shape::{Dim, Shape},
    tensor::{DType, Tensor},
    threads::split,
};

/// `softmax(scale q k^T + mask) v`, head by head.
///
/// Operands: `q [B, heads, S, D]`, `k [B, heads, T, D]`, `v [B, heads, T, E]`, and optionally a
/// `mask` that is added to the scores and broadcasts to `[B, heads, S, T]`.
/// Result: `[B, heads, S, E]`. Made by rewrites only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    /// The factor of the scores, most often `1 / sqrt(D)`.
    pub scale: f32,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "Attention",
    onnx: None,
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("attention"),
};

impl Operator for Attention {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let [b, heads, s, e] = result(inputs, Order::HeadsFirst)?;
        Ok(vec![Fact::new(DType::F32, Shape::new(vec![b, heads, s, e]))])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        batch_axes(inputs, axes)
    }
}

/// The result's `[batch, heads, rows, columns]`.
fn result(inputs: &Inputs<'_>, order: Order) -> Result<[Dim; 4]> {
    inputs.expect(3, 4)?;
    let facts: Vec<&Fact> = (0..inputs.len()).filter_map(|index| inputs.fact(index)).collect();
    let (q, k, v) = (inputs.required(0)?, inputs.required(1)?, inputs.required(2)?);
    let misfit = || Error::invalid_model(format!("attention of {q}, {k} and {v}: the operands do not fit"));
    if facts.iter().any(|fact| fact.dtype != DType::F32) {
        return Err(Error::unsupported(format!("attention of {q}, {k} and {v}; only f32 is")));
    }
    let four = |fact: &Fact| order.heads_first(fact.shape.dims()).ok_or_else(misfit);
    let ([b, heads, s, d], [b1, heads1, t, d1], [b2, heads2, t1, e]) = (four(q)?, four(k)?, four(v)?);
    let pairs = [(&b, &b1), (&b, &b2), (&heads, &heads1), (&heads, &heads2), (&d, &d1), (&t, &t1)];
    if pairs.iter().any(|(a, b)| a.as_fixed().zip(b.as_fixed()).is_some_and(|(a, b)| a != b)) {
        return Err(misfit());
    }
    if let Some(mask) = inputs.fact(3) {
        let scores = [&b, &heads, &s, &t];
        let fits = |(own, dim): (&Dim, &&Dim)| {
            own.as_fixed() == Some(1) || own.as_fixed().zip(dim.as_fixed()).is_none_or(|(own, dim)| own == dim)
        };
        let skipped = 4usize.checked_sub(mask.shape.rank());
        let fits = skipped.is_some_and(|skipped| mask.shape.dims().iter().zip(&scores[skipped..]).all(fits));
        if !fits {
            return Err(Error::invalid_model(format!("a mask {mask} for attention of {q} and {k}")));
        }
    }
    Ok([b, heads, s, e])
}

/// The items' axis of the result, with axes of `[batch, heads, rows, columns]`.
fn batch_axes(inputs: &Inputs<'_>, axes: &[Option<usize>]) -> Option<Vec<Option<usize>>> {
    // Items stay independent along the batch, the heads, and (of q and the mask alone) the rows
    // of q.
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

struct Kernel {
    scale: f32,
    order: Order,
    set: KernelSet,
    factors: Factors,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel::new(request, *request.op()?, Order::HeadsFirst)))
}

impl Kernel {
    fn new(request: &KernelRequest<'_>, Attention { scale }: Attention, order: Order) -> Self {
        Self { scale, order, set: request.kernel_set(), factors: request.factors() }
    }
}

impl CpuKernel for Kernel {
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        match (shapes.inputs[1].and_then(|shape| self.order.heads_first(shape)), shapes.inputs[2]) {
            (Some([batch, _, keys, head_dim]), Some(&[.., value_dim])) => {
                let len = kernels::attention_len_as(self.set, self.factors, keys, head_dim, value_dim);
                // Each worker that items are split over has its own.
                let parts = split::workers().min(batch).max(1);
                len.map_or(usize::MAX, |len| len.saturating_mul(size_of::<f32>()).saturating_mul(parts))
            }
            _ => 0,
        }
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let (q, k, v) = (io.input(0)?, io.input(1)?, io.input(2)?);
        let mask = io.inputs.get(3).copied().flatten();
        let four = |shape: &[usize]| self.order.heads_first(shape);
        let (Some([batch, heads, queries, head_dim]), Some(of_keys), Some(of_values)) =
            (four(q.shape), four(k.shape), four(v.shape))
        else {
            return Err(Error::internal("operands of other ranks were not refused"));
        };
        let (keys, value_dim) = (of_keys[2], of_values[3]);
        if of_keys != [batch, heads, keys, head_dim] || of_values != [batch, heads, keys, value_dim] {
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
            scale: self.scale,
            q: self.order.view(q.slice()?, heads, queries, head_dim),
            k: self.order.view(k.slice()?, heads, keys, head_dim),
            v: self.order.view(v.slice()?, heads, keys, value_dim),
            mask,
        };
        let output = io.outputs.first_mut().ok_or_else(|| Error::internal("attention has no result"))?;
        let strides = self.order.strides(heads, queries, value_dim);
        let (output, scratch) = (output.slice()?, scratch_numbers(io.scratch));
        kernels::attention_as(self.set, self.factors, &attention, output, strides, scratch)
    }
}

/// The strides along the axes of `whole` to which `own` is broadcast; 0 where it repeats.
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

/// A mask as exporters write it: 0 for keys that count, the least f32 for others.
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
