//! The cosine of the angle between two vectors: how alike two outputs are.

/// Computes the cosine of the angle between two vectors; never NaN.
///
/// Pairs of equal infinities and pairs of NaNs are left out of the sums. Where all remaining numbers are zero the cosine
/// is 1 if they are zero in both vectors, and 0 if in one. It is -1 where the vectors cannot be compared: their lengths
/// differ, a number is infinite or NaN in one of them only, or a sum of squares overflows.
pub(crate) fn cosine(a: impl ExactSizeIterator<Item = f64>, b: impl ExactSizeIterator<Item = f64>) -> f64 {
    if a.len() != b.len() {
        return -1.0;
    }
    let (mut product, mut left, mut right) = (0.0, 0.0, 0.0);
    for (a, b) in a.zip(b) {
        if a.is_finite() && b.is_finite() {
            product += a * b;
            left += a * a;
            right += b * b;
        } else if a != b && !(a.is_nan() && b.is_nan()) {
            return -1.0;
        }
    }
    match (left > 0.0, right > 0.0) {
        (true, true) if left.is_finite() && right.is_finite() => product / (left.sqrt() * right.sqrt()),
        (true, true) => -1.0,
        (false, false) => 1.0,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(a: &[f64], b: &[f64]) -> f64 {
        cosine(a.iter().copied(), b.iter().copied())
    }

    #[test]
    fn angles_are_measured() {
        assert!((of(&[1.0, 1.0], &[1.0, 0.0]) - 0.5f64.sqrt()).abs() < 1e-12);
        assert_eq!(of(&[2.0, 0.0], &[-1.0, 0.0]), -1.0);
        // Products of squares would overflow; the roots do not.
        assert!((of(&[1e100], &[1e100]) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn zeros_have_a_cosine() {
        assert_eq!(of(&[0.0, 0.0], &[0.0, 0.0]), 1.0);
        assert_eq!(of(&[0.0, 0.0], &[0.0, 1.0]), 0.0);
        assert_eq!(of(&[], &[]), 1.0);
    }

    #[test]
    fn numbers_that_are_not_finite_must_agree() {
        let (nan, infinity) = (f64::NAN, f64::INFINITY);
        assert_eq!(of(&[nan, 1.0], &[nan, 1.0]), 1.0);
        assert_eq!(of(&[infinity, 1.0], &[infinity, 1.0]), 1.0);
        assert_eq!(of(&[nan, 1.0], &[1.0, 1.0]), -1.0);
        assert_eq!(of(&[infinity], &[-infinity]), -1.0);
    }

    #[test]
    fn what_cannot_be_compared_is_opposite() {
        assert_eq!(of(&[1.0], &[1.0, 1.0]), -1.0);
        assert_eq!(of(&[1e200], &[1e200]), -1.0);
    }
}
