//! Operators on bytes with scales: computed on the numbers that the bytes stand for.

use crate::{
    error::{Error, Result},
    graph::ValueId,
    import::onnx::convert::lower::{Attributes, Lower, int},
    tensor::{DType, Tensor},
};

/// `DequantizeLinear` and `QuantizeLinear` of ONNX.
pub(super) fn linear(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    let attributes = std::mem::take(&mut lower.attributes);
    let inputs = lower.inputs.clone();
    lower.many(lower.op_type, attributes, &inputs, 1)
}

/// A sum or a product.
pub(super) fn binary(lower: &mut Lower<'_, '_, '_, '_>, op_type: &str) -> Result<Vec<ValueId>> {
    let (a, b) = (lower.dequantized_at(0)?, lower.dequantized_at(3)?);
    let made = lower.op(op_type, &[a, b])?;
    Ok(vec![lower.quantized_as(made, 6)?])
}

/// A function of each number, with its attributes.
pub(super) fn unary(lower: &mut Lower<'_, '_, '_, '_>, op_type: &str) -> Result<Vec<ValueId>> {
    let attributes = std::mem::take(&mut lower.attributes);
    let x = lower.dequantized_at(0)?;
    let made = lower.op_with(op_type, attributes, &[x])?;
    Ok(vec![lower.quantized_as(made, 3)?])
}

/// By the rule of the opset that the node names.
pub(super) fn softmax(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    let opset = lower.read(|node| node.int("opset"))?;
    let opset = opset.ok_or_else(|| Error::invalid_model("attribute `opset` is missing"))?;
    let attributes = std::mem::take(&mut lower.attributes);
    let x = lower.dequantized_at(0)?;
    let made = lower.many_of(opset, "Softmax", attributes, &[Some(x)], 1)?[0];
    Ok(vec![lower.quantized_as(made, 3)?])
}

/// The mean over axes, which are all where none are named.
pub(super) fn mean(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    let (axes, kept) = lower.read(|node| Ok((node.ints("axes")?, node.flag("keepdims", true)?)))?;
    let x = lower.dequantized_at(0)?;
    let made = lower.mean_over(x, axes, kept)?;
    Ok(vec![lower.quantized_as(made, 3)?])
}

/// A pool, whose channels may be last.
pub(super) fn pool(lower: &mut Lower<'_, '_, '_, '_>, op_type: &str) -> Result<Vec<ValueId>> {
    let last = lower.read(|node| node.flag("channels_last", false))?;
    let attributes = std::mem::take(&mut lower.attributes);
    let x = lower.dequantized_at(0)?;
    let made = moved(lower, last, x, |lower, x| lower.op_with(op_type, attributes, &[x]))?;
    Ok(vec![lower.quantized_as(made, 3)?])
}

/// `MaxPool` with channels last.
pub(super) fn max_pool(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    let attributes = std::mem::take(&mut lower.attributes);
    let x = lower.required(0)?;
    Ok(vec![moved(lower, true, x, |lower, x| lower.op_with("MaxPool", attributes, &[x]))?])
}

/// `QLinearConv`, whose channels may be last.
pub(super) fn conv(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    let last = lower.read(|node| node.flag("channels_last", false))?;
    let attributes = std::mem::take(&mut lower.attributes);
    let (x, mut inputs) = (lower.required(0)?, lower.inputs.clone());
    let made = moved(lower, last, x, |lower, x| {
        inputs[0] = Some(x);
        Ok(lower.many("QLinearConv", attributes, &inputs, 1)?[0])
    })?;
    Ok(vec![made])
}

/// Runs `body` with channels in their usual place.
fn moved<'l, 'a, 'b, 'c>(
    lower: &mut Lower<'l, 'a, 'b, 'c>,
    last: bool,
    x: ValueId,
    body: impl FnOnce(&mut Lower<'l, 'a, 'b, 'c>, ValueId) -> Result<ValueId>,
) -> Result<ValueId> {
    let x = if last { lower.channels_first(x)? } else { x };
    let made = body(lower, x)?;
    if last { lower.channels_last(made) } else { Ok(made) }
}

/// Operands: the result's scale and zero point, then each part with its own.
pub(super) fn concat(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    let axis = lower.read(|node| node.int("axis"))?;
    let axis = axis.ok_or_else(|| Error::invalid_model("attribute `axis` is missing"))?;
    let parts =
        (2..lower.inputs.len()).step_by(3).map(|index| lower.dequantized_at(index)).collect::<Result<Vec<_>>>()?;
    let made = lower.op_with("Concat", vec![int("axis", axis)], &parts)?;
    let first = lower.dtype(lower.required(2)?);
    let (scale, zero) = (lower.required(0)?, lower.optional(1));
    Ok(vec![lower.quantized(made, scale, zero, first)?])
}

/// `Where` of two operands with scales of their own.
pub(super) fn select(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    let condition = lower.required(0)?;
    let (x, y) = (lower.dequantized_at(1)?, lower.dequantized_at(4)?);
    let made = lower.op("Where", &[condition, x, y])?;
    let (scale, zero) = (lower.required(7)?, lower.optional(8));
    Ok(vec![lower.quantized(made, scale, zero, lower.dtype(lower.required(1)?))?])
}

impl Lower<'_, '_, '_, '_> {
    /// The numbers that bytes with one scale stand for.
    pub(super) fn dequantized(&mut self, x: ValueId, scale: ValueId, zero: Option<ValueId>) -> Result<ValueId> {
        let (scale, zero) = (self.scalar(scale)?, zero.map(|zero| self.scalar(zero)).transpose()?);
        Ok(self.many("DequantizeLinear", Attributes::new(), &[Some(x), Some(scale), zero], 1)?[0])
    }

    /// As [`dequantized`](Self::dequantized), of an operand that its scale and zero point follow.
    fn dequantized_at(&mut self, index: usize) -> Result<ValueId> {
        let (x, scale) = (self.required(index)?, self.required(index + 1)?);
        self.dequantized(x, scale, self.optional(index + 2))
    }

    /// Numbers as bytes with one scale; of the type `like` where no zero point says it.
    pub(super) fn quantized(
        &mut self,
        x: ValueId,
        scale: ValueId,
        zero: Option<ValueId>,
        like: DType,
    ) -> Result<ValueId> {
        let scale = self.scalar(scale)?;
        let zero = match zero {
            Some(zero) => self.scalar(zero)?,
            None => {
                let zero = Tensor::zeros(like, [])?;
                self.constant(zero)
            }
        };
        self.op("QuantizeLinear", &[x, scale, zero])
    }

    /// As [`quantized`](Self::quantized), with the scale at `index` and the first operand's type.
    fn quantized_as(&mut self, x: ValueId, index: usize) -> Result<ValueId> {
        let (scale, zero) = (self.required(index)?, self.optional(index + 1));
        self.quantized(x, scale, zero, self.dtype(self.required(0)?))
    }

    /// The value without its dimensions, if they are all 1.
    pub(super) fn scalar(&mut self, id: ValueId) -> Result<ValueId> {
        let shape = &self.fact(id).shape;
        match shape.rank() > 0 && shape.elements().as_fixed() == Some(1) {
            true => self.reshape(id, &[]),
            false => Ok(id),
        }
    }
}
