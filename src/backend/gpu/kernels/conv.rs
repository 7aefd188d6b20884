//! `Conv` and `ConvTranspose`: an implicit matrix product, for every layout, group count and padding.

use std::sync::Arc;

use crate::{
    backend::gpu::{
        kernel::{GpuKernel, KernelDef, Made},
        kernels::{
            functions::activation,
            windows::{WindowProduct, Windows},
        },
        operand::Operand,
        program::Program,
        recorder::{Recorder, word},
        request::GpuRequest,
        shader::{Shader, wgsl},
    },
    error::{Error, Result},
    op::Shapes,
    ops::conv::{Conv, Layout, geometry::Geometry, transposed::ConvTranspose},
    tensor::Tensor,
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "conv", make };

const COLUMN_MAX: Shader = wgsl!("column_max");

struct Kernel {
    op: Conv,
    product: WindowProduct,
    column_max: Option<Arc<Program>>,
    shape: Vec<usize>,
}

fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let Some(weights) = request.constant(1) else {
        return Ok(Made::Host("weights that are known only when it runs"));
    };
    let shape = weights.shape().to_vec();
    if let Ok(op) = request.op::<ConvTranspose>() {
        return transposed(request, op, weights);
    }
    let op: &Conv = request.op()?;
    let Some(activation) = activation(op.activation, "v") else {
        return Ok(Made::Host("an activation that its shader has not"));
    };
    let windows = Windows {
        kernel: &op.kernel,
        strides: &op.strides,
        dilations: &op.dilations,
        groups: op.groups,
        channels: shape[1],
        filters: shape[0] / op.groups,
        is_transposed: false,
        activation,
    };
    let product = windows.product(request, weights)?;
    let column_max = op.global_max.then(|| request.program(&COLUMN_MAX, &[])).transpose()?;
    Made::kernel(Kernel { op: op.clone(), product, column_max, shape })
}

impl Kernel {
    fn geometry(&self, input: &[usize]) -> Result<Geometry> {
        Geometry::unflattened(&self.op, input, &self.shape)
    }
}

impl GpuKernel for Kernel {
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> u64 {
        if !self.op.global_max {
            return 0;
        }
        let geometry = shapes.inputs[0].and_then(|input| self.geometry(input).ok());
        geometry.map_or(0, |own| 4 * (own.items * own.filters * own.out.iter().product::<usize>()) as u64)
    }

    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let own = self.geometry(run.input(0)?)?;
        let Some(program) = &self.column_max else {
            return self.product.record(run, &own, own.layout == Layout::ChannelsLast, Operand::Output(0));
        };
        let positions: usize = own.out.iter().product();
        self.product.record(run, &own, true, Operand::Scratch)?;
        run.loops(positions)?;
        let words = [word(own.items)?, word(positions)?, word(own.filters)?];
        // Without positions there is no scratch; the shader reads nothing, so any operand will do.
        let from = if positions == 0 { Operand::Input(0) } else { Operand::Scratch };
        let groups = (own.items * own.filters).div_ceil(64);
        run.dispatch(program, &[("x", from), ("y", Operand::Output(0))], &words, groups)
    }
}

struct Transposed {
    op: ConvTranspose,
    product: WindowProduct,
    shape: Vec<usize>,
}

fn transposed(request: &GpuRequest<'_>, op: &ConvTranspose, weights: &Tensor) -> Result<Made> {
    let shape = weights.shape().to_vec();
    let windows = Windows {
        kernel: &op.kernel,
        strides: &op.strides,
        dilations: &op.dilations,
        groups: op.groups,
        channels: shape[0] / op.groups,
        filters: shape[1],
        is_transposed: true,
        activation: "v".to_owned(),
    };
    Made::kernel(Transposed { op: op.clone(), product: windows.product(request, weights)?, shape })
}

impl GpuKernel for Transposed {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let (x, y) = (run.input(0)?, run.output(0)?);
        if x.len() != self.shape.len() || x[1] != self.shape[0] {
            return Err(Error::invalid_input(format!("an input of shape {x:?} for weights of shape {:?}", self.shape)));
        }
        let own = self.geometry(x, y);
        self.product.record(run, &own, false, Operand::Output(0))
    }
}

impl Transposed {
    /// The sizes of a run; what is cut off the result stands for the pads.
    fn geometry(&self, x: &[usize], y: &[usize]) -> Geometry {
        let (op, rank) = (&self.op, self.op.kernel.len());
        let mut own = Geometry {
            items: x[0],
            channels: x[1],
            filters: y[1],
            groups: op.groups,
            size: [1; 3],
            out: [1; 3],
            kernel: [1; 3],
            strides: [1; 3],
            dilations: [1; 3],
            pads: [0; 3],
            layout: Layout::ChannelsFirst,
            direct: false,
            dense: false,
            scaled: false,
        };
        for axis in 0..rank {
            let at = axis + 3 - rank;
            (own.size[at], own.out[at]) = (x[axis + 2], y[axis + 2]);
            (own.kernel[at], own.strides[at], own.dilations[at]) =
                (op.kernel[axis], op.strides[axis], op.dilations[axis]);
            own.pads[at] = op.cut(axis, x[axis + 2], y[axis + 2]);
        }
        own
    }
}
