//! `ConvTranspose`: the sums that a convolution's gradient makes, with groups.

mod cases;
mod run;
mod wide;

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, CpuState, GpuState, Inputs, OnnxNode, OpDef, Operator},
    ops::{
        conv::{summed_type, symbolic_weights},
        pool::window::{Pads, decode_kernel, decode_list, decode_pads, positive},
    },
    shape::Dim,
};

/// Each position of the operand spreads the weights, times its number, over a window of the result.
///
/// Operands: the input `[batch, C, spatial...]`; the weights `[C, M / groups, kernel...]`; the bias
/// `[M]`, which may be absent. The result has M channels.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvTranspose {
    /// Taps along each spatial axis.
    pub kernel: Vec<usize>,
    /// The distance between windows.
    pub strides: Vec<usize>,
    /// The distance between taps.
    pub dilations: Vec<usize>,
    /// What is cut off the result's ends; for the `Same` forms, what leaves `size * stride`.
    pub pads: Pads,
    /// Positions added behind each spatial axis.
    pub output_padding: Vec<usize>,
    /// The result's spatial sizes, which then determine the pads.
    pub output_shape: Option<Vec<usize>>,
    /// The number of groups of channels.
    pub groups: usize,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "ConvTranspose",
    onnx: Some(decode),
    cases: cases::cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(run::kernel),
    gpu: GpuState::Kernel("conv"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let kernel = decode_kernel(node, 1)?;
    let rank = kernel.len();
    let not_negative = |name: &str, list: Vec<i64>| {
        let sizes = list.iter().map(|&size| usize::try_from(size).ok()).collect::<Option<Vec<_>>>();
        sizes.ok_or_else(|| Error::invalid_model(format!("`{name}` {list:?}: expected no negative number")))
    };
    let output_padding = node.ints("output_padding")?.filter(|list| !list.is_empty());
    let output_shape = node.ints("output_shape")?.filter(|list| !list.is_empty());
    let output_shape = output_shape.map(|list| not_negative("output_shape", list)).transpose()?;
    let groups = node.int("group")?.unwrap_or(1);
    Ok(Arc::new(ConvTranspose {
        strides: decode_list(node, "strides", rank)?,
        dilations: decode_list(node, "dilations", rank)?,
        pads: decode_pads(node, rank)?,
        output_padding: output_padding
            .map_or_else(|| Ok(vec![0; rank]), |list| not_negative("output_padding", list))?,
        // Older files repeat the batch and the channels.
        output_shape: output_shape.map(|list| list[list.len().saturating_sub(rank)..].to_vec()),
        groups: positive("group", &[groups])?[0],
        kernel,
    }))
}

/// Refuses an input with another number of channels than the weights have.
fn check_channels(own: usize, due: usize) -> Result<()> {
    match own == due {
        true => Ok(()),
        false => Err(Error::invalid_input(format!("an input of {own} channels where {due} are due"))),
    }
}

impl ConvTranspose {
    /// With strides of 1, no pads and one group.
    pub fn new(kernel: Vec<usize>) -> Self {
        let rank = kernel.len();
        Self {
            kernel,
            strides: vec![1; rank],
            dilations: vec![1; rank],
            pads: Pads::Explicit(vec![(0, 0); rank]),
            output_padding: vec![0; rank],
            output_shape: None,
            groups: 1,
        }
    }

    /// The extent of all windows of an axis of that size, nothing cut off.
    fn whole(&self, axis: usize, size: &Dim) -> Dim {
        let extent = (self.kernel[axis] - 1) * self.dilations[axis] + 1 + self.output_padding[axis];
        &(&(size - &Dim::from(1)) * &Dim::from(self.strides[axis])) + &Dim::from(extent)
    }

    /// The size of an axis of the result.
    fn outputs(&self, axis: usize, size: &Dim) -> Dim {
        match (&self.output_shape, &self.pads) {
            (Some(sizes), _) => Dim::from(sizes[axis]),
            (None, Pads::Explicit(pads)) => &self.whole(axis, size) - &Dim::from(pads[axis].0 + pads[axis].1),
            (None, _) => size * &Dim::from(self.strides[axis]),
        }
    }

    /// What is cut off before an axis whose sizes are these.
    pub(crate) fn cut(&self, axis: usize, from: usize, to: usize) -> usize {
        if let (Pads::Explicit(pads), None) = (&self.pads, &self.output_shape) {
            return pads[axis].0;
        }
        let whole = from.saturating_sub(1) * self.strides[axis]
            + (self.kernel[axis] - 1) * self.dilations[axis]
            + 1
            + self.output_padding[axis];
        let total = whole.saturating_sub(to);
        if self.pads == Pads::SameUpper { total / 2 } else { total - total / 2 }
    }

    fn check(&self) -> Result<()> {
        const MOST: usize = 1 << 31;
        let rank = self.kernel.len();
        let fits =
            |list: &[usize], least: usize| list.len() == rank && list.iter().all(|size| (least..=MOST).contains(size));
        let pads = match &self.pads {
            Pads::Explicit(pads) => pads.len() == rank && pads.iter().all(|pad| pad.0.max(pad.1) <= MOST),
            Pads::SameUpper | Pads::SameLower => true,
        };
        let lists = [&self.kernel, &self.strides, &self.dilations].into_iter().all(|list| fits(list, 1));
        let outputs = fits(&self.output_padding, 0) && self.output_shape.as_ref().is_none_or(|list| fits(list, 0));
        if pads && lists && outputs && self.groups > 0 {
            return Ok(());
        }
        Err(Error::invalid_model(format!("the attributes do not fit {rank} spatial dimensions: {self:?}")))
    }
}

impl Operator for ConvTranspose {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(2, 3)?;
        let (input, weights) = (inputs.required(0)?, inputs.required(1)?);
        let rank = self.kernel.len();
        if !(1..=3).contains(&rank) {
            return Err(Error::unsupported(format!("a ConvTranspose over {rank} spatial dimensions")));
        }
        self.check()?;
        let dtype = summed_type(inputs)?;
        let dims = weights.shape.as_fixed();
        let dims = dims.ok_or_else(|| symbolic_weights(&weights.shape))?;
        let fits = dims.len() == rank + 2 && dims[2..] == self.kernel && dims[0].is_multiple_of(self.groups);
        let misfit = || {
            let (shape, weights, groups) = (&input.shape, &weights.shape, self.groups);
            Error::invalid_model(format!("an input {shape} and weights {weights} of {groups} groups"))
        };
        if !fits || input.shape.rank() != rank + 2 {
            return Err(misfit());
        }
        inputs.equal("the axis of channels", &Dim::from(dims[0]), &input.shape[1]).map_err(|_| misfit())?;
        let filters = dims[1].saturating_mul(self.groups);
        if let Some(bias) = inputs.fact(2) {
            let misfit = || Error::invalid_model(format!("a bias of shape {} for {filters} channels", bias.shape));
            let [size] = bias.shape.dims() else { return Err(misfit()) };
            inputs.equal("the bias", &Dim::from(filters), size).map_err(|_| misfit())?;
        }
        let spatial = (0..rank).map(|axis| self.outputs(axis, &input.shape[axis + 2]));
        let shape = [input.shape[0].clone(), Dim::from(filters)].into_iter().chain(spatial).collect();
        Ok(vec![Fact::new(dtype, shape)])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let apart = axes[1..].iter().all(Option::is_none) && axes[0].is_none_or(|axis| axis == 0);
        apart.then(|| vec![axes[0]])
    }
}
