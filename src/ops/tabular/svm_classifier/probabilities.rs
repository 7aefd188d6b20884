//! Probabilities of classes from those of pairs.
//!
//! T.-F. Wu, C.-J. Lin, R. C. Weng, "Probability estimates for multi-class classification by
//! pairwise coupling" (2004), the second method, as in LIBSVM.

use crate::ops::tabular::post_transform::logistic;

/// The most rounds.
const ROUNDS: usize = 100;
/// No pair is surer than this.
const LEAST: f64 = 1e-7;

/// The probabilities of `classes` from the sums of all pairs and their coefficients.
pub(super) fn of(sums: &[f64], coefficients: &[(f32, f32)], classes: usize) -> Vec<f64> {
    let mut pairs = vec![0.0; classes * classes];
    let mut index = 0;
    for first in 0..classes {
        for second in first + 1..classes {
            let (a, b) = coefficients[index];
            let likely = logistic(-(sums[index] * f64::from(a) + f64::from(b))).clamp(LEAST, 1.0 - LEAST);
            pairs[first * classes + second] = likely;
            pairs[second * classes + first] = 1.0 - likely;
            index += 1;
        }
    }
    couple(&pairs, classes)
}

/// The probabilities of classes; element `i, j` of `pairs` is that of `i` against `j`.
fn couple(pairs: &[f64], classes: usize) -> Vec<f64> {
    let pair = |i: usize, j: usize| pairs[i * classes + j];
    let mut q = vec![0.0; classes * classes];
    for i in 0..classes {
        for j in (0..classes).filter(|&j| j != i) {
            q[i * classes + i] += pair(j, i) * pair(j, i);
            q[i * classes + j] = -pair(j, i) * pair(i, j);
        }
    }
    let mut p = vec![1.0 / classes as f64; classes];
    let bound = 0.005 / classes as f64;
    for _ in 0..ROUNDS {
        let row =
            |p: &[f64], i: usize| q[i * classes..(i + 1) * classes].iter().zip(p).map(|(q, p)| q * p).sum::<f64>();
        let mut products: Vec<f64> = (0..classes).map(|i| row(&p, i)).collect();
        let mut whole: f64 = products.iter().zip(&p).map(|(product, p)| product * p).sum();
        if products.iter().all(|product| (product - whole).abs() < bound) {
            break;
        }
        for i in 0..classes {
            let own = q[i * classes + i];
            let change = (whole - products[i]) / own;
            p[i] += change;
            whole = (whole + change * (change * own + 2.0 * products[i])) / (1.0 + change).powi(2);
            for j in 0..classes {
                products[j] = (products[j] + change * q[i * classes + j]) / (1.0 + change);
                p[j] /= 1.0 + change;
            }
        }
    }
    p
}
