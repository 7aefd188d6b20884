//! Discrete Fourier transforms of any length, in double precision.

use std::f64::consts::TAU;

/// A complex number.
pub(crate) type Complex = [f64; 2];

fn times(a: Complex, b: Complex) -> Complex {
    [a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]]
}

/// The point at `numerator / denominator` of the unit circle.
fn unit(numerator: usize, denominator: usize) -> Complex {
    let (sin, cos) = (TAU * numerator as f64 / denominator as f64).sin_cos();
    [cos, sin]
}

/// A transform of one length, made once for many lists.
pub(crate) struct Fourier {
    count: usize,
    /// For a length that is no power of two: the factors of the elements, and the transformed
    /// factors of the convolution that takes the transform's place.
    chirp: Option<(Vec<Complex>, Vec<Complex>)>,
}

impl Fourier {
    /// The transform of lists of that many numbers.
    pub(crate) fn new(count: usize) -> Self {
        if count < 2 || count.is_power_of_two() {
            return Self { count, chirp: None };
        }
        // With the exponent `k * n = (k² + n² - (k - n)²) / 2` a transform is a convolution.
        let factor = |at: usize| {
            let square = (at as u128 * at as u128 % (2 * count as u128)) as usize;
            let [cos, sin] = unit(square, 2 * count);
            [cos, -sin]
        };
        let factors: Vec<Complex> = (0..count).map(factor).collect();
        let mut filter = vec![[0.0; 2]; (2 * count - 1).next_power_of_two()];
        for (at, &[cos, sin]) in factors.iter().enumerate() {
            filter[at] = [cos, -sin];
            if at > 0 {
                let end = filter.len();
                filter[end - at] = [cos, -sin];
            }
        }
        powers_of_two(&mut filter);
        Self { count, chirp: Some((factors, filter)) }
    }

    /// Replaces each number by the sum of all, turned once more for each position.
    ///
    /// # Panics
    /// If the list is of another length.
    pub(crate) fn transform(&self, list: &mut [Complex]) {
        assert_eq!(list.len(), self.count, "a list of another length");
        let Some((factors, filter)) = &self.chirp else { return powers_of_two(list) };
        let mut padded = vec![[0.0; 2]; filter.len()];
        for ((to, &from), &factor) in padded.iter_mut().zip(&*list).zip(factors) {
            *to = times(from, factor);
        }
        powers_of_two(&mut padded);
        for (to, &factor) in padded.iter_mut().zip(filter) {
            *to = times(*to, factor);
        }
        powers_of_two(&mut padded);
        // A transform twice is the list backwards, times its length.
        let scale = padded.len() as f64;
        for (at, (to, &factor)) in list.iter_mut().zip(factors).enumerate() {
            let place = if at == 0 { 0 } else { padded.len() - at };
            *to = times(padded[place].map(|x| x / scale), factor);
        }
    }

    /// The inverse of [`transform`](Self::transform).
    pub(crate) fn inverse(&self, list: &mut [Complex]) {
        list.iter_mut().for_each(|number| number[1] = -number[1]);
        self.transform(list);
        let scale = list.len() as f64;
        list.iter_mut().for_each(|number| *number = [number[0] / scale, -number[1] / scale]);
    }
}

/// The transform of a list whose length is a power of two, or 0.
fn powers_of_two(list: &mut [Complex]) {
    let count = list.len();
    if count < 2 {
        return;
    }
    let bits = count.trailing_zeros();
    for at in 0..count {
        let other = at.reverse_bits() >> (usize::BITS - bits);
        if at < other {
            list.swap(at, other);
        }
    }
    let turns: Vec<Complex> = (0..count / 2).map(|at| unit(at, count)).collect();
    let mut half = 1;
    while half < count {
        for block in list.chunks_exact_mut(2 * half) {
            let (first, second) = block.split_at_mut(half);
            for (at, (a, b)) in first.iter_mut().zip(second).enumerate() {
                let [cos, sin] = turns[at * (count / (2 * half))];
                let turned = times(*b, [cos, -sin]);
                (*a, *b) = ([a[0] + turned[0], a[1] + turned[1]], [a[0] - turned[0], a[1] - turned[1]]);
            }
        }
        half *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transforms_of_every_length_are_the_sums_that_define_them() {
        for count in (0..40).chain([64, 97, 100, 128, 255]) {
            let list: Vec<Complex> = (0..count).map(|at| [(at as f64 * 1.7).sin(), (at as f64 * 0.3).cos()]).collect();
            let mut got = list.clone();
            let fourier = Fourier::new(count);
            fourier.transform(&mut got);
            for (at, got) in got.iter().enumerate() {
                let term = |(position, &number): (usize, &Complex)| {
                    let [cos, sin] = unit(at * position % count, count);
                    times(number, [cos, -sin])
                };
                let want = list.iter().enumerate().map(term).fold([0.0; 2], |sum, x| [sum[0] + x[0], sum[1] + x[1]]);
                let near = |axis: usize| (got[axis] - want[axis]).abs() < 1e-9;
                assert!(near(0) && near(1), "{count} numbers, {at}: {got:?} instead of {want:?}");
            }
            fourier.inverse(&mut got);
            let near = |(a, b): (&Complex, &Complex)| (a[0] - b[0]).abs() < 1e-12 && (a[1] - b[1]).abs() < 1e-12;
            assert!(got.iter().zip(&list).all(near), "{count} numbers there and back");
        }
    }
}
