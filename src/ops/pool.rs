//! `MaxPool`, `AveragePool` and their global forms: windows reduced to one number, channel by channel.

mod run;
pub mod segment_pool;
pub mod window;

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, OnnxNode, OpDef, Operator},
    ops::pool::window::{Pads, Window, decode_list, decode_pads, positive},
    shape::{Dim, Shape},
    tensor::DType,
};

/// The operators of this family.
pub(super) fn operators() -> impl Iterator<Item = &'static OpDef> {
    [&AVERAGE_POOL, &GLOBAL_AVERAGE_POOL, &GLOBAL_MAX_POOL, &MAX_POOL, &segment_pool::DEF].into_iter()
}

/// What is made of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolFunction {
    /// The largest, NaN if any is.
    Max,
    /// The mean.
    Average {
        /// Whether padding counts as zeros; else only what lies in the input counts.
        count_include_pad: bool,
    },
}

/// Every window of each channel of `[batch, channels, spatial...]` reduced to one number.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// What is made of a window.
    pub function: PoolFunction,
    /// Taps along each spatial axis.
    pub kernel: Vec<usize>,
    /// From a window to the next.
    pub strides: Vec<usize>,
    /// From a tap to the next.
    pub dilations: Vec<usize>,
    /// Positions around the input.
    pub pads: Pads,
    /// Whether a last window may reach past the padding, as long as it begins before that.
    pub ceil_mode: bool,
}

/// Each channel of `[batch, channels, spatial...]` reduced to one number; the spatial dimensions become 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalPool {
    /// What is made of a channel; `count_include_pad` says nothing here.
    pub function: PoolFunction,
}

macro_rules! def {
    ($constant:ident, $name:literal, $decode:path, $cases:path, $accuracy:ident, $kernel:path, $shader:literal) => {
        pub(crate) static $constant: OpDef = OpDef {
            name: $name,
            onnx: Some($decode),
            cases: $cases,
            accuracy: Accuracy::$accuracy,
            cpu: CpuState::Kernel($kernel),
            gpu: GpuState::Kernel($shader),
        };
    };
}
def!(MAX_POOL, "MaxPool", decode, max_cases, Exact, run::kernel, "pool");
def!(AVERAGE_POOL, "AveragePool", decode, average_cases, Reduction, run::kernel, "pool");
def!(GLOBAL_MAX_POOL, "GlobalMaxPool", decode_global, global_max_cases, Exact, run::global_kernel, "reduce");
def!(
    GLOBAL_AVERAGE_POOL,
    "GlobalAveragePool",
    decode_global,
    global_average_cases,
    Reduction,
    run::global_kernel,
    "reduce"
);

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let kernel = node.ints("kernel_shape")?.ok_or_else(|| Error::invalid_model("`kernel_shape` is missing"))?;
    let kernel = positive("kernel_shape", &kernel)?;
    let rank = kernel.len();
    let function = if node.op_type() == "MaxPool" {
        if node.output_count() > 1 {
            return Err(Error::unsupported("the indices of a MaxPool"));
        }
        // The order of those indices.
        node.flag("storage_order", false)?;
        PoolFunction::Max
    } else {
        PoolFunction::Average { count_include_pad: node.flag("count_include_pad", false)? }
    };
    Ok(Arc::new(Pool {
        function,
        strides: decode_list(node, "strides", rank)?,
        dilations: decode_list(node, "dilations", rank)?,
        pads: decode_pads(node, rank)?,
        ceil_mode: node.flag("ceil_mode", false)?,
        kernel,
    }))
}

fn decode_global(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let function = if node.op_type() == "GlobalMaxPool" {
        PoolFunction::Max
    } else {
        PoolFunction::Average { count_include_pad: false }
    };
    Ok(Arc::new(GlobalPool { function }))
}

impl Pool {
    /// Steps of 1, no pads.
    pub fn new(function: PoolFunction, kernel: Vec<usize>) -> Self {
        let rank = kernel.len();
        let pads = Pads::Explicit(vec![(0, 0); rank]);
        Self { function, kernel, strides: vec![1; rank], dilations: vec![1; rank], pads, ceil_mode: false }
    }

