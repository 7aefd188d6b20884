//! Functions of two numbers over slices.

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        simd::{Kernel, Simd, reduce::store_some},
    },
};

/// A function of two numbers, each rounded once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PairFunction {
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a * b`
    Mul,
    /// `a / b`
    Div,
    /// The larger, or NaN where either is NaN
    Max,
    /// The smaller, or NaN where either is NaN
    Min,
    /// `a < 0 ? a * b : a`
    Slope,
}

/// One operand of a function of two numbers.
#[derive(Clone, Copy, Debug)]
pub enum Side<'a, T> {
    /// An element for each result.
    Each(&'a [T]),
    /// One element for all.
    One(T),
}

/// One operand by address: of an element for each result, or of one element for all.
#[derive(Clone, Copy)]
struct Source {
    from: *const f32,
    moves: bool,
}

impl Source {
    /// The address of `side`, which must stay borrowed; fails unless it has `len` elements or one.
    fn new(side: &Side<'_, f32>, len: usize) -> Result<Self> {
        match side {
            Side::Each(each) if each.len() == len => Ok(Self { from: each.as_ptr(), moves: true }),
            Side::Each(each) => Err(Error::internal(format!("{} numbers combined to {len}", each.len()))),
            Side::One(one) => Ok(Self { from: one, moves: false }),
        }
    }

    /// Loads the vector of the `count` elements from `at` on.
    ///
    /// # Safety
    /// The one element, or those at `at..at + count`, are readable.
    #[inline(always)]
    unsafe fn load<S: Simd>(self, s: S, at: usize, count: usize) -> S::F {
        // SAFETY: the caller promises the elements.
        unsafe {
            match (self.moves, count == S::LANES) {
                (false, _) => s.splat(*self.from),
                (true, true) => s.load(self.from.add(at)),
                (true, false) => s.load_head(self.from.add(at), count),
            }
        }
    }
}

/// Applies a function to `len` pairs of elements.
struct Combine {
    function: PairFunction,
    a: Source,
    b: Source,
    to: *mut f32,
    len: usize,
}

impl Combine {
    /// # Safety
    /// `len` elements, or one if it does not move, are readable at each side, and `len` writable at
    /// `to`, which may be a side.
    #[inline(always)]
    unsafe fn new(function: PairFunction, a: Source, b: Source, to: *mut f32, len: usize) -> Self {
        Self { function, a, b, to, len }
    }
}

impl Kernel for Combine {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { function, a, b, to, len } = self;
        // Whole vectors, without a condition in the loop.
        macro_rules! whole {
            ($at:ident, $a:ident = $of_a:expr, $b:ident = $of_b:expr, $result:expr) => {
                while $at + S::LANES <= len {
                    let ($a, $b) = ($of_a, $of_b);
                    s.store(to.add($at), $result);
                    $at += S::LANES;
                }
            };
        }
        macro_rules! each {
            (|$a:ident, $b:ident| $result:expr) => {{
                let mut at = 0;
                // SAFETY: `new` requires `len` elements of each, or one; `at + LANES <= len`, or `at + count <= len`.
                unsafe {
                    if len >= S::LANES {
                        let (one_a, one_b) = (s.splat(*a.from), s.splat(*b.from));
                        match (a.moves, b.moves) {
                            (true, true) => {
                                whole!(at, $a = s.load(a.from.add(at)), $b = s.load(b.from.add(at)), $result)
                            }
                            (true, false) => whole!(at, $a = s.load(a.from.add(at)), $b = one_b, $result),
                            (false, true) => whole!(at, $a = one_a, $b = s.load(b.from.add(at)), $result),
                            (false, false) => whole!(at, $a = one_a, $b = one_b, $result),
                        }
                    }
                    if at < len {
                        let count = len - at;
                        let ($a, $b) = (a.load(s, at, count), b.load(s, at, count));
                        store_some(s, to, at, count, $result);
                    }
                }
            }};
        }
        match function {
            PairFunction::Add => each!(|a, b| s.add(a, b)),
            PairFunction::Sub => each!(|a, b| s.sub(a, b)),
            PairFunction::Mul => each!(|a, b| s.mul(a, b)),
            PairFunction::Div => each!(|a, b| s.div(a, b)),
            PairFunction::Max => each!(|a, b| s.max_or_nan(a, b)),
            PairFunction::Min => each!(|a, b| s.select_nan(a, a, s.min(a, b))),
            PairFunction::Slope => each!(|a, b| s.select_less(a, s.splat(0.0), s.mul(a, b), a)),
        }
    }
}

/// Writes `function` of each pair of elements to `output`.
///
/// # Errors
///
/// `Internal` if a side has another length.
pub fn combine(
    set: KernelSet,
    function: PairFunction,
    a: Side<'_, f32>,
    b: Side<'_, f32>,
    output: &mut [f32],
) -> Result<()> {
    let len = output.len();
    let (to, from_a, from_b) = (output.as_mut_ptr(), Source::new(&a, len)?, Source::new(&b, len)?);
    // SAFETY: both sides and the output are borrowed, and fit `len`.
    set.run(unsafe { Combine::new(function, from_a, from_b, to, len) });
    Ok(())
}

/// Replaces each element of `data` by `function` of it and the other's element.
///
/// With `swapped`, the other's element is the first argument.
///
/// # Errors
///
/// `Internal` if the other side has another length.
pub fn combine_in_place(
    set: KernelSet,
    function: PairFunction,
    data: &mut [f32],
    other: Side<'_, f32>,
    swapped: bool,
) -> Result<()> {
    let (to, len) = (data.as_mut_ptr(), data.len());
    let (own, other) = (Source { from: to, moves: true }, Source::new(&other, len)?);
    let (a, b) = if swapped { (other, own) } else { (own, other) };
    // SAFETY: the other side is borrowed, and fits `len`.
    set.run(unsafe { Combine::new(function, a, b, to, len) });
    Ok(())
}
