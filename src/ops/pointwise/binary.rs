//! Functions of the elements of several operands, which broadcast to one shape, one row each.

use std::sync::Arc;

use super::{broadcast_batch_axes, broadcast_shape, cases, elements};
use crate::{
    cpu::{
        CpuKernel, Io, KernelRequest, KernelSet, View, ViewMut,
        broadcast::Broadcast,
        map::{Operands, Pairs, VectorOperands, map, update, zip},
        number::{Integer, Number, with_integer, with_number},
    },
    error::{Error, Result},
    graph::Fact,
    ops::{Accuracy, CpuState, GpuState, Inputs, OnnxNode, OpDef, Operator},
    shape::Dim,
    tensor::DType,
};

/// One function applied to the elements of two operands at each place; of any number of operands, from the left, where
/// the function is [variadic](BinaryFunction::is_variadic). Operands broadcast as NumPy's do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Binary {
    /// Which.
    pub function: BinaryFunction,
}

/// The functions of two elements. Integers wrap where they overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BinaryFunction {
    /// `a + b`
    Add,
    /// Both, of truth values
    And,
    /// Integers' bits moved `b` places; those that leave are lost
    BitShift {
        /// To the higher places, or else to the lower ones.
        left: bool,
    },
    /// Bits set in both integers
    BitwiseAnd,
    /// Bits set in either integer
    BitwiseOr,
    /// Bits set in just one of the integers
    BitwiseXor,
    /// `a / b`; of integers cut towards zero, and an error where `b` is 0
    Div,
    /// `a == b`, of any type
    Equal,
    /// `a > b`
    Greater,
    /// `a >= b`
    GreaterOrEqual,
    /// `a < b`
    Less,
    /// `a <= b`
    LessOrEqual,
    /// The larger, or NaN where either is; variadic
    Max,
    /// The sum over the number of operands; variadic
    Mean,
    /// The smaller, or NaN where either is; variadic
    Min,
    /// What is left of `a / b`; an error where `b` is an integer 0
    Mod {
        /// The quotient is cut towards zero and the result has the sign of `a`; else it is rounded down and the result
        /// has the sign of `b`.
        truncated: bool,
    },
    /// `a * b`
    Mul,
    /// Either, of truth values
    Or,
    /// `x < 0 ? slope x : x`, of `x` and `slope`
    PRelu,
    /// `a` to the power of `b`, which may be of another type
    Pow,
    /// `a - b`
    Sub,
    /// As [`Add`](Self::Add), variadic
    Sum,
    /// Just one of them, of truth values
    Xor,
}

use BinaryFunction as F;

macro_rules! row {
    ($function:ident, $accuracy:ident) => {
        OpDef {
            name: stringify!($function),
            onnx: Some(|_| Ok(Arc::new(Binary { function: F::$function }))),
            cases: || cases::binary(F::$function),
            accuracy: Accuracy::$accuracy,
            cpu: CpuState::Kernel(kernel),
            gpu: GpuState::Pending,
        }
    };
}

pub(super) static ROWS: &[OpDef] = &[
    row!(Add, Exact),
    row!(And, Exact),
    OpDef {
        name: "BitShift",
        onnx: Some(decode_shift),
        cases: || cases::binary(F::BitShift { left: true }),
        accuracy: Accuracy::Exact,
        cpu: CpuState::Kernel(kernel),
        gpu: GpuState::Pending,
    },
    row!(BitwiseAnd, Exact),
    row!(BitwiseOr, Exact),
    row!(BitwiseXor, Exact),
    row!(Div, Exact),
    row!(Equal, Exact),
    row!(Greater, Exact),
    row!(GreaterOrEqual, Exact),
    row!(Less, Exact),
    row!(LessOrEqual, Exact),
    row!(Max, Pointwise),
    row!(Mean, Pointwise),
    row!(Min, Pointwise),
    OpDef {
        name: "Mod",
        onnx: Some(decode_mod),
        cases: cases::modulo,
        accuracy: Accuracy::Exact,
        cpu: CpuState::Kernel(kernel),
        gpu: GpuState::Pending,
    },
    row!(Mul, Exact),
    row!(Or, Exact),
    row!(PRelu, Exact),
    row!(Pow, Pointwise),
    row!(Sub, Exact),
    row!(Sum, Pointwise),
    row!(Xor, Exact),
];

fn decode_shift(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let left = match node.string("direction")?.as_deref() {
        Some("LEFT") => true,
        Some("RIGHT") => false,
        other => return Err(Error::invalid_model(format!("`direction` is {other:?}, expected LEFT or RIGHT"))),
    };
    Ok(Arc::new(Binary { function: F::BitShift { left } }))
}

fn decode_mod(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    Ok(Arc::new(Binary { function: F::Mod { truncated: node.flag("fmod", false)? } }))
}

