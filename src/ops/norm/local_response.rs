//! `LRN`: elements divided by the magnitude of those of the neighbouring channels.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::number::Number,
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, Io, OnnxNode, OpDef, Operator, function_kernel},
    shape::Dim,
    tensor::{DType, Tensor},
};

/// `x / (bias + alpha / size * sum)^beta` of `[batch, channels, ...]`.
///
/// The sum is of the squares of `size` channels around the element's, as far as there are such; of
/// an even number, the element's own is the last of the first half.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LocalResponseNorm {
    /// The factor of the mean square.
    pub alpha: f32,
    /// The exponent of the divisor.
    pub beta: f32,
    /// Added to the mean square.
    pub bias: f32,
    /// The number of channels.
    pub size: usize,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "LRN",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(|request| function_kernel::<LocalResponseNorm>(request, run)),
    gpu: GpuState::Host("no shader yet"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let size = node.int("size")?.and_then(|size| usize::try_from(size).ok()).filter(|&size| size > 0);
    Ok(Arc::new(LocalResponseNorm {
        alpha: node.float("alpha")?.unwrap_or(1e-4),
        beta: node.float("beta")?.unwrap_or(0.75),
        bias: node.float("bias")?.unwrap_or(1.0),
        size: size.ok_or_else(|| Error::invalid_model("`size` is missing or not positive"))?,
    }))
}

impl Operator for LocalResponseNorm {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        if !matches!(input.dtype, DType::F32 | DType::F64) {
            return Err(Error::unsupported(format!("a norm of {input}; only f32 and f64 are")));
        }
        if input.shape.rank() < 2 {
            return Err(Error::invalid_model(format!("a norm of {input}: expected [batch, channels, ...]")));
        }
        Ok(vec![Fact::new(input.dtype, input.shape.clone())])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        (axes[0] != Some(1)).then(|| vec![axes[0]])
    }
}

fn run(op: &LocalResponseNorm, io: &mut Io<'_>) -> Result<()> {
    let input = io.input(0)?;
    let (channels, plane) = (input.shape[1], input.shape[2..].iter().product());
    let output = io.output(0)?;
    match input.dtype {
        DType::F64 => op.normalize(input.slice::<f64>()?, output.slice()?, channels, plane),
        _ => op.normalize(input.slice::<f32>()?, output.slice()?, channels, plane),
    }
    Ok(())
}

impl LocalResponseNorm {
    fn normalize<T: Number>(&self, input: &[T], output: &mut [T], channels: usize, plane: usize) {
        if input.is_empty() {
            return;
        }
        let (before, after) = ((self.size - 1) / 2, self.size / 2);
        let alpha = f64::from(self.alpha) / self.size as f64;
        let (bias, beta) = (f64::from(self.bias), f64::from(self.beta));
        let items = input.chunks_exact(channels * plane).zip(output.chunks_exact_mut(channels * plane));
        for (from, to) in items {
            for (channel, to) in to.chunks_exact_mut(plane).enumerate() {
                let near =
                    channel.saturating_sub(before)..channel.saturating_add(after).saturating_add(1).min(channels);
                for (place, to) in to.iter_mut().enumerate() {
                    let sum: f64 = near.clone().map(|near| from[near * plane + place].wide().powi(2)).sum();
                    *to = T::narrow(from[channel * plane + place].wide() / (bias + alpha * sum).powf(beta));
                }
            }
        }
    }
}

fn cases() -> Vec<Case> {
    let of = |size| LocalResponseNorm { alpha: 0.5, beta: 0.6, bias: 1.5, size };
    let doubles = Tensor::new([1, 3], &[0.25f64, -3.0, 1e9]).expect("three numbers");
    vec![
        Case::new("images", of(3)).value(&[2, 7, 3, 5], Fill::Spread),
        Case::new("an even number", of(4)).value(&[1, 7, 3, 2], Fill::Spread),
        Case::new("sequences", of(5)).value(&[2, 6, 4], Fill::Large),
        Case::new("more than there are", of(usize::MAX)).value(&[2, 4], Fill::Spread),
        Case::new("f64", of(2)).tensor(doubles),
        Case::new("empty", of(3)).value(&[2, 3, 0], Fill::Spread),
    ]
}
