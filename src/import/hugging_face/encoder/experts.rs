//! Mixtures of experts in place of a layer's second half.

use crate::{
    error::{Error, Result},
    graph::ValueId,
    import::hugging_face::encoder::{Encoder, tensors::ExpertTensors},
    ops::{
        norm::softmax::Softmax,
        product::{experts::Experts, linear::Linear},
    },
    tensor::Tensor,
};

impl Encoder<'_> {
    /// The result of each row's experts, by the softmax of the router's product.
    pub(super) fn experts(&mut self, name: &str, tensors: &ExpertTensors, x: ValueId) -> Result<ValueId> {
        let own = self.config.experts.ok_or_else(|| Error::internal("experts without their settings"))?;
        let (hidden, intermediate) = (self.config.hidden, self.config.intermediate);
        let weights = self.builder.weights();
        let router = weights.transposed(&[(&tensors.router.weight, 0..own.count)])?;
        let down = weights.plain(&tensors.down)?;
        let down = Tensor::new([own.count, intermediate, hidden], down.as_slice::<f32>()?)?;
        let mut up = Vec::with_capacity(own.count * hidden * intermediate);
        for expert in 0..own.count {
            let rows = expert * intermediate..(expert + 1) * intermediate;
            up.extend_from_slice(weights.transposed(&[(&tensors.up, rows)])?.as_slice::<f32>()?);
        }
        let up = Tensor::new([own.count, hidden, intermediate], &up)?;
        let bias = self.builder.plain(&tensors.bias)?;
        let graph = &mut self.builder.graph;
        let router = graph.constant(tensors.router.weight.name(), router);
        let routed = graph.apply(&format!("{name}.router"), Linear::default(), &[x, router])?;
        let shares = graph.apply(&format!("{name}.softmax"), Softmax::over(-1), &[routed])?;
        let [up, down] =
            [(&tensors.up, up), (&tensors.down, down)].map(|(found, own)| graph.constant(found.name(), own));
        let op = Experts { chosen: own.chosen, activation: self.config.activation };
        graph.apply(name, op, &[x, up, down, shares, bias])
    }
}
