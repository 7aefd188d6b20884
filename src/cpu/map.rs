//! Loops over slices that apply one function to each element, or to each pair of elements.

use crate::{
    cpu::{
        KernelSet,
        broadcast::Broadcast,
        simd::{Kernel, Simd},
    },
    error::{Error, Result},
};

/// Writes `f` of each element of `input`.
///
/// # Errors
/// `Internal` if the lengths differ.
#[inline(always)]
pub(crate) fn map<A: Copy, R>(input: &[A], output: &mut [R], f: impl Fn(A) -> R) -> Result<()> {
    if input.len() != output.len() {
        return Err(Error::internal(format!("{} elements mapped to {}", input.len(), output.len())));
    }
    for (to, &x) in output.iter_mut().zip(input) {
        *to = f(x);
    }
    Ok(())
}

/// One side of a function of two elements.
#[derive(Clone, Copy)]
pub(crate) enum Side<'a, T> {
    /// An element for each result.
    Each(&'a [T]),
    /// One element for all.
    One(T),
}

impl<'a, T: Copy> Side<'a, T> {
    /// `len` elements from the beginning of `from`, or its first one if the side does not move.
    #[inline(always)]
    pub(crate) fn new(from: &'a [T], len: usize, moves: bool) -> Self {
        if moves { Self::Each(&from[..len]) } else { Self::One(from[0]) }
    }
}

/// Writes `f` of each pair of elements of two operands that broadcast to the output.
#[inline(always)]
pub(crate) fn zip<A: Copy, B: Copy, R: Copy>(
    walk: &Broadcast,
    a: &[A],
    b: &[B],
    output: &mut [R],
    f: impl Fn(A, B) -> R,
) {
    let len = walk.run_len();
    let moves = (walk.moves(0), walk.moves(1));
    walk.for_each_run(|position, starts| {
        let output = &mut output[position..position + len];
        match (Side::new(&a[starts[0]..], len, moves.0), Side::new(&b[starts[1]..], len, moves.1)) {
            (Side::Each(a), Side::Each(b)) => {
                output.iter_mut().zip(a.iter().zip(b)).for_each(|(to, (&a, &b))| *to = f(a, b));
            }
            (Side::Each(a), Side::One(b)) => output.iter_mut().zip(a).for_each(|(to, &a)| *to = f(a, b)),
            (Side::One(a), Side::Each(b)) => output.iter_mut().zip(b).for_each(|(to, &b)| *to = f(a, b)),
            (Side::One(a), Side::One(b)) => output.fill(f(a, b)),
        }
    });
}

/// Replaces each element of `block` by `f` of it and of the other side's.
#[inline(always)]
pub(crate) fn update_block<B: Copy, R: Copy>(block: &mut [R], other: Side<'_, B>, f: impl Fn(R, B) -> R) {
    match other {
        Side::Each(other) => block.iter_mut().zip(other).for_each(|(to, &b)| *to = f(*to, b)),
        Side::One(b) => block.iter_mut().for_each(|to| *to = f(*to, b)),
    }
}

/// Replaces each element of `output` by `f` of it and of the operand's, which broadcasts to it.
#[inline(always)]
pub(crate) fn update<B: Copy, R: Copy>(walk: &Broadcast, output: &mut [R], b: &[B], f: impl Fn(R, B) -> R) {
    let len = walk.run_len();
    walk.for_each_run(|position, starts| {
        update_block(&mut output[position..position + len], Side::new(&b[starts[0]..], len, walk.moves(0)), &f);
    });
}

/// Where a function of two elements is applied: chosen apart from the function, so that one list of functions serves
/// all ways.
pub(crate) trait Pairs<T> {
    /// The first zero among the second arguments, if a result depends on any.
    fn zero_divisor(&self) -> Option<usize>;
    /// Applies the function to every pair.
    fn apply(self, f: impl Fn(T, T) -> T);
}

/// Two operands that broadcast to an output.
pub(crate) struct Operands<'a, T> {
    /// How they do.
    pub(crate) walk: &'a Broadcast,
    /// The first arguments.
    pub(crate) a: &'a [T],
    /// The second arguments.
    pub(crate) b: &'a [T],
    /// The results.
    pub(crate) output: &'a mut [T],
}

impl<T: Copy + Default + PartialEq> Pairs<T> for Operands<'_, T> {
    fn zero_divisor(&self) -> Option<usize> {
        if self.output.is_empty() { None } else { self.b.iter().position(|b| *b == T::default()) }
    }

    #[inline(always)]
    fn apply(self, f: impl Fn(T, T) -> T) {
        zip(self.walk, self.a, self.b, self.output, f);
    }
}

/// The same for `f32`, compiled with a kernel set's instructions.
pub(crate) struct VectorOperands<'a> {
    /// The set.
    pub(crate) set: KernelSet,
    /// What there is to do.
    pub(crate) operands: Operands<'a, f32>,
}

impl Pairs<f32> for VectorOperands<'_> {
    fn zero_divisor(&self) -> Option<usize> {
        None
    }

    fn apply(self, f: impl Fn(f32, f32) -> f32) {
        struct Zip<'a, F>(Operands<'a, f32>, F);
        impl<F: Fn(f32, f32) -> f32> Kernel for Zip<'_, F> {
            type Output = ();
            #[inline(always)]
            fn run<S: Simd>(self, _: S) {
                self.0.apply(self.1);
            }
        }
        self.set.run(Zip(self.operands, f));
    }
}

/// A block of `f32` and what it is combined with, in place, compiled with a kernel set's instructions.
pub(crate) struct VectorBlock<'a> {
    /// The set.
    pub(crate) set: KernelSet,
    /// One argument, and the results.
    pub(crate) block: &'a mut [f32],
    /// The other argument.
    pub(crate) other: Side<'a, f32>,
    /// Whether the block's elements are the second arguments.
    pub(crate) swapped: bool,
}

impl Pairs<f32> for VectorBlock<'_> {
    fn zero_divisor(&self) -> Option<usize> {
        None
    }

    fn apply(self, f: impl Fn(f32, f32) -> f32) {
        struct Update<'a, F>(VectorBlock<'a>, F);
        impl<F: Fn(f32, f32) -> f32> Kernel for Update<'_, F> {
            type Output = ();
            #[inline(always)]
            fn run<S: Simd>(self, _: S) {
                let Self(VectorBlock { block, other, swapped, .. }, f) = self;
                if swapped {
                    update_block(block, other, |x, other| f(other, x));
                } else {
                    update_block(block, other, f);
                }
            }
        }
        self.set.run(Update(self, f));
    }
}
