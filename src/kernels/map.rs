//! Loops that apply a function to each element, or pair of elements, of any type.
//!
//! They call the function for every element; vectorized functions of `f32` are in
//! [`simd`](crate::kernels::simd).

use crate::{
    error::{Error, Result},
    kernels::broadcast::Broadcast,
};

/// Writes `f` of each element of `input`.
///
/// # Errors
/// `Internal` if the lengths differ.
pub(crate) fn map<A: Copy, R>(input: &[A], output: &mut [R], f: &dyn Fn(A) -> R) -> Result<()> {
    if input.len() != output.len() {
        return Err(Error::internal(format!("{} elements mapped to {}", input.len(), output.len())));
    }
    for (to, &x) in output.iter_mut().zip(input) {
        *to = f(x);
    }
    Ok(())
}

/// Writes `f` of each pair of elements of two operands that broadcast to the output.
pub(crate) fn zip<A: Copy, R>(walk: &Broadcast, a: &[A], b: &[A], output: &mut [R], f: &dyn Fn(A, A) -> R) {
    let len = walk.run_len();
    let (a_step, b_step) = (usize::from(walk.moves(0)), usize::from(walk.moves(1)));
    walk.for_each_run(|position, starts| {
        let (mut a_at, mut b_at) = (starts[0], starts[1]);
        for to in &mut output[position..position + len] {
            *to = f(a[a_at], b[b_at]);
            a_at += a_step;
            b_at += b_step;
        }
    });
}

/// Replaces each element of `output` by `f` of it and an element of `operand`.
///
/// `operand` broadcasts to `output`.
pub(crate) fn update<T: Copy>(walk: &Broadcast, output: &mut [T], operand: &[T], f: &dyn Fn(T, T) -> T) {
    let len = walk.run_len();
    let step = usize::from(walk.moves(0));
    walk.for_each_run(|position, starts| {
        let mut at = starts[0];
        for to in &mut output[position..position + len] {
            *to = f(*to, operand[at]);
            at += step;
        }
    });
}