impl BinaryFunction {
    /// ONNX's name.
    pub fn name(self) -> &'static str {
        match self {
            F::Add => "Add",
            F::And => "And",
            F::BitShift { .. } => "BitShift",
            F::BitwiseAnd => "BitwiseAnd",
            F::BitwiseOr => "BitwiseOr",
            F::BitwiseXor => "BitwiseXor",
            F::Div => "Div",
            F::Equal => "Equal",
            F::Greater => "Greater",
            F::GreaterOrEqual => "GreaterOrEqual",
            F::Less => "Less",
            F::LessOrEqual => "LessOrEqual",
            F::Max => "Max",
            F::Mean => "Mean",
            F::Min => "Min",
            F::Mod { .. } => "Mod",
            F::Mul => "Mul",
            F::Or => "Or",
            F::PRelu => "PRelu",
            F::Pow => "Pow",
            F::Sub => "Sub",
            F::Sum => "Sum",
            F::Xor => "Xor",
        }
    }

    /// Whether it takes any number of operands but none.
    pub fn is_variadic(self) -> bool {
        matches!(self, F::Max | F::Mean | F::Min | F::Sum)
    }

    /// Whether it gives truth values of other elements.
    pub fn is_comparison(self) -> bool {
        matches!(self, F::Equal | F::Greater | F::GreaterOrEqual | F::Less | F::LessOrEqual)
    }

    /// Whether it gives numbers of the type that it is given.
    pub(super) fn keeps_floats(self) -> bool {
        self.takes(DType::F32) && !self.is_comparison()
    }

    /// Whether it takes operands of type `dtype`.
    fn takes(self, dtype: DType) -> bool {
        match self {
            F::Equal => true,
            F::And | F::Or | F::Xor => dtype == DType::Bool,
            F::BitShift { .. } | F::BitwiseAnd | F::BitwiseOr | F::BitwiseXor => dtype.is_integer(),
            F::Mod { truncated: false } => dtype.is_integer(),
            _ => dtype != DType::Bool,
        }
    }
}

impl Operator for Binary {
    fn def(&self) -> &'static OpDef {
        let name = self.function.name();
        ROWS.iter().find(|row| row.name == name).expect("the table has a row of each name")
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let (least, most) = if self.function.is_variadic() { (1, usize::MAX) } else { (2, 2) };
        inputs.expect(least, most)?;
        let dtype = inputs.required(0)?.dtype;
        for index in 0..inputs.len() {
            let own = inputs.required(index)?.dtype;
            let power = self.function == F::Pow && index == 1 && own != DType::Bool;
            if !self.function.takes(own) || (own != dtype && !power) {
                let what = format!("{} does not take operands of types {dtype} and {own}", self.function.name());
                return Err(Error::unsupported(what));
            }
        }
        let shape = broadcast_shape(inputs)?;
        if self.function == F::PRelu && shape != inputs.required(0)?.shape {
            return Err(Error::invalid_model(format!(
                "the slope of PRelu does not broadcast to {}",
                inputs.required(0)?
            )));
        }
        let dtype = if self.function.is_comparison() { DType::Bool } else { dtype };
        let elements = elements::binary(self.function, inputs, &shape);
        Ok(vec![Fact::new(dtype, shape).with_elements(elements)])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], size: &Dim) -> Option<Vec<Option<usize>>> {
        broadcast_batch_axes(inputs, axes, size)
    }
}

struct Kernel {
    function: BinaryFunction,
    set: KernelSet,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel { function: request.op::<Binary>()?.function, set: request.kernel_set() }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let function = self.function;
        if function.is_variadic() && io.inputs.len() != 2 {
            return self.run_variadic(io);
        }
        let (a, b) = (io.input(0)?, io.input(1)?);
        let output = io.output(0)?;
        let walk = Broadcast::new(output.shape, &[a.shape, b.shape])?;
        let none = || Err(Error::internal(format!("{} was given {} and {}", function.name(), a.dtype, b.dtype)));
        match function {
            F::Equal if a.dtype == DType::Bool => {
                zip(&walk, a.slice::<u8>()?, b.slice::<u8>()?, output.slice::<u8>()?, |a, b| u8::from(a == b));
                Ok(())
            }
            F::And => truths(&walk, a, b, output, |a, b| a & b),
            F::Or => truths(&walk, a, b, output, |a, b| a | b),
            F::Xor => truths(&walk, a, b, output, |a, b| a ^ b),
            F::BitShift { .. } | F::BitwiseAnd | F::BitwiseOr | F::BitwiseXor => {
                with_integer!(a.dtype, T => bits::<T>(function, &walk, a.slice()?, b.slice()?, output.slice()?), else none())
            }
            F::Pow if a.dtype != b.dtype => with_number!(a.dtype, A => with_number!(b.dtype, B => {
                let (a, b) = (a.slice::<A>()?, b.slice::<B>()?);
                zip(&walk, a, b, output.slice::<A>()?, |a, b| A::narrow(a.wide().powf(b.wide())));
                Ok(())
            }, else none()), else none()),
            _ if function.is_comparison() => {
                let output = output.slice::<u8>()?;
                with_number!(a.dtype, T => compare::<T>(function, &walk, a.slice()?, b.slice()?, output), else none())
            }
            _ if a.dtype == DType::F32 => {
                let operands = Operands { walk: &walk, a: a.slice()?, b: b.slice()?, output: output.slice()? };
                arithmetic(function, VectorOperands { set: self.set, operands })?;
                halve(function, output.slice::<f32>()?);
                Ok(())
            }
            _ => with_number!(a.dtype, T => {
                let operands = Operands { walk: &walk, a: a.slice()?, b: b.slice()?, output: output.slice()? };
                arithmetic::<T>(function, operands)?;
                halve(function, output.slice::<T>()?);
                Ok(())
            }, else none()),
        }
    }
}

