//! The kernel functions of support vector machines.

use crate::{
    error::{Error, Result},
    op::OnnxNode,
    ops::tabular::linear_regressor::dot,
};

/// What is computed of a row and a support vector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SvmKernel {
    /// `x . v`
    Linear,
    /// `(gamma x . v + coef0) ^ degree`
    Poly {
        /// Factor.
        gamma: f32,
        /// Summand.
        coef0: f32,
        /// Exponent.
        degree: f32,
    },
    /// `e ^ (-gamma |x - v|^2)`
    Rbf {
        /// Factor.
        gamma: f32,
    },
    /// `tanh(gamma x . v + coef0)`
    Sigmoid {
        /// Factor.
        gamma: f32,
        /// Summand.
        coef0: f32,
    },
}

impl SvmKernel {
    /// Reads the attributes `kernel_type` and `kernel_params`.
    pub(super) fn decode(node: &mut OnnxNode<'_>) -> Result<Self> {
        let parameters = node.floats("kernel_params")?.unwrap_or_default();
        let [gamma, coef0, degree] = match *parameters {
            [] => [0.0; 3],
            [gamma, coef0, degree] => [gamma, coef0, degree],
            _ => return Err(Error::invalid_model(format!("{} kernel parameters, expected 3", parameters.len()))),
        };
        match node.string("kernel_type")?.as_deref() {
            None | Some("LINEAR") => Ok(Self::Linear),
            Some("POLY") => Ok(Self::Poly { gamma, coef0, degree }),
            Some("RBF") => Ok(Self::Rbf { gamma }),
            Some("SIGMOID") => Ok(Self::Sigmoid { gamma, coef0 }),
            Some(other) => Err(Error::invalid_model(format!("the kernel type `{other}`"))),
        }
    }

    /// The function of a row and a support vector.
    pub(super) fn of(self, row: &[f32], vector: &[f32]) -> f64 {
        match self {
            Self::Linear => dot(row, vector),
            Self::Poly { gamma, coef0, degree } => {
                (f64::from(gamma) * dot(row, vector) + f64::from(coef0)).powf(f64::from(degree))
            }
            Self::Rbf { gamma } => {
                let square = |(&x, &v): (&f32, &f32)| (f64::from(x) - f64::from(v)).powi(2);
                (-f64::from(gamma) * row.iter().zip(vector).map(square).sum::<f64>()).exp()
            }
            Self::Sigmoid { gamma, coef0 } => (f64::from(gamma) * dot(row, vector) + f64::from(coef0)).tanh(),
        }
    }
}

/// The number of features of `count` support vectors.
pub(super) fn columns(vectors: &[f32], count: usize) -> Result<usize> {
    match vectors.len().checked_rem(count) {
        Some(0) if !vectors.is_empty() => Ok(vectors.len() / count),
        _ => Err(Error::invalid_model(format!("{} numbers of {count} support vectors", vectors.len()))),
    }
}

/// A list of sizes as numbers.
pub(super) fn sizes(list: &[i64]) -> Result<Vec<usize>> {
    let size = |&size: &i64| usize::try_from(size).map_err(|_| Error::invalid_model(format!("{size} support vectors")));
    list.iter().map(size).collect()
}
