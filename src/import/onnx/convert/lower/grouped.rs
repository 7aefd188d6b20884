//! Attention whose heads share keys, and rotations by position.

use crate::{
    error::{Error, Result},
    graph::ValueId,
    import::onnx::convert::lower::{Attributes, Lower, float, int},
    tensor::DType,
};

/// `GroupQueryAttention` of whole sequences: a query attends to no later key.
pub(super) fn grouped(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    let (heads, shared) = (lower.size("num_heads", None)?, lower.size("kv_num_heads", None)?);
    let (scale, softcap) = lower.read(|node| Ok((node.float("scale")?, node.float("softcap")?)))?;
    let window = lower.read(|node| node.int("local_window_size"))?.unwrap_or(-1);
    let rotates = lower.read(|node| node.flag("do_rotary", false))?;
    let interleaved = lower.read(|node| node.int("rotary_interleaved"))?.unwrap_or(0);
    let smooth = lower.read(|node| node.int("smooth_softmax"))?.unwrap_or(0);
    let scores = lower.read(|node| node.int("qk_output"))?.unwrap_or(0);
    for name in ["k_quant_type", "v_quant_type"] {
        if lower.read(|node| node.string(name))?.is_some_and(|kind| kind != "NONE") {
            return Err(Error::unsupported(format!("attribute `{name}`")));
        }
    }
    lower.read(|node| node.int("kv_cache_bit_width"))?;
    if smooth == 1 || scores != 0 {
        return Err(Error::unsupported("attributes `smooth_softmax` and `qk_output`"));
    }
    if lower.optional(3).is_some() || lower.optional(4).is_some() {
        return Err(Error::unsupported("keys and values of earlier runs"));
    }
    lower.expect(11)?;
    let mut all = parts(lower, heads, shared)?;
    if rotates {
        let (cosines, sines) = (lower.required(7)?, lower.required(8)?);
        let places = lower.optional(9);
        for (own, count) in all.iter_mut().zip([heads, shared]) {
            *own = rotated(lower, *own, places, [cosines, sines], count, 0, interleaved)?;
        }
    }
    let mut attributes =
        vec![int("is_causal", 1), int("q_num_heads", heads as i64), int("kv_num_heads", shared as i64)];
    // As in ONNX Runtime, 0 asks for the usual factor.
    attributes.extend(scale.filter(|&scale| scale != 0.0).map(|scale| float("scale", scale)));
    attributes.extend(softcap.filter(|&cap| cap > 0.0).map(|cap| float("softcap", cap)));
    if window > 0 {
        attributes.push(int("left_window_size", window - 1));
    }
    let [q, k, v] = all.map(Some);
    let bias = lower.optional(10);
    let results = lower.outputs.min(3);
    lower.many_of(28, "Attention", attributes, &[q, k, v, bias], results)
}

/// The queries, keys and values, `[batch, length, width]`.
fn parts(lower: &mut Lower<'_, '_, '_, '_>, heads: usize, shared: usize) -> Result<[ValueId; 3]> {
    let first = lower.required(0)?;
    if let Some((key, value)) = lower.optional(1).zip(lower.optional(2)) {
        return Ok([first, key, value]);
    }
    let width = lower.dims::<3>(first)?[2].as_fixed();
    let size = width.filter(|width| width % (heads + 2 * shared) as i64 == 0);
    let size = size.ok_or_else(|| Error::invalid_model("joined heads of unknown or uneven width"))?;
    let size = size / (heads + 2 * shared) as i64;
    let sizes = [heads, shared, shared].map(|count| count as i64 * size);
    let parts = lower.split(first, 2, &sizes)?;
    Ok([parts[0], parts[1], parts[2]])
}

/// `RotaryEmbedding`: the places are a first one of all items, or one for each number.
pub(super) fn rotary(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    let interleaved = lower.read(|node| node.int("interleaved"))?.unwrap_or(0);
    let (mut heads, turned) = lower.read(|node| {
        let heads = node.int("num_heads")?.unwrap_or(0);
        Ok((heads.max(0) as usize, node.int("rotary_embedding_dim")?.unwrap_or(0)))
    })?;
    let (scale, joined) = lower.read(|node| Ok((node.float("scale")?, node.flag("is_packed_batching", false)?)))?;
    if joined || scale.is_some_and(|scale| scale != 1.0) {
        return Err(Error::unsupported("attributes `is_packed_batching` and `scale`"));
    }
    let (x, places) = (lower.required(0)?, lower.required(1)?);
    let tables = [lower.required(2)?, lower.required(3)?];
    if lower.rank(x) == 3 && heads == 0 {
        // All of a head is turned, so the tables give its size.
        let (width, pairs) = (lower.dims::<3>(x)?[2].as_fixed(), lower.dims::<2>(tables[0])?[1].as_fixed());
        let found = width.zip(pairs).filter(|(width, pairs)| *pairs > 0 && width % (2 * pairs) == 0);
        let (width, pairs) = found.ok_or_else(|| Error::invalid_model("the number of heads is missing"))?;
        heads = (width / (2 * pairs)) as usize;
    }
    Ok(vec![rotated(lower, x, Some(places), tables, heads, turned, interleaved)?])
}

fn rotated(
    lower: &mut Lower<'_, '_, '_, '_>,
    x: ValueId,
    places: Option<ValueId>,
    [cosines, sines]: [ValueId; 2],
    heads: usize,
    turned: i64,
    interleaved: i64,
) -> Result<ValueId> {
    let length_axis = lower.rank(x) as i64 - 2;
    let own = match places {
        Some(places) if lower.rank(places) == 2 => places,
        first => {
            let mut places = lower.positions(x, length_axis as usize)?;
            if let Some(first) = first {
                let first = lower.cast(first, DType::I64)?;
                places = lower.op("Add", &[places, first])?;
            }
            let (batch, length) = (lower.size_at(x, 0)?, lower.size_at(x, length_axis)?);
            let shape = lower.op_with("Concat", vec![int("axis", 0)], &[batch, length])?;
            lower.op("Expand", &[places, shape])?
        }
    };
    let size = lower.fact(x).shape.dims().last().and_then(crate::shape::Dim::as_fixed);
    let pairs = lower.dims::<2>(cosines)?[1].as_fixed();
    let mut attributes: Attributes = vec![int("interleaved", interleaved)];
    if lower.rank(x) == 3 {
        attributes.push(int("num_heads", heads as i64));
    }
    // The tables say how much of a head is turned where the node does not.
    let of_head = size.map(|size| if lower.rank(x) == 3 { size / heads.max(1) as i64 } else { size });
    let turned = match (turned, pairs, of_head) {
        (0, Some(pairs), Some(size)) if 2 * pairs < size => 2 * pairs,
        (turned, ..) => turned,
    };
    attributes.push(int("rotary_embedding_dim", turned));
    lower.op_with("RotaryEmbedding", attributes, &[x, cosines, sines, own])
}
