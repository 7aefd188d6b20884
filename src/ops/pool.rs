//! `MaxPool`, `AveragePool`, `LpPool` and their global forms.

mod axis;
mod by_axis;
mod cases;
pub mod channels_last;
pub mod look_up_pool;
pub mod max_unpool;
pub mod max_with_indices;
mod run;
pub mod segment_pool;
pub mod window;

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, CpuState, GpuState, Inputs, OnnxNode, OpDef, Operator},
    ops::pool::{
        max_with_indices::MaxPoolWithIndices,
        window::{Pads, Window, decode_list, decode_pads, positive},
    },
    shape::{Dim, Shape},
    tensor::DType,
};

/// The operators of this family.
pub(super) fn operators() -> impl Iterator<Item = &'static OpDef> {
    [
        &AVERAGE_POOL,
        &channels_last::DEF,
        &GLOBAL_AVERAGE_POOL,
        &GLOBAL_LP_POOL,
        &GLOBAL_MAX_POOL,
        &LP_POOL,
        &look_up_pool::DEF,
        &MAX_POOL,
        &max_unpool::DEF,
        &max_with_indices::DEF,
        &segment_pool::DEF,
    ]
    .into_iter()
}

/// How a window is reduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolFunction {
    /// The largest, NaN if any is.
    Max,
    /// The mean.
    Average {
        /// Whether padding counts as zeros, otherwise not at all.
        count_include_pad: bool,
    },
    /// The norm of this order: the root of the sum of the magnitudes' powers.
    Lp(u32),
}

/// Each window of each channel of `[batch, channels, spatial...]` reduced to one number.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// How a window is reduced.
    pub function: PoolFunction,
    /// Taps along each spatial axis.
    pub kernel: Vec<usize>,
    /// The distance between windows.
    pub strides: Vec<usize>,
    /// The distance between taps.
    pub dilations: Vec<usize>,
    /// The padding around the input.
    pub pads: Pads,
    /// Whether a last window may extend beyond the padding, if it begins before the padding's end.
    pub ceil_mode: bool,
}

/// Each channel of `[batch, channels, spatial...]` reduced to one number; the spatial dimensions
/// become 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalPool {
    /// How a channel is reduced; `count_include_pad` has no effect.
    pub function: PoolFunction,
}

macro_rules! def {
    ($constant:ident, $name:literal, $decode:path, $cases:path, $accuracy:ident, $kernel:path, $gpu:expr) => {
        pub(crate) static $constant: OpDef = OpDef {
            name: $name,
            onnx: Some($decode),
            cases: $cases,
            accuracy: Accuracy::$accuracy,
            cpu: CpuState::Kernel($kernel),
            gpu: $gpu,
        };
    };
}
const POOL: GpuState = GpuState::Kernel("pool");
const REDUCE: GpuState = GpuState::Kernel("reduce");
const NO_SHADER: GpuState = GpuState::Host(NO_LP);
/// Why a pool by a norm runs on the host.
pub(crate) const NO_LP: &str = "no shader yet";

def!(MAX_POOL, "MaxPool", decode, cases::max_cases, Exact, run::kernel, POOL);
def!(AVERAGE_POOL, "AveragePool", decode, cases::average_cases, Reduction, run::kernel, POOL);
def!(LP_POOL, "LpPool", decode, cases::lp_cases, Reduction, run::kernel, NO_SHADER);
def!(GLOBAL_MAX_POOL, "GlobalMaxPool", decode_global, cases::global_max_cases, Exact, run::global_kernel, REDUCE);
def!(
    GLOBAL_AVERAGE_POOL,
    "GlobalAveragePool",
    decode_global,
    cases::global_average_cases,
    Reduction,
    run::global_kernel,
    REDUCE
);
def!(GLOBAL_LP_POOL, "GlobalLpPool", decode_global, cases::global_lp_cases, Reduction, run::global_kernel, NO_SHADER);

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let kernel = node.ints("kernel_shape")?.ok_or_else(|| Error::invalid_model("`kernel_shape` is missing"))?;
    let kernel = positive("kernel_shape", &kernel)?;
    let rank = kernel.len();
    let function = if node.op_type() == "LpPool" {
        decode_order(node)?
    } else if node.op_type() == "MaxPool" {
        PoolFunction::Max
    } else {
        PoolFunction::Average { count_include_pad: node.flag("count_include_pad", false)? }
    };
    let pool = Pool {
        function,
        strides: decode_list(node, "strides", rank)?,
        dilations: decode_list(node, "dilations", rank)?,
        pads: decode_pads(node, rank)?,
        ceil_mode: node.flag("ceil_mode", false)?,
        kernel,
    };
    // The order of the places that are a second result.
    let first_fastest = function == PoolFunction::Max && node.flag("storage_order", false)?;
    match node.output_count() {
        0..=1 => Ok(Arc::new(pool)),
        _ if function == PoolFunction::Max => Ok(Arc::new(MaxPoolWithIndices { pool, first_fastest })),
        _ => Err(Error::invalid_model("a pool of one result has further ones")),
    }
}

