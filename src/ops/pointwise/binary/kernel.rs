//! The CPU kernel of `Binary`.

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        broadcast::Broadcast,
        map::{update, zip},
        number::{Number, with_integer, with_number},
        simd::{self, PairFunction, Side},
    },
    op::{CpuKernel, Io, KernelRequest},
    ops::pointwise::binary::function::{Binary, BinaryFunction as F, Class, arithmetic, bitwise, comparison, logical},
    tensor::{DType, Element, View, ViewMut},
};

struct Kernel {
    function: F,
    set: KernelSet,
}

pub(super) fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
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
        match function.class() {
            Class::Booleans => apply::<u8, u8>(walk, a, b, output, logical(function)?),
            Class::Bits => {
                with_integer!(a.dtype, T => apply::<T, T>(walk, a, b, output, bitwise(function)?), else none())
            }
            Class::Comparisons if a.dtype == DType::Bool => apply::<u8, u8>(walk, a, b, output, comparison(function)?),
            // Equal numbers are equal strings.
            Class::Comparisons if a.dtype == DType::String => {
                apply::<u64, u8>(walk, a, b, output, comparison(function)?)
            }
            Class::Comparisons => {
                with_number!(a.dtype, T => apply::<T, u8>(walk, a, b, output, comparison(function)?), else none())
            }
            Class::Numbers if function == F::Pow && a.dtype != b.dtype => {
                with_number!(a.dtype, T => mixed_power::<T>(walk, a.slice()?, b, output.slice()?), else none())
            }
            Class::Numbers if a.dtype == DType::F32 => {
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
            Class::Numbers => with_number!(a.dtype, T => {
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

/// Applies a formula at each position.
fn apply<T: Element, R: Element>(
    walk: &Broadcast,
    a: View<'_>,
    b: View<'_>,
    output: &mut ViewMut<'_>,
    formula: &dyn Fn(T, T) -> R,
) -> Result<()> {
    zip(walk, a.slice::<T>()?, b.slice::<T>()?, output.slice::<R>()?, formula);
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

/// The function that kernels have vector instructions for, if any.
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

/// Applies a function of numbers to `f32`; of [`F::Mean`] only the sum.
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

/// Replaces each element by the function of it and the other side's.
///
/// `swapped` makes the other side's element the first argument.
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

/// Refuses integers divided by 0.
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

/// Halves a sum of two operands if the function is the mean.
fn halve<T: Number>(function: F, output: &mut [T]) {
    if function == F::Mean {
        divide(output, 2);
    }
}

/// Divides each sum by the number of its terms.
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
