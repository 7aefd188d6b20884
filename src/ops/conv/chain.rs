//! `ConvChain`: a depthwise convolution with the convolutions of one tap around it.

mod cases;
mod lines;
mod run;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, CpuState, GpuState, Inputs, OpDef, Operator},
    ops::conv::{Conv, Layout, symbolic_weights},
    shape::{Dim, Shape},
    tensor::DType,
};

/// A depthwise convolution over two spatial dimensions, between an optional convolution of one tap before it and one
/// behind it: the inverted residual of MobileNetV2 (Sandler et al., MobileNetV2: Inverted Residuals and Linear
/// Bottlenecks).
///
/// Operands: the input `[batch, height, width, channels]`; weights and bias of the convolution before, of the depthwise
/// one and of the one behind, where each may be absent with its convolution; a summand of the result's shape, which may be
/// absent and needs a convolution behind. The result has its channels last. Made on the CPU, where what lies between the
/// convolutions stays in the cache.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvChain {
    /// The convolution before.
    pub before: Option<Conv>,
    /// The depthwise convolution.
    pub depthwise: Conv,
    /// The convolution behind.
    pub behind: Option<Conv>,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "ConvChain",
    onnx: None,
    cases: cases::cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(run::kernel),
    gpu: GpuState::Host("made for the CPU alone"),
};

/// The position of the weights of each convolution among the operands; its bias follows.
pub(crate) const WEIGHTS: [usize; 3] = [1, 3, 5];
/// The position of the summand.
pub(crate) const SUMMAND: usize = 7;

impl ConvChain {
    /// Whether a convolution may be one of those around the depthwise one, by its attributes.
    pub(crate) fn is_single_tap(conv: &Conv) -> bool {
        let plain = conv.groups == 1 && conv.layout == Layout::ChannelsLast && !conv.global_max;
        let still = (0..conv.kernel.len()).all(|axis| conv.window().pads_at(axis, 1) == (0, 0));
        plain && still && conv.kernel == [1, 1] && conv.strides == [1, 1]
    }

    /// Whether a convolution with weights of that shape may be the depthwise one.
    pub(crate) fn is_depthwise(conv: &Conv, weights: &[usize]) -> bool {
        let last = conv.layout == Layout::ChannelsLast && !conv.global_max && conv.kernel.len() == 2;
        last && weights.len() == 4 && weights[1] == 1 && weights[0] == conv.groups
    }

    /// The convolutions by the position of their weights.
    fn stages(&self) -> [(Option<&Conv>, usize); 3] {
        let [before, depthwise, behind] = WEIGHTS;
        [(self.before.as_ref(), before), (Some(&self.depthwise), depthwise), (self.behind.as_ref(), behind)]
    }
}

impl Operator for ConvChain {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(4, SUMMAND + 1)?;
        let x = inputs.required(0)?;
        let [batch, height, width, channels] = x.shape.dims() else {
            return Err(Error::invalid_model(format!("a chain of convolutions of {x}")));
        };
        let mut size = [height.clone(), width.clone()];
        let mut channels = channels.clone();
        for (conv, at) in self.stages() {
            let Some(conv) = conv else { continue };
            let shape = &inputs.required(at)?.shape;
            let weights = shape.as_fixed().ok_or_else(|| symbolic_weights(shape))?;
            let of_kind = if at == WEIGHTS[1] { Self::is_depthwise(conv, &weights) } else { Self::is_single_tap(conv) };
            let &[filters, own, ..] = weights.as_slice() else { return Err(misfit(conv, shape)) };
            if !of_kind || weights.len() != 4 || weights[2..] != conv.kernel || weights.contains(&0) {
                return Err(misfit(conv, shape));
            }
            conv.window().check(2)?;
            inputs.equal("the channels of a chain", &Dim::from(own.saturating_mul(conv.groups)), &channels)?;
            if let Some(bias) = inputs.fact(at + 1)
                && bias.shape != Shape::fixed(&[filters])
            {
                return Err(misfit(conv, &bias.shape));
            }
            for (axis, size) in size.iter_mut().enumerate() {
                inputs.assume(conv.window().fits(axis, size))?;
                *size = conv.window().outputs(axis, size);
            }
            channels = Dim::from(filters);
        }
        let [height, width] = size;
        let shape = Shape::new(vec![batch.clone(), height, width, channels]);
        if let Some(summand) = inputs.fact(SUMMAND)
            && (summand.shape != shape || self.behind.is_none())
        {
            return Err(Error::invalid_model(format!("a summand {summand} of a chain of {shape}")));
        }
        if (0..inputs.len()).filter_map(|index| inputs.fact(index)).any(|fact| fact.dtype != DType::F32) {
            return Err(Error::unsupported("a chain of convolutions of another type than f32"));
        }
        Ok(vec![Fact::new(DType::F32, shape)])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let depends = |axis: &Option<usize>| axis.is_some_and(|axis| axis != 0);
        let weights = axes.iter().take(SUMMAND).skip(1).any(Option::is_some);
        let [x, summand] = [axes[0], axes.get(SUMMAND).copied().flatten()];
        match (x, summand) {
            _ if weights || depends(&x) || depends(&summand) => None,
            (None, None) => Some(vec![None]),
            _ if axes.len() > SUMMAND && x != summand => None,
            _ => Some(vec![Some(0)]),
        }
    }
}

fn misfit(conv: &Conv, shape: &Shape) -> Error {
    let (kernel, groups) = (&conv.kernel, conv.groups);
    Error::invalid_model(format!("weights of shape {shape} in a chain for a kernel of {kernel:?} and {groups} groups"))
}
