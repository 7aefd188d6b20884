//! Steps of recurrent cells whose gates have their usual functions, sigmoid and tanh.
//!
//! A product of a sigmoid and another factor takes one division for both.

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        simd::{
            Kernel, Simd, math,
            reduce::{load_some, store_some},
        },
    },
};

/// Replaces the states of LSTM cells, `size` numbers an item, by the next ones.
///
/// `gates` holds for each item the sums of the input, output and forget gates and of the candidate.
///
/// # Errors
/// `Internal` if a length does not fit.
pub(crate) fn lstm(set: KernelSet, gates: &[f32], size: usize, hidden: &mut [f32], cell: &mut [f32]) -> Result<()> {
    let items = fits(hidden.len(), size, [(gates.len(), 4), (cell.len(), 1)])?;
    let (gates, hidden, cell) = (gates.as_ptr(), hidden.as_mut_ptr(), cell.as_mut_ptr());
    // SAFETY: the slices are borrowed, and hold so many numbers for each item.
    set.run(unsafe { Lstm::new(gates, hidden, cell, items, size) });
    Ok(())
}

/// Replaces the states of GRU cells whose reset gate follows the product, `size` numbers an item.
///
/// `sums` holds for each item those of the input to the update and reset gates and the candidate,
/// `products` those of the state.
///
/// # Errors
/// `Internal` if a length does not fit.
pub(crate) fn gru(set: KernelSet, sums: &[f32], products: &[f32], size: usize, hidden: &mut [f32]) -> Result<()> {
    let items = fits(hidden.len(), size, [(sums.len(), 3), (products.len(), 3)])?;
    let (sums, products, hidden) = (sums.as_ptr(), products.as_ptr(), hidden.as_mut_ptr());
    // SAFETY: the slices are borrowed, and hold so many numbers for each item.
    set.run(unsafe { Gru::new(sums, products, hidden, items, size) });
    Ok(())
}

/// The number of items, if each slice has as many times `size` numbers for each.
fn fits(numbers: usize, size: usize, others: [(usize, usize); 2]) -> Result<usize> {
    let items = numbers.checked_div(size).unwrap_or(0);
    let has = |own: usize, times: usize| items.checked_mul(size).and_then(|all| all.checked_mul(times)) == Some(own);
    if has(numbers, 1) && others.into_iter().all(|(own, times)| has(own, times)) {
        return Ok(items);
    }
    Err(Error::internal(format!("{numbers} numbers of states of {size} with {others:?}")))
}

struct Lstm {
    gates: *const f32,
    hidden: *mut f32,
    cell: *mut f32,
    items: usize,
    size: usize,
}

impl Lstm {
    /// # Safety
    /// For each item four times `size` numbers are readable at `gates`, and `size` writable at both states.
    #[inline(always)]
    unsafe fn new(gates: *const f32, hidden: *mut f32, cell: *mut f32, items: usize, size: usize) -> Self {
        Self { gates, hidden, cell, items, size }
    }
}

impl Kernel for Lstm {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let size = self.size;
        for item in 0..self.items {
            for at in (0..size).step_by(S::LANES) {
                let count = (size - at).min(S::LANES);
                // SAFETY: `new` requires these numbers of each item; `at + count <= size`.
                unsafe {
                    let (hidden, cell) = (self.hidden.add(item * size), self.cell.add(item * size));
                    let gate = |index: usize| load_some(s, self.gates.add((item * 4 + index) * size), at, count);
                    let (input, output, forget) = (math::sigmoid_below(s, gate(0)), gate(1), gate(2));
                    let (above, below) = math::tanh_parts(s, gate(3));
                    let kept = s.div(load_some(s, cell, at, count), math::sigmoid_below(s, forget));
                    let next = s.add(kept, s.div(above, s.mul(input, below)));
                    let (above, below) = math::tanh_parts(s, next);
                    let shown = s.div(above, s.mul(math::sigmoid_below(s, output), below));
                    store_some(s, cell, at, count, next);
                    store_some(s, hidden, at, count, shown);
                }
            }
        }
    }
}

struct Gru {
    sums: *const f32,
    products: *const f32,
    hidden: *mut f32,
    items: usize,
    size: usize,
}

