//! The sigmoid and the hyperbolic tangent as quotients of polynomials.
//!
//! They are those that ONNX Runtime computes, after Eigen. Where their results become bytes, others
//! would round to the next byte now and then, so that a graph of bytes would have other results.

use crate::kernels::{
    KernelSet,
    simd::{Kernel, Simd},
};

/// A quotient of polynomials in the square of a number, times the number, plus a constant.
struct Rational {
    /// Numbers beyond it are as far out as it.
    bound: f32,
    /// From the highest power on.
    numerator: &'static [f32],
    denominator: &'static [f32],
    plus: f32,
    least: f32,
}

#[allow(clippy::excessive_precision, reason = "the factors as they are published")]
static SIGMOID: Rational = Rational {
    bound: 18.0,
    numerator: &[
        4.37031012579801e-11,
        1.15627324459942e-07,
        6.08574864600143e-05,
        8.51377133304701e-03,
        2.48287947061529e-01,
    ],
    denominator: &[
        6.10247389755681e-13,
        5.76102136993427e-09,
        6.29106785017040e-06,
        1.70198817374094e-03,
        1.16817656904453e-01,
        9.93151921023180e-01,
    ],
    plus: 0.5,
    least: 0.0,
};

#[allow(clippy::excessive_precision, reason = "the factors as they are published")]
static TANH: Rational = Rational {
    bound: 9.0,
    numerator: &[
        -2.76076847742355e-16,
        2.00018790482477e-13,
        -8.60467152213735e-11,
        5.12229709037114e-08,
        1.48572235717979e-05,
        6.37261928875436e-04,
        4.89352455891786e-03,
    ],
    denominator: &[1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03],
    plus: 0.0,
    least: -1.0,
};

/// Applies the sigmoid to every number.
pub(crate) fn sigmoid(set: KernelSet, data: &mut [f32]) {
    set.run(Each { function: &SIGMOID, data });
}

/// Applies the hyperbolic tangent to every number.
pub(crate) fn tanh(set: KernelSet, data: &mut [f32]) {
    set.run(Each { function: &TANH, data });
}

struct Each<'a> {
    function: &'static Rational,
    data: &'a mut [f32],
}

impl Kernel for Each<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Rational { bound, numerator, denominator, plus, least } = *self.function;
        for part in self.data.chunks_mut(64) {
            let (mut above, mut below, mut squares) = ([0f32; 64], [0f32; 64], [0f32; 64]);
            for (x, square) in part.iter_mut().zip(&mut squares) {
                // Comparisons keep a NaN.
                *x = if *x < -bound { -bound } else { *x };
                *x = if *x > bound { bound } else { *x };
                *square = *x * *x;
            }
            for (sums, factors) in [(&mut above, numerator), (&mut below, denominator)] {
                sums.fill(factors[0]);
                for factor in &factors[1..] {
                    for (sum, square) in sums.iter_mut().zip(&squares) {
                        *sum = sum.mul_add(*square, *factor);
                    }
                }
            }
            for (x, (above, below)) in part.iter_mut().zip(above.iter().zip(&below)) {
                let y = *above * *x / *below + plus;
                *x = if y < least { least } else { y };
            }
        }
    }
}
