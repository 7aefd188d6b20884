//! Products of small integers with exact sums.

use crate::kernels::{
    KernelSet,
    simd::{Kernel, Simd},
};

/// Columns whose sums are kept at once.
const COLUMNS: usize = 64;
/// Rows whose sums are kept at once.
const ROWS: usize = 4;

/// Writes the product of `m x k` and `k x n` matrices, row-major; sums wrap.
///
/// # Panics
/// If a slice is shorter than its matrix.
pub(crate) fn product(set: KernelSet, a: &[i16], b: &[i16], [m, k, n]: [usize; 3], c: &mut [i32]) {
    set.run(Product { a, b, m, k, n, c });
}

struct Product<'a> {
    a: &'a [i16],
    b: &'a [i16],
    m: usize,
    k: usize,
    n: usize,
    c: &'a mut [i32],
}

impl Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { a, b, m, k, n, c } = self;
        for column in (0..n).step_by(COLUMNS) {
            let columns = (n - column).min(COLUMNS);
            for row in (0..m).step_by(ROWS) {
                let rows = (m - row).min(ROWS);
                let mut sums = [[0i32; COLUMNS]; ROWS];
                for at in 0..k {
                    let b = &b[at * n + column..][..columns];
                    for (own, sums) in sums[..rows].iter_mut().enumerate() {
                        let a = i32::from(a[(row + own) * k + at]);
                        for (sum, &b) in sums.iter_mut().zip(b) {
                            *sum = sum.wrapping_add(a * i32::from(b));
                        }
                    }
                }
                for (own, sums) in sums[..rows].iter().enumerate() {
                    c[(row + own) * n + column..][..columns].copy_from_slice(&sums[..columns]);
                }
            }
        }
    }
}