impl Gru {
    /// # Safety
    /// For each item three times `size` numbers are readable at `sums` and `products`, and `size` writable at
    /// `hidden`.
    #[inline(always)]
    unsafe fn new(sums: *const f32, products: *const f32, hidden: *mut f32, items: usize, size: usize) -> Self {
        Self { sums, products, hidden, items, size }
    }
}

impl Kernel for Gru {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let size = self.size;
        for item in 0..self.items {
            for at in (0..size).step_by(S::LANES) {
                let count = (size - at).min(S::LANES);
                // SAFETY: `new` requires these numbers of each item; `at + count <= size`.
                unsafe {
                    let hidden = self.hidden.add(item * size);
                    let sum = |index: usize| load_some(s, self.sums.add((item * 3 + index) * size), at, count);
                    let product = |index: usize| load_some(s, self.products.add((item * 3 + index) * size), at, count);
                    let update = math::sigmoid_below(s, s.add(sum(0), product(0)));
                    let reset = math::sigmoid_below(s, s.add(sum(1), product(1)));
                    let (above, below) = math::tanh_parts(s, s.add(sum(2), s.div(product(2), reset)));
                    let candidate = s.div(above, below);
                    let rest = s.sub(load_some(s, hidden, at, count), candidate);
                    store_some(s, hidden, at, count, s.add(candidate, s.div(rest, update)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from -6 to 6, with extremes among them.
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        let extremes = [-1e30, 1e30, -90.0, 90.0, f32::INFINITY, f32::NEG_INFINITY, 0.0, 1e-20];
        let number = |at: usize| match (at * 7 + seed) % 29 {
            0 => extremes[(at / 29 + seed) % extremes.len()],
            _ => ((at * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 * 6.0 - 6.0,
        };
        (0..count).map(number).collect()
    }

    fn sigmoid(x: f32) -> f64 {
        1.0 / (1.0 + (-f64::from(x)).exp())
    }

    fn near(got: f32, want: f64) {
        assert!((f64::from(got) - want).abs() <= 2e-6 * want.abs().max(1.0), "{got} instead of {want}");
    }

    #[test]
    fn steps_are_those_of_the_definitions() {
        for set in KernelSet::available() {
            for size in [1, 3, 16, 17, 40] {
                let items = 3;
                let bounded = |seed: usize| -> Vec<f32> {
                    numbers(items * size, seed).iter().map(|x| x.clamp(-1.0, 1.0)).collect()
                };
                let (gates, mut hidden, mut cell) = (numbers(items * size * 4, 1), bounded(2), bounded(3));
                let before = cell.clone();
                lstm(set, &gates, size, &mut hidden, &mut cell).unwrap();
                for at in 0..items * size {
                    let gate = |index: usize| gates[(at / size * 4 + index) * size + at % size];
                    let candidate = f64::from(gate(3)).tanh();
                    let next = sigmoid(gate(2)) * f64::from(before[at]) + sigmoid(gate(0)) * candidate;
                    near(cell[at], next);
                    near(hidden[at], sigmoid(gate(1)) * next.tanh());
                }
                let (sums, products) = (numbers(items * size * 3, 4), numbers(items * size * 3, 0));
                // Sums of opposite infinities are no numbers.
                let products: Vec<f32> = products.iter().map(|x| x.clamp(-1e20, 1e20)).collect();
                let (mut hidden, before) = (bounded(6), bounded(6));
                gru(set, &sums, &products, size, &mut hidden).unwrap();
                for at in 0..items * size {
                    let of = |all: &[f32], index: usize| all[(at / size * 3 + index) * size + at % size];
                    let [update, reset] = [0, 1].map(|index| sigmoid(of(&sums, index) + of(&products, index)));
                    let candidate = (f64::from(of(&sums, 2)) + reset * f64::from(of(&products, 2))).tanh();
                    near(hidden[at], (1.0 - update) * candidate + update * f64::from(before[at]));
                }
            }
        }
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let set = KernelSet::PORTABLE;
        assert!(lstm(set, &[0.0; 7], 2, &mut [0.0; 2], &mut [0.0; 2]).is_err());
        assert!(lstm(set, &[0.0; 8], 2, &mut [0.0; 2], &mut [0.0; 1]).is_err());
        assert!(gru(set, &[0.0; 6], &[0.0; 5], 2, &mut [0.0; 2]).is_err());
        assert!(gru(set, &[], &[], 0, &mut [0.0; 2]).is_err());
        assert!(gru(set, &[], &[], 2, &mut []).is_ok());
    }
}
