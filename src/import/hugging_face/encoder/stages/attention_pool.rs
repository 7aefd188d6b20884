//! SigLIP's head: one vector of an image by attention from a learnt query.

use super::linear;
use crate::{
    error::{Error, Result},
    graph::{Graph, ValueId},
    import::hugging_face::{
        Pooling,
        encoder::tensors::{Affine, Norm},
        weights::{Found, Weights},
    },
    kernels::Activation,
    ops::{
        norm::layer_norm::LayerNorm,
        pointwise::{Binary, BinaryFunction},
        pool::segment_pool::SegmentPool,
        product::{attention::PackedAttention, linear::Linear},
    },
    tensor::Tensor,
};

/// The tensors of the head.
#[derive(Debug)]
pub(in crate::import::hugging_face) struct AttentionPool {
    /// The weights that hold it.
    pub(in crate::import::hugging_face) source: usize,
    /// The query before its product, `[1, 1, hidden]`.
    pub(in crate::import::hugging_face) probe: Found,
    /// Queries, keys and values, `[3 hidden, hidden]` and `[3 hidden]`.
    pub(in crate::import::hugging_face) qkv: [Found; 2],
    pub(in crate::import::hugging_face) attention: Affine,
    pub(in crate::import::hugging_face) norm: Norm,
    pub(in crate::import::hugging_face) up: Affine,
    pub(in crate::import::hugging_face) down: Affine,
    pub(in crate::import::hugging_face) activation: Activation,
    pub(in crate::import::hugging_face) epsilon: f32,
    pub(in crate::import::hugging_face) heads: usize,
}

impl AttentionPool {
    pub(super) fn build(&self, graph: &mut Graph, weights: &Weights, [x, offsets]: [ValueId; 2]) -> Result<ValueId> {
        let [matrix, bias] = self.products(weights)?;
        let hidden = matrix.shape()[0];
        let operands = [x, graph.constant("head.qkv.weight", matrix), graph.constant("head.qkv.bias", bias)];
        let qkv = graph.apply("head.qkv", Linear::default(), &operands)?;
        let scale = ((hidden / self.heads) as f32).sqrt().recip();
        // All rows of an image have the one query, so that the first row of the result is all of it.
        let mixed = graph.apply("head.attention", PackedAttention::new(self.heads, scale), &[qkv, offsets])?;
        let one = graph.apply("head.first", SegmentPool { mode: Pooling::Cls }, &[mixed, offsets])?;
        let mixed = linear(graph, weights, "head.attention.output", &self.attention, Activation::None, one)?;
        let mut operands = vec![mixed];
        for part in [Some(&self.norm.scale), self.norm.bias.as_ref()].into_iter().flatten() {
            operands.push(graph.constant(part.name(), weights.plain(part)?));
        }
        let norm = LayerNorm { axes: vec![1], epsilon: self.epsilon };
        let normed = graph.apply("head.norm", norm, &operands)?;
        let up = linear(graph, weights, "head.intermediate", &self.up, self.activation, normed)?;
        let down = linear(graph, weights, "head.output", &self.down, Activation::None, up)?;
        graph.apply("head.add", Binary { function: BinaryFunction::Add }, &[mixed, down])
    }

    /// The product that makes queries, keys and values of rows: of queries the bias alone, which is the learnt one.
    fn products(&self, weights: &Weights) -> Result<[Tensor; 2]> {
        let [weight, bias] = &self.qkv;
        let hidden = self.probe.shape().last().copied().unwrap_or_default();
        let mut matrix = weights.transposed(&[(weight, 0..3 * hidden)])?;
        let mut sums: Vec<f32> = weights.plain(bias)?.as_slice::<f32>()?.to_vec();
        let probe = weights.plain(&self.probe)?;
        let (probe, rows) = (probe.as_slice::<f32>()?, matrix.as_mut_slice::<f32>()?);
        let (Some(query), true) = (sums.get_mut(..hidden), hidden > 0) else {
            return Err(Error::internal("a head without columns"));
        };
        let mut wide: Vec<f64> = query.iter().map(|&bias| f64::from(bias)).collect();
        for (row, &number) in rows.chunks_exact_mut(3 * hidden).zip(probe) {
            for (sum, weight) in wide.iter_mut().zip(&mut row[..hidden]) {
                *sum += f64::from(number) * f64::from(*weight);
                *weight = 0.0;
            }
        }
        query.iter_mut().zip(wide).for_each(|(query, sum)| *query = sum as f32);
        Ok([matrix, Tensor::new([3 * hidden], &sums)?])
    }
}
