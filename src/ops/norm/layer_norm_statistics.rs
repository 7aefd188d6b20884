//! `LayerNormalization` with the mean and the inverse deviation as results.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, Io, OpDef, Operator, function_kernel},
    ops::wide,
    shape::{Dim, Shape},
    tensor::DType,
};

/// As [`LayerNorm`](super::layer_norm::LayerNorm) over the last axes, and what it divided by.
///
/// Results: the normalized operand, the mean, and the reciprocal of the deviation, whose
/// normalized axes are 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNormStatistics {
    /// The first of the normalized axes.
    pub axis: usize,
    /// Added to the variance.
    pub epsilon: f32,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "LayerNormStatistics",
    onnx: None,
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(|request| function_kernel::<LayerNormStatistics>(request, run)),
    gpu: GpuState::Host("no shader yet"),
};

pub(super) fn made(axis: usize, epsilon: f32) -> Arc<dyn Operator> {
    Arc::new(LayerNormStatistics { axis, epsilon })
}

impl Operator for LayerNormStatistics {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(2, 3)?;
        let x = inputs.required(0)?;
        if !x.dtype.is_float() || self.axis > x.shape.rank() {
            return Err(Error::unsupported(format!("layer norm of {x} from axis {} on", self.axis)));
        }
        let normalized = Shape::new(&x.shape.dims()[self.axis..]);
        for weight in [1, 2].into_iter().filter_map(|index| inputs.fact(index)) {
            if !weight.dtype.is_float() || inputs.broadcast(&normalized, &weight.shape)?.rank() != normalized.rank() {
                return Err(Error::invalid_model(format!("a weight {weight} of layer norm over {normalized}")));
            }
        }
        let kept = x.shape.dims()[..self.axis].iter().cloned();
        let statistics: Shape = kept.chain(normalized.dims().iter().map(|_| Dim::from(1))).collect();
        // ONNX's statistics are of f32, whatever the operand is.
        let dtype = if x.dtype == DType::F64 { DType::F64 } else { DType::F32 };
        let own = || Fact::new(dtype, statistics.clone());
        Ok(vec![Fact::new(x.dtype, x.shape.clone()), own(), own()])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let apart = axes[1..].iter().all(Option::is_none) && axes[0].is_none_or(|batch| batch < self.axis);
        apart.then(|| vec![axes[0]; 3])
    }
}

fn run(op: &LayerNormStatistics, io: &mut Io<'_>) -> Result<()> {
    let x = io.input(0)?;
    let axes = &x.shape[op.axis..];
    let len: usize = axes.iter().product();
    let weight = |index: usize, absent: f64| -> Result<Vec<f64>> {
        let Some(view) = io.inputs.get(index).copied().flatten() else { return Ok(vec![absent; len]) };
        let mut whole = vec![0.0; len];
        let walk = crate::kernels::broadcast::Broadcast::new(axes, &[view.shape])?;
        crate::kernels::map::update(&walk, &mut whole, &wide::read(view)?, &|_, weight| weight);
        Ok(whole)
    };
    let (scale, bias) = (weight(1, 1.0)?, weight(2, 0.0)?);
    let mut numbers = wide::read(x)?;
    let (mut means, mut deviations) = (Vec::new(), Vec::new());
    for row in numbers.chunks_exact_mut(len.max(1)) {
        let mean = row.iter().sum::<f64>() / len as f64;
        let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / len as f64;
        let inverse = 1.0 / (variance + f64::from(op.epsilon)).sqrt();
        for ((x, scale), bias) in row.iter_mut().zip(&scale).zip(&bias) {
            *x = (*x - mean) * inverse * scale + bias;
        }
        means.push(mean);
        deviations.push(inverse);
    }
    if len == 0 {
        // The mean of nothing.
        let rows = x.shape[..op.axis].iter().product();
        (means, deviations) = (vec![f64::NAN; rows], vec![f64::NAN; rows]);
    }
    wide::write(io.output(0)?, &numbers)?;
    wide::write(io.output(1)?, &means)?;
    wide::write(io.output(2)?, &deviations)
}

fn cases() -> Vec<Case> {
    let of = |axis| LayerNormStatistics { axis, epsilon: 1e-5 };
    let spread = Fill::Spread;
    vec![
        Case::new("rows", of(1)).value(&[5, 9], spread).constant(&[9], spread).constant(&[9], spread),
        Case::new("planes", of(1)).value(&[2, 3, 4], spread).constant(&[3, 4], spread),
        Case::new("all", of(0)).value(&[3, 4], spread).constant(&[4], spread).constant(&[3, 1], spread),
        Case::new("empty", of(1)).value(&[0, 4], spread).constant(&[4], spread),
    ]
}