    /// The window.
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
        }
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let shape = spatial_input(inputs)?;
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
            dims[axis + 2] = window.outputs(axis, &shape[axis + 2]);
        }
        Ok(vec![Fact::new(DType::F32, Shape::new(dims))])
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
        }
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let shape = spatial_input(inputs)?;
        let ones = std::iter::repeat_n(Dim::from(1), shape.rank() - 2);
        Ok(vec![Fact::new(DType::F32, shape.dims()[..2].iter().cloned().chain(ones).collect())])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        axes[0].is_none_or(|axis| axis < 2).then(|| vec![axes[0]])
    }
}

/// The shape of the one operand, which has f32 numbers and a batch, channels and more.
fn spatial_input<'a>(inputs: &Inputs<'a>) -> Result<&'a Shape> {
    inputs.expect(1, 1)?;
    let input = inputs.required(0)?;
    if input.dtype != DType::F32 {
        return Err(Error::unsupported(format!("a pool of {input}; only f32 is")));
    }
    if input.shape.rank() < 2 {
        return Err(Error::invalid_model(format!("a pool of {input}: expected [batch, channels, spatial...]")));
    }
    Ok(&input.shape)
}

fn max_cases() -> Vec<Case> {
    pool_cases(PoolFunction::Max, Fill::Hostile)
}

fn average_cases() -> Vec<Case> {
    let mut cases = pool_cases(PoolFunction::Average { count_include_pad: false }, Fill::Spread);
    cases.extend(pool_cases(PoolFunction::Average { count_include_pad: true }, Fill::Spread));
    cases
}

fn pool_cases(function: PoolFunction, fill: Fill) -> Vec<Case> {
    let pool = |kernel: &[usize]| Pool::new(function, kernel.to_vec());
    let padded = |kernel: &[usize], pads: &[(usize, usize)]| Pool {
        pads: Pads::Explicit(pads.to_vec()),
        strides: vec![2; kernel.len()],
        ..pool(kernel)
    };
    vec![
        Case::new("one dimension", pool(&[3])).value(&[2, 3, 19], fill),
        Case::new("two by two", padded(&[2, 2], &[(0, 0), (0, 0)])).value(&[2, 3, 9, 40], fill),
        Case::new("padded", padded(&[3, 3], &[(1, 1), (1, 2)])).value(&[1, 3, 8, 9], fill),
        Case::new("past the end", Pool { ceil_mode: true, ..padded(&[3, 3], &[(1, 0), (0, 1)]) })
            .value(&[1, 3, 8, 6], fill),
        Case::new("dilated", Pool { dilations: vec![2, 3], ..padded(&[2, 3], &[(1, 1), (2, 2)]) })
            .value(&[1, 2, 8, 11], fill),
        Case::new("same", Pool { pads: Pads::SameUpper, ..padded(&[3, 2], &[]) }).value(&[1, 2, 7, 8], fill),
        Case::new("same lower", Pool { pads: Pads::SameLower, ..padded(&[4], &[]) }).value(&[1, 2, 7], fill),
        Case::new("three dimensions", padded(&[2, 3, 2], &[(0, 1), (1, 1), (0, 0)])).value(&[1, 2, 4, 5, 6], fill),
        Case::new("empty", pool(&[2, 2])).value(&[0, 3, 4, 4], fill),
        Case::new("no positions", pool(&[2])).value(&[2, 3, 1], fill),
    ]
}

fn global_max_cases() -> Vec<Case> {
    global_cases(PoolFunction::Max, Fill::Hostile)
}

fn global_average_cases() -> Vec<Case> {
    global_cases(PoolFunction::Average { count_include_pad: false }, Fill::Spread)
}

fn global_cases(function: PoolFunction, fill: Fill) -> Vec<Case> {
    let pool = GlobalPool { function };
    vec![
        Case::new("one dimension", pool).value(&[2, 3, 45], fill),
        Case::new("two dimensions", pool).value(&[2, 5, 7, 7], fill),
        Case::new("one position", pool).value(&[2, 5, 1], fill),
        Case::new("no positions", pool).value(&[2, 5, 0], fill),
        Case::new("none", pool).value(&[2, 5], fill),
        Case::new("empty", pool).value(&[0, 5, 3], fill),
    ]
}
