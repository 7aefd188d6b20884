//! Attention in the forms of ONNX Runtime's optimizer.

use crate::{
    error::{Error, Result},
    graph::ValueId,
    import::onnx::convert::lower::{Lower, int},
    ops::product::attention::Attention,
    shape::Dim,
    tensor::DType,
};

/// What the forms have in common.
struct Settings {
    heads: usize,
    causal: bool,
    scale: Option<f32>,
    /// What is added to the scores of keys that do not count.
    filter: f32,
}

impl Settings {
    fn read(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Self> {
        let heads = lower.size("num_heads", None)?;
        let (causal, scale) = lower.read(|node| Ok((node.flag("unidirectional", false)?, node.float("scale")?)))?;
        let filter = lower.read(|node| node.float("mask_filter_value"))?.unwrap_or(-10000.0);
        // As in ONNX Runtime, 0 asks for the usual factor.
        Ok(Self { heads, causal, scale: scale.filter(|&scale| scale != 0.0), filter })
    }
}

/// `Attention`: queries, keys and values are products of one operand and joined weights.
pub(super) fn packed(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    let settings = Settings::read(lower)?;
    let rotates = lower.read(|node| Ok((node.flag("do_rotary", false)?, node.int("rotary_embedding_dim")?)))?;
    let shares = lower.read(|node| node.flag("past_present_share_buffer", false))?;
    if rotates.0 || shares {
        return Err(Error::unsupported("attributes `do_rotary` and `past_present_share_buffer`"));
    }
    let sizes = lower.read(|node| node.ints("qkv_hidden_sizes"))?;
    lower.expect(6)?;
    let product = lower.op("MatMul", &[lower.required(0)?, lower.required(1)?])?;
    let product = lower.plus(product, lower.optional(2))?;
    let (mask, past, bias) = (lower.optional(3), lower.optional(4), lower.optional(5));
    of_product(lower, &settings, product, sizes, [mask, past, bias])
}

/// `QAttention`: as [`packed`], of bytes.
pub(super) fn quantized(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    let settings = Settings::read(lower)?;
    let rotates = lower.read(|node| node.flag("do_rotary", false))?;
    let shares = lower.read(|node| node.flag("past_present_share_buffer", false))?;
    if rotates || shares {
        return Err(Error::unsupported("attributes `do_rotary` and `past_present_share_buffer`"));
    }
    lower.expect(9)?;
    let sides = [lower.required(0)?, lower.required(1)?];
    let scales = [lower.required(3)?, lower.required(4)?];
    let product = lower.scaled_product(sides, [lower.optional(6), lower.optional(7)], scales)?;
    let product = lower.plus(product, lower.optional(2))?;
    let (mask, past) = (lower.optional(5), lower.optional(8));
    of_product(lower, &settings, product, None, [mask, past, None])
}

/// Attention of joined queries, keys and values, `[batch, length, sizes]`.
fn of_product(
    lower: &mut Lower<'_, '_, '_, '_>,
    settings: &Settings,
    product: ValueId,
    sizes: Option<Vec<i64>>,
    [mask, past, bias]: [Option<ValueId>; 3],
) -> Result<Vec<ValueId>> {
    let width = lower.dims::<3>(product)?[2].as_fixed();
    let width = width.ok_or_else(|| Error::unsupported("joined weights of unknown width"))?;
    let sizes = sizes.filter(|sizes| !sizes.is_empty()).unwrap_or_else(|| vec![width / 3; 3]);
    if sizes.len() != 3 || sizes.iter().any(|&size| size < 1) || sizes.iter().sum::<i64>() != width {
        return Err(Error::invalid_model(format!("queries, keys and values of {sizes:?} of {width} numbers")));
    }
    let parts = lower.split(product, 2, &sizes)?;
    let mut all = [parts[0], parts[1], parts[2]];
    for part in &mut all {
        *part = lower.in_heads(*part, settings.heads)?;
    }
    let [q, mut k, mut v] = all;
    if let Some(past) = past {
        for (own, index) in [(&mut k, 0), (&mut v, 1)] {
            let index = lower.constant(crate::tensor::Tensor::scalar(index));
            let earlier = lower.op_with("Gather", vec![int("axis", 0)], &[past, index])?;
            *own = lower.op_with("Concat", vec![int("axis", 2)], &[earlier, *own])?;
        }
    }
    let y = lower.attended(settings, [q, k, v], mask, bias)?;
    if lower.outputs == 1 {
        return Ok(vec![y]);
    }
    let (k, v) = (lower.unsqueeze(k, &[0])?, lower.unsqueeze(v, &[0])?);
    Ok(vec![y, lower.op_with("Concat", vec![int("axis", 0)], &[k, v])?])
}

/// `MultiHeadAttention`: queries, keys and values apart, or joined head by head.
pub(super) fn heads(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    let settings = Settings::read(lower)?;
    lower.expect(8)?;
    if lower.outputs > 3 {
        return Err(Error::unsupported("the products of queries and keys as a result"));
    }
    let [mut q, mut k, mut v] = operands(lower, settings.heads)?;
    for (own, past) in [(&mut k, 6), (&mut v, 7)] {
        if let Some(past) = lower.optional(past) {
            *own = lower.op_with("Concat", vec![int("axis", 2)], &[past, *own])?;
        }
    }
    // Other types have no kernel of their own.
    let dtype = lower.dtype(q);
    let present = [k, v];
    for part in [&mut q, &mut k, &mut v] {
        *part = lower.cast(*part, DType::F32)?;
    }
    let y = lower.attended(&settings, [q, k, v], lower.optional(4), lower.optional(5))?;
    let y = lower.cast(y, dtype)?;
    Ok([y].into_iter().chain(present).take(lower.outputs).collect())
}

/// The queries, keys and values, `[batch, heads, length, size]`, with their bias.
fn operands(lower: &mut Lower<'_, '_, '_, '_>, heads: usize) -> Result<[ValueId; 3]> {
    let first = lower.required(0)?;
    let (key, value, bias) = (lower.optional(1), lower.optional(2), lower.optional(3));
    let parts: Vec<ValueId> = match (key, value) {
        // [batch, length, heads, 3, size]
        (None, None) if lower.rank(first) == 5 => joined(lower, first, 3)?,
        // [batch, length, heads, 2, size]
        (Some(key), None) if lower.rank(key) == 5 => {
            let mut parts = vec![first];
            parts.extend(joined(lower, key, 2)?);
            parts
        }
        (Some(key), Some(value)) => vec![first, key, value],
        _ => return Err(Error::invalid_model("keys and values are missing")),
    };
    let mut all = [parts[0], parts[1], parts[2]];
    // The bias is that of the three operands in turn; operands in heads already have none.
    let widths: Option<Vec<i64>> = all.iter().map(|&part| lower.fact(part).shape.dims().get(2)?.as_fixed()).collect();
    if let Some(bias) = bias {
        let widths = widths.filter(|_| all.iter().all(|&part| lower.rank(part) == 3));
        let widths = widths.ok_or_else(|| Error::unsupported("a bias of operands that are in heads already"))?;
        let parts = lower.split(bias, 0, &widths)?;
        for (own, bias) in all.iter_mut().zip(parts) {
            *own = lower.op("Add", &[*own, bias])?;
        }
    }
    for part in &mut all {
        if lower.rank(*part) == 3 {
            *part = lower.in_heads(*part, heads)?;
        }
    }
    Ok(all)
}

/// The parts of `[batch, length, heads, count, size]`, each `[batch, length, heads size]`.
fn joined(lower: &mut Lower<'_, '_, '_, '_>, id: ValueId, count: usize) -> Result<Vec<ValueId>> {
    let [batch, length, heads, own, size] = lower.dims::<5>(id)?;
    if own.as_fixed() != Some(count as i64) {
        return Err(Error::invalid_model(format!("an operand of {own} parts, expected {count}")));
    }
    let parts = lower.split(id, 3, &vec![1; count])?;
    let dims = [batch, length, &heads * &size];
    parts.into_iter().map(|part| lower.reshape(part, &dims)).collect()
}

impl Lower<'_, '_, '_, '_> {
    /// `[batch, length, width]` as `[batch, heads, length, width / heads]`.
    fn in_heads(&mut self, id: ValueId, heads: usize) -> Result<ValueId> {
        let [batch, length, width] = self.dims::<3>(id)?;
        let heads = Dim::from(heads);
        let size = width.exact_div(&heads);
        let size = size.ok_or_else(|| Error::invalid_model(format!("{width} numbers for {heads} heads")))?;
        let apart = self.reshape(id, &[batch, length, heads, size])?;
        self.transpose(apart, &[0, 2, 1, 3])
    }

