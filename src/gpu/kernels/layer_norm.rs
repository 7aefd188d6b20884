//! Layer normalisation, also in place behind a product.

use std::sync::Arc;

use super::super::{
    kernel::{GpuKernel, GpuRequest, Made, Operand, Recorder, word},
    shader::Program,
};
use crate::{
    error::{Error, Result},
    graph::Fact,
    ops::layer_norm::LayerNorm,
    shape::Shape,
};

struct Kernel {
    norm: Norm,
    from: usize,
    to: usize,
}

/// The shader of one normalisation.
pub(super) struct Norm {
    program: Arc<Program>,
    epsilon: f32,
    in_place: bool,
}

pub(super) fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let op: &LayerNorm = request.op()?;
    let (Some(&from), Some(&last)) = (op.axes.first(), op.axes.last()) else {
        return Err(Error::internal("layer norm over no axes"));
    };
    let whole: Shape = request.input(0)?.shape.dims()[from..=last].iter().cloned().collect();
    let inputs = request.inputs();
    // A weight is repeated along the axes: all of them, or the last ones.
    let repeats = |fact: &Fact| {
        let skipped = whole.rank().checked_sub(fact.shape.rank());
        skipped.is_some_and(|skipped| whole.dims()[skipped..] == *fact.shape.dims())
    };
    if ![1, 2].into_iter().filter_map(|index| inputs.fact(index)).all(repeats) {
        return Ok(Made::Host("weights that are stretched within a row"));
    }
    let norm = Norm::new(request, op.epsilon, inputs.fact(1).is_some(), inputs.fact(2).is_some(), false)?;
    Made::kernel(Kernel { norm, from, to: last + 1 })
}

impl Norm {
    pub fn new(request: &GpuRequest<'_>, epsilon: f32, scale: bool, bias: bool, in_place: bool) -> Result<Self> {
        let bindings = if in_place {
            "@group(0) @binding(1) var<storage, read_write> y: array<f32>;"
        } else {
            "@group(0) @binding(0) var<storage, read> x: array<f32>;\n\
             @group(0) @binding(1) var<storage, read_write> y: array<f32>;"
        };
        let values = [
            ("bindings", bindings),
            ("x", if in_place { "y" } else { "x" }),
            ("scale", if scale { "scale[i % p.scales]" } else { "1.0" }),
            ("bias", if bias { "bias[i % p.biases]" } else { "0.0" }),
        ];
        Ok(Self { program: request.program("layer_norm", &values)?, epsilon, in_place })
    }

    /// Normalises the middle axis of `[rows / inner, axis, inner]`; an absent weight is any operand.
    pub fn record(
        &self,
        run: &mut Recorder<'_>,
        [rows, axis, inner]: [usize; 3],
        (scale, scales): (Operand, usize),
        (bias, biases): (Operand, usize),
    ) -> Result<()> {
        let words = [
            word(rows)?,
            word(axis)?,
            word(inner)?,
            word(scales.max(1))?,
            word(biases.max(1))?,
            self.epsilon.to_bits(),
        ];
        let mut operands = vec![("y", Operand::Output(0)), ("scale", scale), ("bias", bias)];
        if !self.in_place {
            operands.push(("x", Operand::Input(0)));
        }
        run.dispatch(&self.program, &operands, &words, rows)
    }
}

impl GpuKernel for Kernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let shape = run.input(0)?;
        let axis: usize = shape[self.from..self.to].iter().product();
        let inner: usize = shape[self.to..].iter().product();
        let rows = shape[..self.from].iter().product::<usize>() * inner;
        let rows = if axis == 0 { 0 } else { rows };
        // The first operand stands for a weight that is absent: its shader does not read it.
        let weight = |index: usize| match run.input(index) {
            Ok(shape) => (Operand::Input(index), shape.iter().product::<usize>()),
            Err(_) => (Operand::Input(0), 1),
        };
        let (scale, bias) = (weight(1), weight(2));
        self.norm.record(run, [rows, axis, inner], scale, bias)
    }
}
