//! Reductions over axes: `ReduceSum` and the others, one row each; `ArgMax`, `CumSum`.

pub mod arg_reduce;
mod cases;
pub mod cum_prod;
pub mod cum_sum;
mod kernel;

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, CpuState, GpuState, Inputs, OnnxNode, OpDef, Operator},
    shape::{Dim, Shape, normalize_axis},
    tensor::DType,
};

/// The operators of this family.
pub(super) fn operators() -> impl Iterator<Item = &'static OpDef> {
    [&arg_reduce::ARG_MAX, &arg_reduce::ARG_MIN, &cum_prod::DEF, &cum_sum::DEF].into_iter().chain(ROWS)
}

/// All elements along some axes reduced to one.
#[derive(Clone, Debug, PartialEq)]
pub struct Reduce {
    /// How elements are combined.
    pub function: ReduceFunction,
    /// The axes, negative ones from the end; all where absent, none where empty.
    pub axes: Option<Vec<i64>>,
    /// Whether the axes are kept with size 1.
    pub keep_dims: bool,
}

/// How elements are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReduceFunction {
    /// `sum |x|`
    L1,
    /// `sqrt(sum x^2)`
    L2,
    /// `ln(sum x)`
    LogSum,
    /// `ln(sum e^x)`
    LogSumExp,
    /// The largest, or NaN if any is
    Max,
    /// `sum x / n`; of integers rounded towards zero
    Mean,
    /// The smallest, or NaN if any is
    Min,
    /// `product x`
    Prod,
    /// `sum x`
    Sum,
    /// `sum x^2`
    SumSquare,
}

use ReduceFunction as F;

macro_rules! rows {
    ($($function:ident $name:literal $accuracy:ident,)*) => {
        pub(crate) static ROWS: &[OpDef] = &[$(OpDef {
            name: $name,
            onnx: Some(|node| decode(node, F::$function)),
            cases: || cases::of(F::$function),
            accuracy: Accuracy::$accuracy,
            cpu: CpuState::Kernel(kernel::kernel),
            gpu: GpuState::Kernel("reduce"),
        },)*];

        impl ReduceFunction {
            /// ONNX's name.
            pub fn name(self) -> &'static str {
                match self {
                    $(F::$function => $name,)*
                }
            }
        }
    };
}
rows! {
    L1 "ReduceL1" Reduction,
    L2 "ReduceL2" Reduction,
    LogSum "ReduceLogSum" Reduction,
    LogSumExp "ReduceLogSumExp" Reduction,
    Max "ReduceMax" Pointwise,
    Mean "ReduceMean" Reduction,
    Min "ReduceMin" Pointwise,
    Prod "ReduceProd" Reduction,
    Sum "ReduceSum" Reduction,
    SumSquare "ReduceSumSquare" Reduction,
}

fn decode(node: &mut OnnxNode<'_>, function: ReduceFunction) -> Result<Arc<dyn Operator>> {
    let keep_dims = node.flag("keepdims", true)?;
    let none_if_empty = node.flag("noop_with_empty_axes", false)?;
    let attribute = node.ints("axes")?;
    let given = match attribute {
        Some(axes) => Some(axes),
        None => node.take_numbers(1)?,
    };
    let axes = match given {
        Some(axes) if !axes.is_empty() => Some(axes),
        _ if none_if_empty => Some(Vec::new()),
        _ => None,
    };
    Ok(Arc::new(Reduce { function, axes, keep_dims }))
}

impl Reduce {
    /// For each axis of a tensor of that rank whether it is reduced.
    ///
    /// # Errors
    /// When an axis is out of range.
    pub fn reduced(&self, rank: usize) -> Result<Vec<bool>> {
        let Some(axes) = &self.axes else { return Ok(vec![true; rank]) };
        let mut reduced = vec![false; rank];
        for &axis in axes {
            reduced[normalize_axis(axis, rank)?] = true;
        }
        Ok(reduced)
    }

    /// The result of tracked elements, where all are reduced to one.
    fn elements(&self, input: &Fact, output: &Shape) -> Option<Vec<Dim>> {
        let elements = input.elements.as_ref().filter(|_| matches!(input.dtype, DType::I64 | DType::I32))?;
        if output.elements().as_fixed() != Some(1) {
            return None;
        }
        let (first, others) = elements.split_first()?;
        let combine: fn(&Dim, &Dim) -> Dim = match self.function {
            F::Sum => |a, b| a + b,
            F::Prod => |a, b| a * b,
            F::Max => Dim::max,
            F::Min => Dim::min,
            _ => return None,
        };
        let result = others.iter().fold(first.clone(), |a, b| combine(&a, b));
        result.is_valid().then(|| vec![result])
    }
}

impl Operator for Reduce {
    fn def(&self) -> &'static OpDef {
        let name = self.function.name();
        ROWS.iter().find(|row| row.name == name).expect("the table has a row of each name")
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        let takes = match (self.function, input.dtype) {
            (_, DType::F32 | DType::F64) => true,
            (F::Max | F::Min, DType::Bool) => true,
            (F::L2 | F::LogSum | F::LogSumExp, _) => false,
            (_, dtype) => dtype.is_integer(),
        };
        if !takes {
            let what = format!("{} does not take elements of type {}", self.function.name(), input.dtype);
            return Err(Error::unsupported(what));
        }
        let reduced = self.reduced(input.shape.rank())?;
        let kept = |(dim, &reduced): (&Dim, &bool)| match (reduced, self.keep_dims) {
            (false, _) => Some(dim.clone()),
            (true, true) => Some(Dim::from(1)),
            (true, false) => None,
        };
        let shape: Shape = input.shape.dims().iter().zip(&reduced).filter_map(kept).collect();
        let elements = self.elements(input, &shape);
        Ok(vec![Fact::new(input.dtype, shape).with_elements(elements)])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let Some(batch) = axes[0] else { return Some(vec![None]) };
        let reduced = self.reduced(inputs.fact(0)?.shape.rank()).ok()?;
        if reduced[batch] {
            return None;
        }
        let gone = if self.keep_dims { 0 } else { reduced[..batch].iter().filter(|&&reduced| reduced).count() };
        Some(vec![Some(batch - gone)])
    }
}
