//! Loops over slices that apply one function to each element, or to each pair of elements.

use crate::{
    cpu::broadcast::Broadcast,
    error::{Error, Result},
};

/// Writes `f` of each element of `input`.
///
/// # Errors
/// `Internal` if the lengths differ.
pub(crate) fn map<A: Copy, R>(input: &[A], output: &mut [R], f: impl Fn(A) -> R) -> Result<()> {
    if input.len() != output.len() {
        return Err(Error::internal(format!("{} elements mapped to {}", input.len(), output.len())));
    }
    for (to, &x) in output.iter_mut().zip(input) {
        *to = f(x);
    }
    Ok(())
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
        let (a, b) = (&a[starts[0]..], &b[starts[1]..]);
        match moves {
            (true, true) => output.iter_mut().zip(a.iter().zip(b)).for_each(|(to, (&a, &b))| *to = f(a, b)),
            (true, false) => {
                let b = b[0];
                output.iter_mut().zip(a).for_each(|(to, &a)| *to = f(a, b));
            }
            (false, true) => {
                let a = a[0];
                output.iter_mut().zip(b).for_each(|(to, &b)| *to = f(a, b));
            }
            (false, false) => output.fill(f(a[0], b[0])),
        }
    });
}

/// Replaces each element of `output` by `f` of it and of the operand's, which broadcasts to it.
#[inline(always)]
pub(crate) fn update<B: Copy, R: Copy>(walk: &Broadcast, output: &mut [R], b: &[B], f: impl Fn(R, B) -> R) {
    let len = walk.run_len();
    walk.for_each_run(|position, starts| {
        let output = &mut output[position..position + len];
        let b = &b[starts[0]..];
        if walk.moves(0) {
            output.iter_mut().zip(b).for_each(|(to, &b)| *to = f(*to, b));
        } else {
            let b = b[0];
            output.iter_mut().for_each(|to| *to = f(*to, b));
        }
    });
}
