//! `ReduceSum` and the other reductions over axes, one row each.

pub mod arg_reduce;
pub mod cum_sum;

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{
        KernelSet,
        number::{Number, with_integer},
        reduce::{self, Groups, Reducer, Task, VectorTask},
    },
    op::{
        Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator,
        Shapes,
    },
    shape::{Dim, Shape, normalize_axis},
    tensor::{DType, Element, Tensor},
};

/// The operators of this family.
pub(super) fn operators() -> impl Iterator<Item = &'static OpDef> {
    [&arg_reduce::ARG_MAX, &arg_reduce::ARG_MIN, &cum_sum::DEF].into_iter().chain(ROWS)
}

/// All elements along some axes made one.
#[derive(Clone, Debug, PartialEq)]
pub struct Reduce {
    /// How.
    pub function: ReduceFunction,
    /// Which axes, negative ones from the end; all where this is absent, none where it is empty.
    pub axes: Option<Vec<i64>>,
    /// Whether the axes stay, of size 1.
    pub keep_dims: bool,
}

/// How elements are made one.
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
    /// The largest, or NaN where there is one
    Max,
    /// `sum x / n`; of integers cut towards zero
    Mean,
    /// The smallest, or NaN where there is one
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
            cases: || cases(F::$function),
            accuracy: Accuracy::$accuracy,
            cpu: CpuState::Kernel(kernel),
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

    /// The one result of integers that shape inference follows, where all are reduced.
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

struct Kernel {
    function: ReduceFunction,
    reduced: Vec<bool>,
    set: KernelSet,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let op = request.op::<Reduce>()?;
    let reduced = op.reduced(request.input(0)?.shape.rank())?;
    Ok(Box::new(Kernel { function: op.function, reduced, set: request.kernel_set() }))
}

impl CpuKernel for Kernel {
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        match self.function {
            F::LogSumExp => shapes.outputs[0].iter().product::<usize>() * size_of::<f64>(),
            _ => 0,
        }
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?;
        let groups = &reduce::groups(input.shape, |axis| self.reduced[axis]);
        match input.dtype {
            DType::F32 if self.function == F::LogSumExp => self.log_sum_exp::<f32>(groups, io),
            DType::F64 if self.function == F::LogSumExp => self.log_sum_exp::<f64>(groups, io),
            DType::F32 => {
                let output = io.output(0)?.slice::<f32>()?;
                let task = Task { groups, input: input.slice()?, output: &mut *output };
                self.reduce(VectorTask(self.set, task))?;
                self.finish(groups, output)
            }
            DType::F64 => self.numbers::<f64>(groups, io),
            DType::Bool => self.numbers::<u8>(groups, io),
            dtype => with_integer!(dtype, T => self.numbers::<T>(groups, io),
                else Err(Error::internal(format!("a reduction was given {dtype}")))),
        }
    }
}

impl Kernel {
    fn log_sum_exp<T: Number>(&self, groups: &Groups, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?.slice::<T>()?;
        let output = io.outputs.first_mut().ok_or_else(|| Error::internal("a reduction has no result"))?;
        let largest = bytemuck::cast_slice_mut(&mut io.scratch[..output.bytes.len()]);
        reduce::log_sum_exp(Task { groups, input, output: output.slice::<T>()? }, largest);
        Ok(())
    }

    fn numbers<T: Number>(&self, groups: &Groups, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?.slice::<T>()?;
        let output = io.output(0)?.slice::<T>()?;
        self.reduce(Task { groups, input, output: &mut *output })?;
        self.finish(groups, output)
    }

    fn reduce<T: Number>(&self, task: impl Reducer<T>) -> Result<()> {
        match self.function {
            F::Sum | F::Mean | F::LogSum => task.reduce(reduce::Sum),
            F::L1 => task.reduce(reduce::Magnitudes),
            F::L2 | F::SumSquare => task.reduce(reduce::Squares),
            F::Prod => task.reduce(reduce::Product),
            F::Max => task.reduce(reduce::Largest),
            F::Min => task.reduce(reduce::Smallest),
            F::LogSumExp => return Err(Error::internal("ReduceLogSumExp was given integers")),
        }
        Ok(())
    }

    /// Makes of a sum what the function asks for.
    fn finish<T: Number>(&self, groups: &Groups, output: &mut [T]) -> Result<()> {
        match self.function {
            F::Mean => {
                let count = reduce::reduced_len(groups);
                if T::INTEGER && count == 0 && !output.is_empty() {
                    return Err(Error::invalid_input("the mean of no integers is undefined"));
                }
                let count = T::narrow(count as f64);
                output.iter_mut().for_each(|sum| *sum = sum.over(count));
            }
            F::L2 => output.iter_mut().for_each(|sum| *sum = T::narrow(sum.wide().sqrt())),
            F::LogSum => output.iter_mut().for_each(|sum| *sum = T::narrow(sum.wide().ln())),
            _ => {}
        }
        Ok(())
    }
}

fn cases(function: ReduceFunction) -> Vec<Case> {
    fn tensor<T: Element>(shape: &[usize], values: &[T]) -> Tensor {
        Tensor::new(shape, values).expect("a case's values fit its shape")
    }
    let case = |name: &str, axes: Option<&[i64]>, keep_dims: bool| {
        Case::new(name, Reduce { function, axes: axes.map(<[i64]>::to_vec), keep_dims })
    };
    // The logarithm of a sum near 0 has no bound on its relative error.
    let fill = if function == F::LogSum { Fill::Positive } else { Fill::Spread };
    let mut cases = vec![
        case("rows", Some(&[-1]), true).value(&[3, 77], fill),
        case("long rows", Some(&[1]), false).value(&[2, 1000], fill),
        case("columns", Some(&[0]), false).value(&[13, 21], fill),
        case("middle", Some(&[1]), true).value(&[2, 7, 19], fill),
        case("both ends", Some(&[0, 2]), false).value(&[3, 5, 7], fill),
        case("last two", Some(&[-1, -2]), true).value(&[2, 3, 4, 5], fill),
        case("all", None, false).value(&[3, 4, 5], fill),
        case("all kept", None, true).value(&[6, 7], fill),
        case("no axes", Some(&[]), true).value(&[5], Fill::Positive),
        case("a scalar", None, true).value(&[], Fill::Positive),
        case("no results", Some(&[1]), false).value(&[0, 5], fill),
        case("nothing to reduce", Some(&[1]), false).value(&[3, 0], fill),
        case("f64", Some(&[0]), false).tensor(tensor(&[2, 2], &[1.5f64, 0.25, 2.0, 8.0])),
    ];
    if !matches!(function, F::L2 | F::LogSum | F::LogSumExp) {
        cases.push(case("i64", Some(&[1]), false).tensor(tensor(&[2, 3], &[1i64, -5, 3, 1 << 40, 7, -9])));
        cases.push(case("i32", Some(&[0]), true).tensor(tensor(&[3, 2], &[1i32, -5, 3, 100_000, 7, -9])));
    }
    // An infinite product on the way is not the same in every order.
    if function != F::Prod {
        cases.push(case("hostile", Some(&[1]), false).value(&[41, 9], Fill::Hostile));
    }
    if matches!(function, F::Max | F::Min) {
        let truths = Tensor::from_bools([2, 2], &[true, false, false, false]).expect("four truths");
        cases.push(case("truths", Some(&[1]), false).tensor(truths));
    }
    cases
}
