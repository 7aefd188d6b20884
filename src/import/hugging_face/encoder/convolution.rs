//! A convolution along the tokens of each text: a product of each row and its neighbours.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::ValueId,
    import::hugging_face::encoder::{Encoder, tensors::ConvolutionTensors},
    ops::{moves::segment_windows::SegmentWindows, product::linear::Linear},
    tensor::Tensor,
};

impl Encoder<'_> {
    /// The norm of `x` and the activated convolution of `input`.
    pub(super) fn convolution(&mut self, tensors: &ConvolutionTensors, input: ValueId, x: ValueId) -> Result<ValueId> {
        let (Some(own), Some(offsets)) = (self.config.convolution, self.offsets) else {
            return Err(Error::internal("a convolution without its settings"));
        };
        let around = own.kernel / 2;
        let windows = SegmentWindows { before: around, after: around };
        let windows = self.builder.graph.apply("convolution.windows", windows, &[input, offsets])?;
        let matrix = self.builder.weights().plain(&tensors.weight)?;
        let matrix = as_product(matrix.as_slice()?, self.config.hidden, own.groups, own.kernel)?;
        let matrix = self.builder.graph.constant(tensors.weight.name(), matrix);
        let mut operands = vec![Some(windows), Some(matrix), Some(self.builder.plain(&tensors.bias)?), Some(x)];
        for part in [Some(&tensors.norm.scale), tensors.norm.bias.as_ref()].into_iter().flatten() {
            operands.push(Some(self.builder.plain(part)?));
        }
        let linear = Linear { activation: own.activation, layer_norm: Some(self.config.epsilon), ..Linear::default() };
        match self.builder.graph.node("convolution", Arc::new(linear), operands)?[..] {
            [result] => Ok(result),
            _ => Err(Error::internal("a product has one result")),
        }
    }
}

/// Filters `[hidden, hidden / groups, kernel]` as a matrix `[kernel hidden, hidden]`, zeros between groups.
fn as_product(filters: &[f32], hidden: usize, groups: usize, kernel: usize) -> Result<Tensor> {
    let depth = hidden / groups.max(1);
    let mut matrix = vec![0f32; kernel * hidden * hidden];
    for (output, filter) in filters.chunks_exact((depth * kernel).max(1)).enumerate() {
        let first = output / depth.max(1) * depth;
        for (index, taps) in filter.chunks_exact(kernel.max(1)).enumerate() {
            for (place, &tap) in taps.iter().enumerate() {
                matrix[(place * hidden + first + index) * hidden + output] = tap;
            }
        }
    }
    Tensor::new([kernel * hidden, hidden], &matrix)
}
