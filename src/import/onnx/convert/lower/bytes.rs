//! Products whose operands and results are bytes with scales, written as operators on numbers.
//!
//! ONNX Runtime multiplies the bytes: the sums are exact, and one factor brings them to the result's
//! scale. Here f32 holds the same sums, where weights are known and no sum can reach 2^24.

use std::sync::Arc;

use crate::{
    error::Result,
    graph::ValueId,
    import::onnx::convert::{
        Converter,
        call::Call,
        dequantized::Dequantized,
        lower::{Attributes, Lower},
    },
    kernels::Activation,
    op::{Attribute, Operator},
    ops::{
        conv::{Conv, Layout},
        product::{gemm::Gemm, matmul::MatMul},
    },
    tensor::{DType, Tensor},
};

/// Sums below it are exact in f32.
const MAX_EXACT: i64 = 1 << 24;

/// A product of exact sums.
struct Exact {
    op: Arc<dyn Operator>,
    x: Dequantized,
    /// Weights less their zero points.
    weights: Tensor,
    bias: Option<Tensor>,
    /// What sums are multiplied with: for all, or along the result's channels.
    scale: Tensor,
}

impl Converter<'_, '_, '_> {
    /// Remembers which bytes a value stands for.
    pub(in crate::import::onnx::convert) fn remember_bytes(&mut self, call: &Call<'_>, made: &[ValueId]) {
        let axis = match call.attributes.as_slice() {
            [] => 1,
            [(name, Attribute::Int(axis))] if name == "axis" => *axis,
            _ => return,
        };
        if let (&[Some(bytes), Some(scale), ref zero @ ..], &[made]) = (call.inputs.as_slice(), made) {
            let zero = zero.first().copied().flatten();
            self.dequantized.insert(made, Dequantized { bytes, scale, zero, axis });
        }
    }

    /// The results of a `QuantizeLinear` of a product of bytes; `None` for any other.
    pub(in crate::import::onnx::convert) fn product_of_bytes(
        &mut self,
        call: &Call<'_>,
        place: String,
    ) -> Result<Option<Vec<ValueId>>> {
        let Some((exact, zero)) = self.exact(call) else { return Ok(None) };
        let (inputs, attributes) = (Vec::new(), Attributes::new());
        let name = call.name;
        let mut lower = Lower { converter: self, place, name, op_type: call.op_type, attributes, inputs, outputs: 1 };
        let one = lower.number(1.0, DType::F32)?;
        let x = lower.dequantized(exact.x.bytes, one, exact.x.zero)?;
        let mut inputs = vec![Some(x), Some(lower.constant(exact.weights))];
        inputs.extend(exact.bias.map(|bias| Some(lower.constant(bias))));
        let sums = lower.converter.graph.node(name, exact.op, inputs)?[0];
        let scale = lower.constant(exact.scale);
        let made = lower.op("Mul", &[sums, scale])?;
        Ok(Some(vec![lower.quantized(made, one, zero, DType::U8)?]))
    }

    /// The product before a `QuantizeLinear` and the zero point of the result, if its sums are exact.
    fn exact(&self, call: &Call<'_>) -> Option<(Exact, Option<ValueId>)> {
        let plain = call.attributes.iter().all(|(name, _)| name == "axis");
        let &[Some(y), Some(y_scale), ref zero @ ..] = call.inputs.as_slice() else { return None };
        let zero = zero.first().copied().flatten();
        let node = self.graph.nodes().iter().rev().find(|node| node.outputs.contains(&y)).filter(|_| plain)?;
        let operand = |index: usize| self.dequantized.get(&(*node.inputs.get(index)?)?);
        let (x, w) = (*operand(0)?, *operand(1)?);
        let weights = self.graph.constant_of(w.bytes).filter(|tensor| is_bytes(tensor.dtype()))?;
        let rank = weights.shape().len();
        // The axis of the weights along which the results' channels lie.
        let (axis, behind) = if let Some(conv) = node.op::<Conv>() {
            let plain = conv.layout == Layout::ChannelsFirst && conv.activation == Activation::None;
            (plain && !conv.global_max).then_some((0, rank.checked_sub(2)?))?
        } else if node.op::<MatMul>().is_some() {
            (rank == 2).then_some((1, 0))?
        } else {
            let gemm: &Gemm = node.op()?;
            let plain = gemm.alpha == 1.0 && gemm.beta == 1.0 && !gemm.trans_a;
            (plain && rank == 2).then_some((usize::from(!gemm.trans_b), 0))?
        };
        let channels = weights.shape()[axis];
        let inner: usize = weights.shape()[axis + 1..].iter().product();
        let channel = |index: usize| index / inner.max(1) % channels.max(1);
        let one = |all: Vec<f32>| if let [one] = all[..] { Some(one) } else { None };
        let (x_scale, y_scale) = (one(self.scales(x.scale)?)?, one(self.scales(y_scale)?)?);
        let (w_scales, w_zeros) = (self.scales(w.scale)?, self.zeros(w.zero)?);
        let (x_zeros, is_byte) = (self.zeros(x.zero)?, |id| is_bytes(self.graph.fact(id).dtype));
        let along = w.axis == axis as i64 || w.axis + rank as i64 == axis as i64;
        let fits = |count: usize| count == 1 || (count == channels && along);
        if !fits(w_scales.len()) || !fits(w_zeros.len()) || x_zeros.len() != 1 || !is_byte(x.bytes) {
            return None;
        }
        if zero.is_some_and(|zero| !is_byte(zero) || self.zeros(Some(zero)).is_none_or(|all| all.len() != 1)) {
            return None;
        }
        let values = weights.to_i64().ok()?;
        let of = |all: &[i64], channel: usize| if let [one] = all { *one } else { all[channel] };
        let values = values.iter().enumerate().map(|(index, value)| value - of(&w_zeros, channel(index)));
        let values: Vec<i64> = values.collect();
        let w_scale = |channel: usize| if let [one] = w_scales[..] { one } else { w_scales[channel] };
        let bias = match node.inputs.get(2).copied().flatten() {
            None => None,
            Some(id) => {
                let own = self.dequantized.get(&id)?;
                let (bias, scales) = (self.graph.constant_of(own.bytes)?.to_i64().ok()?, self.scales(own.scale)?);
                let due = |at: usize| x_scale * w_scale(at);
                let near = |(at, scale): (usize, &f32)| (scale - due(at)).abs() <= 1e-3 * due(at).abs();
                let fits = bias.len() == channels && (scales.len() == 1 || scales.len() == channels);
                let no_zero = self.zeros(own.zero)?.iter().all(|&zero| zero == 0);
                (fits && no_zero && scales.iter().enumerate().all(near)).then_some(Some(bias))?
            }
        };
        let widest = match self.graph.fact(x.bytes).dtype {
            DType::U8 => x_zeros[0].max(255 - x_zeros[0]),
            _ => (x_zeros[0] + 128).max(127 - x_zeros[0]),
        };
        let mut most: Vec<i64> = bias.iter().flatten().map(|bias| bias.abs()).collect();
        most.resize(channels, 0);
        for (index, value) in values.iter().enumerate() {
            most[channel(index)] += value.abs() * widest;
        }
        if most.iter().any(|&most| most >= MAX_EXACT) {
            return None;
        }
        let numbers = |all: &[i64]| all.iter().map(|&x| x as f32).collect::<Vec<f32>>();
        let scales: Vec<f32> = (0..channels).map(|at| x_scale * w_scale(at) / y_scale).collect();
        let shape: Vec<usize> = std::iter::once(channels).chain(std::iter::repeat_n(1, behind)).collect();
        let bias = bias.map(|bias| Tensor::new([channels], &numbers(&bias))).transpose().ok()?;
        let weights = Tensor::new(weights.shape(), &numbers(&values)).ok()?;
        let scale = Tensor::new(shape, &scales).ok()?;
        Some((Exact { op: Arc::clone(&node.op), x, weights, bias, scale }, zero))
    }

    /// The numbers of a constant of f32.
    fn scales(&self, id: ValueId) -> Option<Vec<f32>> {
        Some(self.graph.constant_of(id)?.as_slice::<f32>().ok()?.to_vec())
    }

    /// Constant zero points; one 0 where they are absent.
    fn zeros(&self, id: Option<ValueId>) -> Option<Vec<i64>> {
        match id {
            None => Some(vec![0]),
            Some(id) => self.graph.constant_of(id)?.to_i64().ok(),
        }
    }
}

fn is_bytes(dtype: DType) -> bool {
    matches!(dtype, DType::I8 | DType::U8)
}
