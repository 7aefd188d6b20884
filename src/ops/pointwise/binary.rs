//! Functions of the elements of several operands, which broadcast to one shape, one row each.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{
        KernelSet,
        broadcast::Broadcast,
        map::{update, zip},
        number::{Integer, Number, with_integer, with_number},
        simd::{self, PairFunction, Side},
    },
    op::{Accuracy, CpuKernel, CpuState, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::pointwise::{broadcast_batch_axes, broadcast_shape, cases, elements},
    shape::Dim,
    tensor::{DType, View, ViewMut},
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
            gpu: GpuState::Kernel("pointwise"),
        }
    };
}

pub(crate) static ROWS: &[OpDef] = &[
    row!(Add, Exact),
    row!(And, Exact),
    OpDef {
        name: "BitShift",
        onnx: Some(decode_shift),
        cases: || cases::binary(F::BitShift { left: true }),
        accuracy: Accuracy::Exact,
        cpu: CpuState::Kernel(kernel),
        gpu: GpuState::Kernel("pointwise"),
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
        gpu: GpuState::Kernel("pointwise"),
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
    pub(crate) fn keeps_floats(self) -> bool {
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
        let walk = &Broadcast::new(output.shape, &[a.shape, b.shape])?;
        let none = || Err(Error::internal(format!("{} was given {} and {}", function.name(), a.dtype, b.dtype)));
        match function {
            F::Equal if a.dtype == DType::Bool => truths(walk, a, b, output, |a, b| u8::from(a == b)),
            F::And => truths(walk, a, b, output, |a, b| a & b),
            F::Or => truths(walk, a, b, output, |a, b| a | b),
            F::Xor => truths(walk, a, b, output, |a, b| a ^ b),
            F::BitShift { .. } | F::BitwiseAnd | F::BitwiseOr | F::BitwiseXor => with_integer!(a.dtype, T => {
                zip(walk, a.slice::<T>()?, b.slice()?, output.slice()?, bits::<T>(function)?);
                Ok(())
            }, else none()),
            F::Pow if a.dtype != b.dtype => {
                with_number!(a.dtype, T => mixed_power::<T>(walk, a.slice()?, b, output.slice()?), else none())
            }
            _ if function.is_comparison() => with_number!(a.dtype, T => {
                zip(walk, a.slice::<T>()?, b.slice()?, output.slice::<u8>()?, comparison::<T>(function)?);
                Ok(())
            }, else none()),
            _ if a.dtype == DType::F32 => {
                let (a, b, output) = (a.slice::<f32>()?, b.slice::<f32>()?, output.slice::<f32>()?);
                let len = walk.run_len();
                let mut result = Ok(());
                walk.for_each_run(|position, starts| {
                    let sides = (walk.side(0, a, starts[0], 0, len), walk.side(1, b, starts[1], 0, len));
                    if result.is_ok() {
                        result = apply_f32(self.set, function, sides, &mut output[position..position + len]);
                    }
                });
                halve(function, output);
                result
            }
            _ => with_number!(a.dtype, T => {
                let (a, b, output) = (a.slice::<T>()?, b.slice::<T>()?, output.slice::<T>()?);
                if !output.is_empty() {
                    check_divisor(function, b)?;
                }
                zip(walk, a, b, output, arithmetic(function)?);
                halve(function, output);
                Ok(())
            }, else none()),
        }
    }
}

/// Applies a function of truth values.
fn truths(walk: &Broadcast, a: View<'_>, b: View<'_>, output: &mut ViewMut<'_>, f: fn(u8, u8) -> u8) -> Result<()> {
    zip(walk, a.slice::<u8>()?, b.slice::<u8>()?, output.slice::<u8>()?, &f);
    Ok(())
}

/// `a` to the power of numbers of another type, in double precision.
fn mixed_power<T: Number>(walk: &Broadcast, a: &[T], b: View<'_>, output: &mut [T]) -> Result<()> {
    let number = |at: usize| -> Result<f64> {
        with_number!(b.dtype, B => Ok(b.slice::<B>()?[at].wide()), else Err(Error::internal("a power is a truth value")))
    };
    let (a_step, b_step) = (usize::from(walk.moves(0)), usize::from(walk.moves(1)));
    let mut result = Ok(());
    walk.for_each_run(|position, starts| {
        for (at, to) in output[position..position + walk.run_len()].iter_mut().enumerate() {
            match number(starts[1] + at * b_step) {
                Ok(power) => *to = T::narrow(a[starts[0] + at * a_step].wide().powf(power)),
                Err(error) => result = Err(error),
            }
        }
    });
    result
}

/// The function that kernels have vector instructions for, if they do.
fn vectorized(function: F) -> Option<PairFunction> {
    Some(match function {
        F::Add | F::Sum | F::Mean => PairFunction::Add,
        F::Sub => PairFunction::Sub,
        F::Mul => PairFunction::Mul,
        F::Div => PairFunction::Div,
        F::Max => PairFunction::Max,
        F::Min => PairFunction::Min,
        F::PRelu => PairFunction::Slope,
        _ => return None,
    })
}

/// Applies a function that gives numbers to `f32`; of [`F::Mean`] only the sum.
fn apply_f32(set: KernelSet, function: F, sides: (Side<'_, f32>, Side<'_, f32>), output: &mut [f32]) -> Result<()> {
    match (vectorized(function), function, sides) {
        (Some(pair), _, (a, b)) => return simd::combine(set, pair, a, b, output),
        (None, F::Pow, (a, Side::One(2.0))) => return simd::combine(set, PairFunction::Mul, a, a, output),
        _ => {}
    }
    let f = arithmetic::<f32>(function)?;
    let at = |side: Side<'_, f32>, index: usize| match side {
        Side::Each(each) => each[index],
        Side::One(one) => one,
    };
    for (index, to) in output.iter_mut().enumerate() {
        *to = f(at(sides.0, index), at(sides.1, index));
    }
    Ok(())
}