fn truths(walk: &Broadcast, a: View<'_>, b: View<'_>, output: &mut ViewMut<'_>, f: fn(u8, u8) -> u8) -> Result<()> {
    zip(walk, a.slice::<u8>()?, b.slice::<u8>()?, output.slice::<u8>()?, f);
    Ok(())
}

/// Applies a function that gives numbers of the type that it is given; of [`F::Mean`] only the sum.
pub(super) fn arithmetic<T: Number>(function: F, pairs: impl Pairs<T>) -> Result<()> {
    if T::INTEGER
        && matches!(function, F::Div | F::Mod { .. })
        && let Some(at) = pairs.zero_divisor()
    {
        let what = format!("element {at} of the divisor is 0, of which integers have no quotient");
        return Err(Error::invalid_input(what));
    }
    match function {
        F::Add | F::Sum | F::Mean => pairs.apply(T::plus),
        F::Sub => pairs.apply(T::minus),
        F::Mul => pairs.apply(T::times),
        F::Div => pairs.apply(T::over),
        F::Mod { truncated: true } => pairs.apply(T::remainder),
        F::Mod { truncated: false } => pairs.apply(T::modulo),
        F::Max => pairs.apply(T::larger),
        F::Min => pairs.apply(T::smaller),
        F::PRelu => pairs.apply(|x, slope| if x < T::ZERO { x.times(slope) } else { x }),
        F::Pow => pairs.apply(T::power),
        other => return Err(Error::internal(format!("{} is not arithmetic", other.name()))),
    }
    Ok(())
}

/// Makes the sum of two their mean, where that is the function.
fn halve<T: Number>(function: F, output: &mut [T]) {
    if function == F::Mean {
        divide(output, 2);
    }
}

fn divide<T: Number>(output: &mut [T], count: usize) {
    let count = T::narrow(count as f64);
    output.iter_mut().for_each(|sum| *sum = sum.over(count));
}

fn compare<T: Number>(function: F, walk: &Broadcast, a: &[T], b: &[T], output: &mut [u8]) -> Result<()> {
    match function {
        F::Equal => zip(walk, a, b, output, |a, b| u8::from(a == b)),
        F::Greater => zip(walk, a, b, output, |a, b| u8::from(a > b)),
        F::GreaterOrEqual => zip(walk, a, b, output, |a, b| u8::from(a >= b)),
        F::Less => zip(walk, a, b, output, |a, b| u8::from(a < b)),
        F::LessOrEqual => zip(walk, a, b, output, |a, b| u8::from(a <= b)),
        other => return Err(Error::internal(format!("{} is no comparison", other.name()))),
    }
    Ok(())
}

fn bits<T: Integer>(function: F, walk: &Broadcast, a: &[T], b: &[T], output: &mut [T]) -> Result<()> {
    match function {
        F::BitwiseAnd => zip(walk, a, b, output, T::and),
        F::BitwiseOr => zip(walk, a, b, output, T::or),
        F::BitwiseXor => zip(walk, a, b, output, T::xor),
        F::BitShift { left } => zip(walk, a, b, output, |a, b| a.shifted(b, left)),
        other => return Err(Error::internal(format!("{} is not made of bits", other.name()))),
    }
    Ok(())
}

impl Kernel {
    fn run_variadic(&self, io: &mut Io<'_>) -> Result<()> {
        let dtype = io.input(0)?.dtype;
        let none = || Err(Error::internal(format!("{} was given {dtype}", self.function.name())));
        with_number!(dtype, T => self.fold::<T>(io), else none())
    }

    fn fold<T: Number>(&self, io: &mut Io<'_>) -> Result<()> {
        let count = io.inputs.len();
        for index in 0..count {
            let operand = io.input(index)?;
            let output = io.output(0)?;
            let walk = Broadcast::new(output.shape, &[operand.shape])?;
            let (from, to) = (operand.slice::<T>()?, output.slice::<T>()?);
            match self.function {
                _ if index == 0 && count == 1 => map(from, to, |x| x)?,
                _ if index == 0 => update(&walk, to, from, |_, b| b),
                F::Max => update(&walk, to, from, T::larger),
                F::Min => update(&walk, to, from, T::smaller),
                _ => update(&walk, to, from, T::plus),
            }
            if self.function == F::Mean && index + 1 == count {
                divide(to, count);
            }
        }
        Ok(())
    }
}
