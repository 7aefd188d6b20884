//! Mean and variance of a slice.

/// Independent accumulators.
const LANES: usize = 8;

/// The sum of `f` of each element, in double precision.
///
/// The order of summation depends on the length alone.
pub(crate) fn sum(data: &[f32], f: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0f64; LANES];
    let mut chunks = data.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += f(f64::from(x));
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane += f(f64::from(x));
    }
    lanes.iter().sum()
}

/// The mean and the variance over `n`.
pub(crate) fn mean_and_variance(data: &[f32]) -> (f64, f64) {
    let count = data.len() as f64;
    let mean = sum(data, |x| x) / count;
    (mean, sum(data, |x| (x - mean) * (x - mean)) / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_a_few_numbers() {
        let data: Vec<f32> = (1..=11).map(|i| i as f32).collect();
        assert_eq!(mean_and_variance(&data), (6.0, 10.0));
    }
}