/// Replaces each element by a function of it and the other side's, or the other way round.
pub(crate) fn apply_in_place(
    set: KernelSet,
    function: F,
    data: &mut [f32],
    other: Side<'_, f32>,
    swapped: bool,
) -> Result<()> {
    if let Some(pair) = vectorized(function) {
        return simd::combine_in_place(set, pair, data, other, swapped);
    }
    let mut before = [0f32; 256];
    for (index, data) in data.chunks_mut(before.len()).enumerate() {
        let own = &mut before[..data.len()];
        own.copy_from_slice(data);
        let other = match other {
            Side::Each(each) => Side::Each(&each[256 * index..256 * index + data.len()]),
            one => one,
        };
        let own = Side::Each(&*own);
        apply_f32(set, function, if swapped { (other, own) } else { (own, other) }, data)?;
    }
    Ok(())
}

/// `a + b` and its like; of [`F::Mean`] only the sum.
fn arithmetic<T: Number>(function: F) -> Result<&'static dyn Fn(T, T) -> T> {
    Ok(match function {
        F::Add | F::Sum | F::Mean => &T::plus,
        F::Sub => &T::minus,
        F::Mul => &T::times,
        F::Div => &T::over,
        F::Mod { truncated: true } => &T::remainder,
        F::Mod { truncated: false } => &T::modulo,
        F::Max => &T::larger,
        F::Min => &T::smaller,
        F::PRelu => &|x: T, slope| if x < T::ZERO { x.times(slope) } else { x },
        F::Pow => &T::power,
        other => return Err(Error::internal(format!("{} is not arithmetic", other.name()))),
    })
}

/// Refuses a divisor that has no quotient.
fn check_divisor<T: Number>(function: F, divisor: &[T]) -> Result<()> {
    let divides = T::INTEGER && matches!(function, F::Div | F::Mod { .. });
    match divisor.iter().position(|&b| divides && b == T::ZERO) {
        None => Ok(()),
        Some(at) => {
            let what = format!("element {at} of the divisor is 0, of which integers have no quotient");
            Err(Error::invalid_input(what))
        }
    }
}

fn comparison<T: Number>(function: F) -> Result<&'static dyn Fn(T, T) -> u8> {
    Ok(match function {
        F::Equal => &|a, b| u8::from(a == b),
        F::Greater => &|a, b| u8::from(a > b),
        F::GreaterOrEqual => &|a, b| u8::from(a >= b),
        F::Less => &|a, b| u8::from(a < b),
        F::LessOrEqual => &|a, b| u8::from(a <= b),
        other => return Err(Error::internal(format!("{} is no comparison", other.name()))),
    })
}

fn bits<T: Integer>(function: F) -> Result<&'static dyn Fn(T, T) -> T> {
    Ok(match function {
        F::BitwiseAnd => &T::and,
        F::BitwiseOr => &T::or,
        F::BitwiseXor => &T::xor,
        F::BitShift { left: true } => &|a: T, b| a.shifted(b, true),
        F::BitShift { left: false } => &|a: T, b| a.shifted(b, false),
        other => return Err(Error::internal(format!("{} is not made of bits", other.name()))),
    })
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

impl Kernel {
    fn run_variadic(&self, io: &mut Io<'_>) -> Result<()> {
        let dtype = io.input(0)?.dtype;
        let none = || Err(Error::internal(format!("{} was given {dtype}", self.function.name())));
        with_number!(dtype, T => self.fold::<T>(io), else none())
    }

    fn fold<T: Number>(&self, io: &mut Io<'_>) -> Result<()> {
        let f = arithmetic::<T>(self.function)?;
        let count = io.inputs.len();
        for index in 0..count {
            let operand = io.input(index)?;
            let output = io.output(0)?;
            let walk = Broadcast::new(output.shape, &[operand.shape])?;
            let (from, to) = (operand.slice::<T>()?, output.slice::<T>()?);
            update(&walk, to, from, if index == 0 { &|_, b| b } else { f });
        }
        if self.function == F::Mean {
            divide(io.output(0)?.slice::<T>()?, count);
        }
        Ok(())
    }
}