fn decode_global(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let function = match node.op_type() {
        "GlobalMaxPool" => PoolFunction::Max,
        "GlobalLpPool" => decode_order(node)?,
        _ => PoolFunction::Average { count_include_pad: false },
    };
    Ok(Arc::new(GlobalPool { function }))
}

/// The order of a norm, which is no integer in opset 1.
fn decode_order(node: &mut OnnxNode<'_>) -> Result<PoolFunction> {
    let order = match node.opset() {
        ..2 => node.float("p")?.map(f64::from),
        _ => node.int("p")?.map(|order| order as f64),
    };
    let order = order.unwrap_or(2.0);
    if order.fract() != 0.0 || !(1.0..=1e6).contains(&order) {
        return Err(Error::unsupported(format!("`p` is {order}, expected a positive integer")));
    }
    Ok(PoolFunction::Lp(order as u32))
}

impl Pool {
    /// A pool with strides of 1 and no pads.
    pub fn new(function: PoolFunction, kernel: Vec<usize>) -> Self {
        let rank = kernel.len();
        let pads = Pads::Explicit(vec![(0, 0); rank]);
        Self { function, kernel, strides: vec![1; rank], dilations: vec![1; rank], pads, ceil_mode: false }
    }

    /// The result for an operand whose spatial dimensions begin at axis `spatial`.
    fn result(&self, inputs: &Inputs<'_>, spatial: usize) -> Result<Fact> {
        let (dtype, shape) = spatial_input(inputs)?;
        let (rank, window) = (self.kernel.len(), self.window());
        if shape.rank() != rank + 2 || !(1..=3).contains(&rank) {
            return Err(Error::unsupported(format!("a window of {:?} over {shape}", self.kernel)));
        }
        window.check(rank)?;
        if let Pads::Explicit(pads) = &self.pads
            && (0..rank).any(|axis| pads[axis].0.max(pads[axis].1) >= window.extent(axis))
        {
            return Err(Error::invalid_model(format!("pads {pads:?} are as large as the window {:?}", self.kernel)));
        }
        let mut dims = shape.dims().to_vec();
        for axis in 0..rank {
            inputs.assume(window.fits(axis, &shape[axis + spatial]))?;
            dims[axis + spatial] = window.outputs(axis, &shape[axis + spatial]);
        }
        Ok(Fact::new(dtype, Shape::new(dims)))
    }

    /// The sliding window.
    pub fn window(&self) -> Window<'_> {
        let Self { kernel, strides, dilations, pads, ceil_mode, .. } = self;
        Window { kernel, strides, dilations, pads, ceil: *ceil_mode }
    }
}

impl Operator for Pool {
    fn def(&self) -> &'static OpDef {
        match self.function {
            PoolFunction::Max => &MAX_POOL,
            PoolFunction::Average { .. } => &AVERAGE_POOL,
            PoolFunction::Lp(_) => &LP_POOL,
        }
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        Ok(vec![self.result(inputs, 2)?])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        axes[0].is_none_or(|axis| axis < 2).then(|| vec![axes[0]])
    }
}

impl Operator for GlobalPool {
    fn def(&self) -> &'static OpDef {
        match self.function {
            PoolFunction::Max => &GLOBAL_MAX_POOL,
            PoolFunction::Average { .. } => &GLOBAL_AVERAGE_POOL,
            PoolFunction::Lp(_) => &GLOBAL_LP_POOL,
        }
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let (dtype, shape) = spatial_input(inputs)?;
        let ones = std::iter::repeat_n(Dim::from(1), shape.rank() - 2);
        Ok(vec![Fact::new(dtype, shape.dims()[..2].iter().cloned().chain(ones).collect())])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        axes[0].is_none_or(|axis| axis < 2).then(|| vec![axes[0]])
    }
}

/// The type and the shape of the operand `[batch, channels, spatial...]`, checked.
fn spatial_input<'a>(inputs: &Inputs<'a>) -> Result<(DType, &'a Shape)> {
    inputs.expect(1, 1)?;
    let input = inputs.required(0)?;
    if !matches!(input.dtype, DType::F32 | DType::F64) {
        return Err(Error::unsupported(format!("a pool of {input}; only f32 and f64 are")));
    }
    if input.shape.rank() < 2 {
        return Err(Error::invalid_model(format!("a pool of {input}: expected [batch, channels, spatial...]")));
    }
    Ok((input.dtype, &input.shape))
}
