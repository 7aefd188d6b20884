//! Operators that differ from ONNX's of the same name in little.

use crate::{
    error::{Error, Result},
    graph::ValueId,
    import::onnx::convert::lower::{Lower, int, text},
    op::Attribute,
};

/// The same operator of ONNX.
pub(super) fn as_onnx(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    let mut inputs = lower.inputs.clone();
    if lower.op_type == "Range" && lower.optional(2).is_none() {
        let one = lower.number(1.0, lower.dtype(lower.required(0)?))?;
        inputs.truncate(2);
        inputs.push(Some(one));
    }
    let attributes = std::mem::take(&mut lower.attributes);
    lower.many(lower.op_type, attributes, &inputs, 1)
}

/// `Unsqueeze` with one axis, of the operand or of the result.
pub(super) fn expand_dims(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    let (x, axis) = (lower.required(0)?, lower.required(1)?);
    let known = lower.converter.graph.constant_of(axis).map(|tensor| tensor.to_i64()).transpose()?;
    let Some(&[axis]) = known.as_deref() else {
        return Err(Error::unsupported("the new axis must be one constant number"));
    };
    Ok(vec![lower.unsqueeze(x, &[axis])?])
}

/// `GridSample` with the modes' old names.
pub(super) fn grid_sample(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    let mut attributes = std::mem::take(&mut lower.attributes);
    for (name, value) in &mut attributes {
        if let ("mode", Attribute::String(mode)) = (name.as_str(), value) {
            match mode.as_str() {
                "bilinear" => *mode = "linear".to_owned(),
                "bicubic" => *mode = "cubic".to_owned(),
                _ => {}
            }
        }
    }
    let inputs = lower.inputs.clone();
    lower.many("GridSample", attributes, &inputs, 1)
}

/// `Pad` whose pads may have a leading axis of size 1.
pub(super) fn pad(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    let mode = lower.read(|node| node.string("mode"))?.unwrap_or_else(|| "constant".to_owned());
    let (x, mut pads) = (lower.required(0)?, lower.required(1)?);
    if lower.rank(pads) == 2 {
        let axes = lower.integers(&[0])?;
        pads = lower.op("Squeeze", &[pads, axes])?;
    }
    lower.many("Pad", vec![text("mode", &mode)], &[Some(x), Some(pads), lower.optional(2)], 1)
}

impl Lower<'_, '_, '_, '_> {
    /// The value with its channels moved from the last axis to the second.
    pub(super) fn channels_first(&mut self, x: ValueId) -> Result<ValueId> {
        let last = self.rank(x).saturating_sub(1);
        let order: Vec<usize> = std::iter::once(0).chain([last]).chain(1..last).collect();
        self.transpose(x, &order)
    }

    /// The value with its channels moved from the second axis to the last.
    pub(super) fn channels_last(&mut self, x: ValueId) -> Result<ValueId> {
        let order: Vec<usize> = std::iter::once(0).chain(2..self.rank(x)).chain([1]).collect();
        self.transpose(x, &order)
    }

    /// The mean over axes that are kept, or not.
    pub(super) fn mean_over(&mut self, x: ValueId, axes: Option<Vec<i64>>, kept: bool) -> Result<ValueId> {
        let axes = axes.map(|axes| self.integers(&axes)).transpose()?;
        Ok(self.many("ReduceMean", vec![int("keepdims", kept.into())], &[Some(x), axes], 1)?[0])
    }
}
