//! What models do to their scores at the end.

use crate::{
    error::{Error, Result},
    op::OnnxNode,
};

/// A function of a row of scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PostTransform {
    /// The scores themselves.
    #[default]
    None,
    /// `1 / (1 + e^-x)` of each.
    Logistic,
    /// Softmax.
    Softmax,
    /// Softmax of the scores that are not 0, which stay 0.
    SoftmaxZero,
    /// The inverse of the normal distribution function.
    Probit,
}

impl PostTransform {
    /// Reads the attribute `post_transform`.
    pub(super) fn decode(node: &mut OnnxNode<'_>) -> Result<Self> {
        match node.string("post_transform")?.as_deref() {
            None | Some("NONE") => Ok(Self::None),
            Some("LOGISTIC") => Ok(Self::Logistic),
            Some("SOFTMAX") => Ok(Self::Softmax),
            Some("SOFTMAX_ZERO") => Ok(Self::SoftmaxZero),
            Some("PROBIT") => Ok(Self::Probit),
            Some(other) => Err(Error::invalid_model(format!("the post transform `{other}`"))),
        }
    }

    /// Transforms a row of scores.
    pub(super) fn apply(self, scores: &mut [f64]) {
        match self {
            Self::None => {}
            Self::Logistic => scores.iter_mut().for_each(|score| *score = logistic(*score)),
            Self::Softmax => softmax(scores, |_| true),
            // The bound is that of ONNX Runtime.
            Self::SoftmaxZero => softmax(scores, |score| score.abs() > 1e-7),
            Self::Probit => scores.iter_mut().for_each(|score| *score = probit(*score)),
        }
    }
}

/// `1 / (1 + e^-x)`.
pub(super) fn logistic(score: f64) -> f64 {
    1.0 / (1.0 + (-score).exp())
}

fn softmax(scores: &mut [f64], counts: impl Fn(f64) -> bool) {
    let largest = scores.iter().fold(f64::NEG_INFINITY, |largest, &score| largest.max(score));
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = if counts(*score) { (*score - largest).exp() } else { 0.0 };
        sum += *score;
    }
    // No score counts only where all are 0.
    if sum > 0.0 || sum.is_nan() {
        scores.iter_mut().for_each(|score| *score /= sum);
    }
}

/// The inverse of the normal distribution function, by the approximation that ONNX Runtime uses:
/// S. Winitzki, "A handy approximation for the error function and its inverse" (2008).
fn probit(score: f64) -> f64 {
    const A: f64 = 0.147;
    let x = 2.0 * score - 1.0;
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let half = 2.0 / (std::f64::consts::PI * A) + 0.5 * log;
    let inverse = ((half * half - log / A).sqrt() - half).sqrt();
    std::f64::consts::SQRT_2 * inverse.copysign(x)
}
