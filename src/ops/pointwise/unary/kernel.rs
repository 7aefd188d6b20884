//! The CPU kernel of `Unary`.

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        map::map,
        number::{Integer, Number, with_integer, with_number},
        simd,
    },
    op::{CpuKernel, Io, KernelRequest},
    ops::pointwise::unary::function::{Unary, UnaryFunction as F, apply},
    tensor::{DType, View},
};

struct Kernel {
    function: F,
    set: KernelSet,
}

pub(super) fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel { function: request.op::<Unary>()?.function, set: request.kernel_set() }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?;
        let bounds = [1, 2].map(|index| io.inputs.get(index).copied().flatten());
        let output = io.output(0)?;
        let none = || Err(Error::internal(format!("{} was given {}", self.function.name(), input.dtype)));
        match self.function {
            F::IsNaN => {
                let output = output.slice::<u8>()?;
                with_number!(input.dtype, T => map(input.slice::<T>()?, output, &|x| u8::from(x.wide().is_nan())),
                    else none())
            }
            F::IsInf { negative, positive } => {
                let output = output.slice::<u8>()?;
                let chosen = |x: f64| (positive && x == f64::INFINITY) || (negative && x == f64::NEG_INFINITY);
                with_number!(input.dtype, T => map(input.slice::<T>()?, output, &|x| u8::from(chosen(x.wide()))),
                    else none())
            }
            F::Not => map(input.slice::<u8>()?, output.slice::<u8>()?, &|x| x ^ 1),
            F::Clip { low, high } if input.dtype != DType::F32 || bounds.iter().any(Option::is_some) => {
                with_number!(input.dtype, T => clip::<T>(input, [low, high], bounds, output.slice()?), else none())
            }
            function => match input.dtype {
                DType::F32 => apply_f32(self.set, function, input.slice()?, output.slice()?),
                DType::F64 => apply::<f64>(function, input.slice()?, output.slice()?),
                DType::F16 => apply::<half::f16>(function, input.slice()?, output.slice()?),
                DType::BF16 => apply::<half::bf16>(function, input.slice()?, output.slice()?),
                dtype => {
                    with_integer!(dtype, T => integers::<T>(function, input.slice()?, output.slice()?), else none())
                }
            },
        }
    }
}

/// Applies a function to `f32`, with vector instructions where they exist.
fn apply_f32(set: KernelSet, function: F, input: &[f32], output: &mut [f32]) -> Result<()> {
    match function.activation() {
        Some(activation) => simd::map(set, activation, input, output),
        None => apply(function, input, output),
    }
}

/// Replaces each element by its function value.
pub(crate) fn apply_in_place(set: KernelSet, function: F, data: &mut [f32]) -> Result<()> {
    if let Some(activation) = function.activation() {
        simd::map_in_place(set, activation, data);
        return Ok(());
    }
    let mut before = [0f32; 256];
    for data in data.chunks_mut(before.len()) {
        let before = &mut before[..data.len()];
        before.copy_from_slice(data);
        apply(function, before, data)?;
    }
    Ok(())
}

/// Limits the input by the operands present, or else by the attributes.
fn clip<T: Number>(
    input: View<'_>,
    attributes: [f32; 2],
    bounds: [Option<View<'_>>; 2],
    output: &mut [T],
) -> Result<()> {
    let mut ends = [T::LEAST, T::GREATEST];
    for ((end, attribute), operand) in ends.iter_mut().zip(attributes).zip(bounds) {
        match operand {
            Some(operand) => {
                let one = operand.slice::<T>()?.first();
                *end = *one.ok_or_else(|| Error::invalid_input("a bound of Clip is empty"))?;
            }
            None if attribute.is_finite() => *end = T::narrow(f64::from(attribute)),
            None => {}
        }
    }
    map(input.slice::<T>()?, output, &|x| x.larger(ends[0]).smaller(ends[1]))
}

/// Applies a function of integers.
fn integers<T: Integer>(function: F, input: &[T], output: &mut [T]) -> Result<()> {
    match function {
        F::Abs => map(input, output, &|x: T| if x < T::ZERO { T::ZERO.minus(x) } else { x }),
        F::Neg => map(input, output, &|x: T| T::ZERO.minus(x)),
        F::Relu => map(input, output, &|x: T| x.larger(T::ZERO)),
        F::Sign => map(input, output, &|x: T| T::narrow(f64::from(x.cmp(&T::ZERO) as i8))),
        F::BitwiseNot => map(input, output, &T::inverted),
        other => Err(Error::internal(format!("{} was given integers", other.name()))),
    }
}
