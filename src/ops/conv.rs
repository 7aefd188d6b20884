//! `Conv`: convolutions over one to three spatial dimensions, with groups.

mod bands;
mod cases;
pub mod chain;
mod copies;
pub mod deform;
mod filters;
pub(crate) mod geometry;
mod integers;
mod products;
mod run;
pub mod transposed;
mod wide;
mod windows;
mod winograd;

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::Activation,
    op::{Accuracy, CpuState, GpuState, Inputs, OnnxNode, OpDef, Operator},
    ops::pool::window::{Pads, Window, decode_kernel, decode_list, decode_pads, positive},
    shape::{Dim, Shape},
    tensor::DType,
};

/// The operators of this family.
pub(super) fn operators() -> impl Iterator<Item = &'static OpDef> {
    [&DEF, &transposed::DEF, &deform::DEF, &chain::DEF].into_iter()
}

/// The position of the channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Layout {
    /// `[batch, channels, spatial...]`, as in ONNX.
    #[default]
    ChannelsFirst,
    /// `[batch, spatial..., channels]`.
    ChannelsLast,
}

/// A convolution plus bias, through an activation.
///
/// Operands: the input in `layout`; the weights `[M, C / groups, kernel...]` in ONNX's order,
/// in either layout; the bias `[M]`, which may be absent. The result is in `layout` with M
/// channels.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// Taps along each spatial axis.
    pub kernel: Vec<usize>,
    /// The distance between windows.
    pub strides: Vec<usize>,
    /// The distance between taps.
    pub dilations: Vec<usize>,
    /// Zeros around the input.
    pub pads: Pads,
    /// The number of groups of channels, each convolved on its own.
    pub groups: usize,
    /// The order of the input's and the result's dimensions.
    pub layout: Layout,
    /// Applied to each sum.
    pub activation: Activation,
    /// Whether each channel is reduced to its maximum over all positions.
    ///
    /// The spatial dimensions are then 1. NaN if any is; minus infinity where there are no
    /// positions.
    pub global_max: bool,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "Conv",
    onnx: Some(decode),
    cases: cases::cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(run::kernel),
    gpu: GpuState::Kernel("conv"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    Ok(Arc::new(Conv::decode(node, 1)?))
}

impl Conv {
    /// The convolution of an ONNX node whose operand `weights` is the weights.
    pub(crate) fn decode(node: &mut OnnxNode<'_>, weights: usize) -> Result<Self> {
        let kernel = decode_kernel(node, weights)?;
        let rank = kernel.len();
        let groups = node.int("group")?.unwrap_or(1);
        Ok(Self {
            strides: decode_list(node, "strides", rank)?,
            dilations: decode_list(node, "dilations", rank)?,
            pads: decode_pads(node, rank)?,
            groups: positive("group", &[groups])?[0],
            ..Self::new(kernel)
        })
    }

    /// A convolution with strides of 1, no pads, one group, channels first and no activation.
    pub fn new(kernel: Vec<usize>) -> Self {
        let rank = kernel.len();
        Self {
            kernel,
            strides: vec![1; rank],
            dilations: vec![1; rank],
            pads: Pads::Explicit(vec![(0, 0); rank]),
            groups: 1,
            layout: Layout::ChannelsFirst,
            activation: Activation::None,
            global_max: false,
        }
    }

    /// The sliding window.
    pub fn window(&self) -> Window<'_> {
        let Self { kernel, strides, dilations, pads, .. } = self;
        Window { kernel, strides, dilations, pads, ceil: false }
    }

    /// The channels' axis and the first spatial axis, of an input or result.
    pub fn axes(&self) -> (usize, usize) {
        match self.layout {
            Layout::ChannelsFirst => (1, 2),
            Layout::ChannelsLast => (self.kernel.len() + 1, 1),
        }
    }

    /// The dimensions of the weights, checked.
    fn weights(&self, inputs: &Inputs<'_>) -> Result<Vec<usize>> {
        let shape = &inputs.required(1)?.shape;
        let dims = shape.as_fixed().ok_or_else(|| symbolic_weights(shape))?;
        let fits = dims.len() == self.kernel.len() + 2
            && dims[2..] == self.kernel
            && self.groups > 0
            && dims[0].is_multiple_of(self.groups);
        if fits {
            return Ok(dims);
        }
        let (kernel, groups) = (&self.kernel, self.groups);
        Err(Error::invalid_model(format!("weights of shape {shape} for a kernel of {kernel:?} and {groups} groups")))
    }
}

/// Why weights whose sizes only runs tell are refused.
pub(crate) fn symbolic_weights(shape: &Shape) -> Error {
    Error::unsupported(format!("weights of symbolic shape {shape}; `ImportOptions::input_shape` can give their sizes"))
}

/// The type of all operands, f32 or f64.
fn summed_type(inputs: &Inputs<'_>) -> Result<DType> {
    let dtype = inputs.required(0)?.dtype;
    let mut facts = (0..inputs.len()).filter_map(|index| inputs.fact(index));
    match facts.find(|fact| fact.dtype != dtype || !matches!(dtype, DType::F32 | DType::F64)) {
        None => Ok(dtype),
        Some(other) => {
            Err(Error::unsupported(format!("a convolution of {dtype} with {other}; all must be f32 or f64")))
        }
    }
}

impl Operator for Conv {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(2, 3)?;
        let input = inputs.required(0)?;
        let weights = self.weights(inputs)?;
        let rank = self.kernel.len();
        self.window().check(rank)?;
        if !(1..=3).contains(&rank) {
            return Err(Error::unsupported(format!("a convolution over {rank} spatial dimensions")));
        }
        let dtype = summed_type(inputs)?;
        if dtype == DType::F64 && (self.layout, self.activation, self.global_max) != Default::default() {
            return Err(Error::unsupported("a convolution of f64 with its channels last or something fused"));
        }
        let shape = &input.shape;
        if shape.rank() != rank + 2 {
            return Err(Error::invalid_model(format!("an input of shape {shape} for a kernel of {:?}", self.kernel)));
        }
        let (channel_axis, spatial) = self.axes();
        let channels = weights[1].saturating_mul(self.groups);
        inputs.equal("the axis of channels", &Dim::from(channels), &shape[channel_axis]).map_err(|_| {
            Error::invalid_model(format!("an input of shape {shape} where {channels} channels are due"))
        })?;
        if let Some(bias) = inputs.fact(2) {
            let misfit = || Error::invalid_model(format!("a bias of shape {} for {} channels", bias.shape, weights[0]));
            let [size] = bias.shape.dims() else { return Err(misfit()) };
            inputs.equal("the bias", &Dim::from(weights[0]), size).map_err(|_| misfit())?;
        }
        let mut dims = shape.dims().to_vec();
        dims[channel_axis] = Dim::from(weights[0]);
        for axis in 0..rank {
            let size = self.window().outputs(axis, &shape[spatial + axis]);
            inputs.assume(self.window().fits(axis, &shape[spatial + axis]))?;
            dims[spatial + axis] = if self.global_max { Dim::from(1) } else { size };
        }
        Ok(vec![Fact::new(dtype, Shape::new(dims))])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let weights_depend = axes[1..].iter().any(Option::is_some);
        match axes[0] {
            _ if weights_depend => None,
            None => Some(vec![None]),
            Some(0) => Some(vec![Some(0)]),
            Some(_) => None,
        }
    }
}
