//! Numbers to test with, and comparisons.

use gristmill::KernelSet;

/// Lengths around the widths of vectors and tiles.
pub const RAGGED: [usize; 9] = [1, 15, 16, 17, 31, 33, 63, 65, 257];

/// Runs `test` with every kernel set of this machine; there is always one.
pub fn each_set(test: impl Fn(KernelSet)) {
    let sets = KernelSet::available();
    assert!(sets.contains(&KernelSet::PORTABLE));
    assert_eq!(sets[0], KernelSet::detect());
    sets.into_iter().for_each(test);
}

/// `len` numbers in -1..1, the same for the same seed.
pub fn numbers(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) ^ 0x5bd1_e995;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// Fails unless each number is within `tolerance` of what it should be, and NaN or infinite exactly where it should.
#[track_caller]
pub fn assert_close(found: &[f32], wanted: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (i, (&found, &wanted)) in found.iter().zip(wanted).enumerate() {
        let same = (found.is_nan() && wanted.is_nan())
            || f64::from(found) == wanted
            || (f64::from(found) - wanted).abs() <= tolerance;
        assert!(same, "{what}: element {i} is {found}, not {wanted}");
    }
}

/// Fails unless the bits are equal.
#[track_caller]
pub fn assert_bits(found: &[f32], wanted: &[f32], what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (i, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        assert_eq!(found.to_bits(), wanted.to_bits(), "{what}: element {i}: {found} and {wanted}");
    }
}

/// A `rows x columns` matrix by columns.
pub fn transpose(x: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..rows * columns).map(|i| x[i % rows * columns + i / rows]).collect()
}
