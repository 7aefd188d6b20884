//! Products of bytes, whose sums are exact.

use crate::{
    error::{Error, Result},
    graph::ValueId,
    import::onnx::convert::lower::{Attributes, Lower, int, ints},
    tensor::DType,
};

/// Operands: `a`, `b`, their scales, their zero points, and a bias.
pub(super) fn to_float(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    lower.expect(7)?;
    let sides = [lower.required(0)?, lower.required(1)?];
    let zeros = [lower.optional(4), lower.optional(5)];
    let scales = [lower.required(2)?, lower.required(3)?];
    let made = lower.scaled_product(sides, zeros, scales)?;
    Ok(vec![lower.plus(made, lower.optional(6))?])
}

/// Operands: numbers, which are quantized by their own range; bytes, their scale and zero point,
/// and a bias.
pub(super) fn dynamic(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    lower.expect(5)?;
    let (x, b, scale) = (lower.required(0)?, lower.required(1)?, lower.required(2)?);
    let a = lower.many("DynamicQuantizeLinear", Attributes::new(), &[Some(x)], 3)?;
    let made = lower.scaled_product([a[0], b], [Some(a[2]), lower.optional(3)], [a[1], scale])?;
    Ok(vec![lower.plus(made, lower.optional(4))?])
}

/// `Gemm` of bytes: `alpha a b` with a bias of 32-bit integers, as numbers or as bytes.
pub(super) fn gemm(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    let alpha = lower.read(|node| node.float("alpha"))?.unwrap_or(1.0);
    let mut sides = [lower.required(0)?, lower.required(3)?];
    for (side, name) in sides.iter_mut().zip(["transA", "transB"]) {
        if lower.read(|node| node.flag(name, false))? {
            *side = lower.transpose(*side, &[1, 0])?;
        }
    }
    let (zeros, scales) = ([lower.optional(2), lower.optional(5)], [lower.required(1)?, lower.required(4)?]);
    let sums = lower.sums(sides, zeros)?;
    let sums = lower.plus(sums, lower.optional(6))?;
    let sums = lower.cast(sums, DType::F32)?;
    let mut scale = lower.op("Mul", &scales)?;
    if alpha != 1.0 {
        let alpha = lower.number(alpha, DType::F32)?;
        scale = lower.op("Mul", &[scale, alpha])?;
    }
    let Some(result) = lower.optional(7) else { return Ok(vec![lower.op("Mul", &[sums, scale])?]) };
    let scale = lower.op("Div", &[scale, result])?;
    let made = lower.op("Mul", &[sums, scale])?;
    let one = lower.number(1.0, DType::F32)?;
    let like = lower.dtype(sides[0]);
    Ok(vec![lower.quantized(made, one, lower.optional(8), like)?])
}

/// A product of bytes less their zero points, as 32-bit integers.
pub(super) fn mul_integer(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    let mut sides = [(0, 1), (2, 3)].map(|(of, zero)| (lower.optional(of), lower.optional(zero)));
    for (x, zero) in &mut sides {
        let bytes = x.ok_or_else(|| Error::invalid_model("an operand is missing"))?;
        let wide = lower.cast(bytes, DType::I32)?;
        let zero = zero.map(|zero| lower.cast(zero, DType::I32)).transpose()?;
        *x = Some(match zero {
            Some(zero) => lower.op("Sub", &[wide, zero])?,
            None => wide,
        });
    }
    let sides: Vec<ValueId> = sides.into_iter().filter_map(|(x, _)| x).collect();
    Ok(vec![lower.op("Mul", &sides)?])
}

/// A sum of bytes as 32-bit integers.
pub(super) fn sum_integer(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    let (axes, kept) = lower.read(|node| Ok((node.ints("axes")?, node.flag("keepdims", true)?)))?;
    let axes = axes.ok_or_else(|| Error::invalid_model("attribute `axes` is missing"))?;
    let x = lower.cast(lower.required(0)?, DType::I32)?;
    let attributes = vec![ints("axes", axes), int("keepdims", kept.into())];
    lower.many_of(11, "ReduceSum", attributes, &[Some(x)], 1)
}

impl Lower<'_, '_, '_, '_> {
    fn sums(&mut self, [a, b]: [ValueId; 2], [a_zero, b_zero]: [Option<ValueId>; 2]) -> Result<ValueId> {
        Ok(self.many("MatMulInteger", Attributes::new(), &[Some(a), Some(b), a_zero, b_zero], 1)?[0])
    }

    /// The product of bytes as numbers.
    pub(super) fn scaled_product(
        &mut self,
        sides: [ValueId; 2],
        zeros: [Option<ValueId>; 2],
        scales: [ValueId; 2],
    ) -> Result<ValueId> {
        let sums = self.sums(sides, zeros)?;
        let scale = self.op("Mul", &scales)?;
        let sums = self.cast(sums, self.dtype(scale))?;
        self.op("Mul", &[sums, scale])
    }
}
