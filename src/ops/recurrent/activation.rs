//! The functions of gates.

use crate::kernels::{Activation, KernelSet, simd};

/// A function of a gate's sums; ONNX's names.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names and formulas are ONNX's")]
pub enum StepFunction {
    /// `alpha x + beta`
    Affine { alpha: f32, beta: f32 },
    /// `x < 0 ? alpha (e^x - 1) : x`
    Elu { alpha: f32 },
    /// `min(max(alpha x + beta, 0), 1)`
    HardSigmoid { alpha: f32, beta: f32 },
    /// `x < 0 ? alpha x : x`
    LeakyRelu { alpha: f32 },
    /// `max(x, 0)`
    Relu,
    /// `alpha tanh(beta x)`
    ScaledTanh { alpha: f32, beta: f32 },
    /// `1 / (1 + e^-x)`
    Sigmoid,
    /// `ln(1 + e^x)`
    Softplus,
    /// `x / (1 + |x|)`
    Softsign,
    /// Hyperbolic tangent
    Tanh,
    /// `x >= alpha ? x : 0`
    ThresholdedRelu { alpha: f32 },
}

impl StepFunction {
    /// Applies the function to every number.
    pub(super) fn apply(self, set: KernelSet, data: &mut [f32]) {
        let each = |data: &mut [f32], f: &dyn Fn(f32) -> f32| data.iter_mut().for_each(|x| *x = f(*x));
        match self {
            Self::Affine { alpha, beta } => each(data, &|x| alpha * x + beta),
            Self::Elu { alpha } => each(data, &|x| if x < 0.0 { alpha * x.exp_m1() } else { x }),
            Self::HardSigmoid { alpha, beta } => simd::map_in_place(set, Activation::HardSigmoid { alpha, beta }, data),
            Self::LeakyRelu { alpha } => simd::map_in_place(set, Activation::LeakyRelu { slope: alpha }, data),
            Self::Relu => simd::map_in_place(set, Activation::Relu, data),
            Self::ScaledTanh { alpha, beta } => {
                each(data, &|x| beta * x);
                simd::map_in_place(set, Activation::Tanh, data);
                each(data, &|x| alpha * x);
            }
            Self::Sigmoid => simd::map_in_place(set, Activation::Sigmoid, data),
            Self::Softplus => each(data, &|x| x.max(0.0) + (-x.abs()).exp().ln_1p()),
            Self::Softsign => each(data, &|x| x / (1.0 + x.abs())),
            Self::Tanh => simd::map_in_place(set, Activation::Tanh, data),
            Self::ThresholdedRelu { alpha } => each(data, &|x| if x >= alpha { x } else { 0.0 }),
        }
    }
}