    /// The attention, `[batch, length, width]`, of operands in heads.
    fn attended(
        &mut self,
        settings: &Settings,
        [q, k, v]: [ValueId; 3],
        mask: Option<ValueId>,
        bias: Option<ValueId>,
    ) -> Result<ValueId> {
        let [batch, heads, length, size] = self.dims::<4>(q)?;
        let value_size = self.dims::<4>(v)?[3].clone();
        let scale = match (settings.scale, size.as_fixed()) {
            (Some(scale), _) => scale,
            (None, Some(size)) => 1.0 / (size as f32).sqrt(),
            _ => return Err(Error::unsupported("attention over heads of unknown size")),
        };
        let mut sum = bias.map(|bias| self.cast(bias, DType::F32)).transpose()?;
        if let Some(mask) = mask {
            let mask = self.key_mask(mask, &batch, k, settings.filter)?;
            sum = Some(self.plus(mask, sum)?);
        }
        if settings.causal {
            let causal = self.causal_mask(q, k)?;
            sum = Some(self.plus(causal, sum)?);
        }
        let mut inputs = vec![q, k, v];
        inputs.extend(sum);
        let made = self.converter.graph.apply(self.name, Attention { scale }, &inputs)?;
        let made = self.transpose(made, &[0, 2, 1, 3])?;
        self.reshape(made, &[batch, length, &heads * &value_size])
    }
}
