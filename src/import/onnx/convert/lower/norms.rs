//! Normalizations of sums and of embeddings.

use crate::{
    error::{Error, Result},
    graph::ValueId,
    import::onnx::convert::lower::{Lower, float, int, ints},
    tensor::{DType, Tensor},
};

/// The root mean square instead of the deviation.
pub(super) fn simplified(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    let axis = lower.read(|node| node.int("axis"))?.unwrap_or(-1);
    let epsilon = lower.read(|node| node.float("epsilon"))?.unwrap_or(1e-5);
    // Sums are never narrower than f32.
    lower.read(|node| node.int("stash_type"))?;
    let (x, scale) = (lower.required(0)?, lower.required(1)?);
    let attributes = vec![int("axis", axis), float("epsilon", epsilon)];
    let mut made = vec![lower.op_with("RMSNormalization", attributes, &[x, scale])?];
    if lower.outputs > 1 {
        let first = lower.fact(x).shape.axis(axis)?;
        let axes = (first..lower.rank(x)).map(|axis| axis as i64).collect();
        made.push(lower.deviation(x, None, axes, epsilon)?);
    }
    Ok(made)
}

/// The norm of an operand plus what skipped the layer. Results: the norm, the mean, the reciprocal
/// of the deviation, and the sum.
pub(super) fn skip(lower: &mut Lower<'_, '_, '_, '_>, simplified: bool) -> Result<Vec<ValueId>> {
    let epsilon = lower.read(|node| node.float("epsilon"))?.unwrap_or(1e-12);
    let (x, skip) = (lower.required(0)?, lower.required(1)?);
    let (scale, bias) = (lower.required(2)?, if simplified { None } else { lower.optional(3) });
    let sum = lower.op("Add", &[x, skip])?;
    let sum = lower.plus(sum, lower.optional(if simplified { 3 } else { 4 }))?;
    if lower.fact(sum).shape.rank() != lower.rank(x) {
        return Err(Error::invalid_model("what is added has more dimensions than the operand"));
    }
    let attributes = vec![int("axis", -1), float("epsilon", epsilon)];
    let made = match simplified {
        true => lower.op_with("RMSNormalization", attributes, &[sum, scale])?,
        false => lower.many("LayerNormalization", attributes, &[Some(sum), Some(scale), bias], 1)?[0],
    };
    if lower.outputs == 1 {
        return Ok(vec![made]);
    }
    let last = lower.rank(x) as i64 - 1;
    let mean = lower.mean(sum, vec![last])?;
    let deviation = lower.deviation(sum, if simplified { None } else { Some(mean) }, vec![last], epsilon)?;
    Ok(vec![made, mean, deviation, sum])
}

/// The norm of the sum of embeddings: of tokens, places and segments.
pub(super) fn embed(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    let epsilon = lower.read(|node| node.float("epsilon"))?.unwrap_or(1e-12);
    let mask_type = lower.read(|node| node.int("mask_index_type"))?;
    let tables = [2, 3, 4].map(|index| lower.optional(index));
    let weights = [5, 6].map(|index| lower.optional(index));
    embedded(lower, tables, weights, lower.optional(7), lower.optional(8), epsilon, mask_type)
}

/// As [`embed`], with tables and weights of bytes.
pub(super) fn quantized_embed(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    let epsilon = lower.read(|node| node.float("epsilon"))?.unwrap_or(1e-12);
    let mut all = [None; 5];
    for (index, value) in all.iter_mut().enumerate() {
        let Some(bytes) = lower.optional(2 + index) else { continue };
        let scale = lower.required(8 + index)?;
        *value = Some(lower.dequantized(bytes, scale, lower.optional(13 + index))?);
    }
    let [words, places, segments, scale, bias] = all;
    embedded(lower, [words, places, segments], [scale, bias], lower.optional(7), None, epsilon, None)
}

fn embedded(
    lower: &mut Lower<'_, '_, '_, '_>,
    [words, places, segments]: [Option<ValueId>; 3],
    [scale, bias]: [Option<ValueId>; 2],
    mask: Option<ValueId>,
    position_ids: Option<ValueId>,
    epsilon: f32,
    mask_type: Option<i64>,
) -> Result<Vec<ValueId>> {
    let missing = || Error::invalid_model("a table of embeddings is missing");
    let (words, places) = (words.ok_or_else(missing)?, places.ok_or_else(missing)?);
    let (ids, segment_ids) = (lower.required(0)?, lower.optional(1));
    let positions = match position_ids {
        Some(ids) => ids,
        None => lower.positions(ids, 1)?,
    };
    let rows = vec![int("axis", 0)];
    let of_words = lower.op_with("Gather", rows.clone(), &[words, ids])?;
    let of_places = lower.op_with("Gather", rows.clone(), &[places, positions])?;
    let mut sum = lower.op("Add", &[of_words, of_places])?;
    if let Some((ids, table)) = segment_ids.zip(segments) {
        let of_segments = lower.op_with("Gather", rows, &[table, ids])?;
        sum = lower.op("Add", &[sum, of_segments])?;
    }
    let attributes = vec![int("axis", -1), float("epsilon", epsilon)];
    let made = lower.many("LayerNormalization", attributes, &[Some(sum), scale, bias], 1)?[0];
    if lower.outputs == 1 {
        return Ok(vec![made]);
    }
    // The number of tokens that count, or 0 without a mask.
    let lengths = match (mask, mask_type) {
        (None, _) | (_, Some(0)) => {
            let zero = lower.constant(Tensor::zeros(DType::I32, [1])?);
            let batch = lower.op_with("Shape", vec![int("end", 1)], &[ids])?;
            lower.op("Expand", &[zero, batch])?
        }
        (Some(mask), None | Some(1)) => {
            let one = lower.number(1.0, lower.dtype(mask))?;
            let counts = lower.op("Equal", &[mask, one])?;
            let counts = lower.cast(counts, DType::I32)?;
            let axes = lower.integers(&[1])?;
            lower.op_with("ReduceSum", vec![int("keepdims", 0)], &[counts, axes])?
        }
        (_, Some(other)) => return Err(Error::unsupported(format!("`mask_index_type` is {other}, expected 0 or 1"))),
    };
    Ok(vec![made, lengths, sum])
}

impl Lower<'_, '_, '_, '_> {
    fn mean(&mut self, x: ValueId, axes: Vec<i64>) -> Result<ValueId> {
        Ok(self.many_of(13, "ReduceMean", vec![ints("axes", axes)], &[Some(x)], 1)?[0])
    }

    /// The reciprocal of the root of the mean square, around the mean if one is given.
    fn deviation(&mut self, x: ValueId, mean: Option<ValueId>, axes: Vec<i64>, epsilon: f32) -> Result<ValueId> {
        let x = match mean {
            Some(mean) => self.op("Sub", &[x, mean])?,
            None => x,
        };
        let square = self.op("Mul", &[x, x])?;
        let square = self.mean(square, axes)?;
        let epsilon = self.number(epsilon, self.dtype(x))?;
        let square = self.op("Add", &[square, epsilon])?;
        let root = self.op("Sqrt", &[square])?;
        self.op("Reciprocal", &[root])
    }
}
