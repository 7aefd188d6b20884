//! `Unary` and its functions, made from the table.

use crate::{
    error::{Error, Result},
    kernels::{
        Activation,
        map::map,
        number::{Number, erf},
    },
    ops::pointwise::unary::table::unary_functions,
    tensor::DType,
};

/// One function applied to every element.
///
/// Operands: the tensor; for [`UnaryFunction::Clip`] also the least and the greatest result,
/// scalars, where they are not attributes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unary {
    /// The function to apply.
    pub function: UnaryFunction,
}

macro_rules! functions {
    (
        formulas { $(
            $(#[$doc:meta])*
            $name:ident $({ $($(#[$field_doc:meta])* $field:ident: $attribute:literal = $default:expr),* })?
            $onnx:ident, |$x:ident| $formula:expr;
        )* }
        others { $(
            $(#[$other_doc:meta])*
            $other:ident $({ $($(#[$other_field_doc:meta])* $other_field:ident: $other_type:ty = $other_default:expr),* })?
            $other_onnx:ident;
        )* }
    ) => {
        /// The functions of one element.
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum UnaryFunction {
            $($(#[$doc])* $name $({ $($(#[$field_doc])* $field: f32),* })?,)*
            $($(#[$other_doc])* $other $({ $($(#[$other_field_doc])* $other_field: $other_type),* })?,)*
        }

        impl UnaryFunction {
            /// ONNX's name, or ours.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name { .. } => stringify!($name),)*
                    $(Self::$other { .. } => stringify!($other),)*
                }
            }
        }

        /// The function of a number in double precision, if it has a formula.
        fn formula(function: UnaryFunction, x: f64) -> Option<f64> {
            match function {
                $(UnaryFunction::$name $({ $($field),* })? => {
                    $($(let $field = f64::from($field);)*)?
                    let $x = x;
                    Some($formula)
                })*
                _ => None,
            }
        }
    };
}

unary_functions!(functions);

/// Applies a function that has a formula.
pub(super) fn apply<T: Number>(function: UnaryFunction, input: &[T], output: &mut [T]) -> Result<()> {
    if formula(function, 0.0).is_none() {
        return Err(Error::internal(format!("{} has no formula", function.name())));
    }
    map(input, output, &|x: T| T::narrow(formula(function, x.wide()).unwrap_or(f64::NAN)))
}

fn softplus(x: f64) -> f64 {
    x.larger(0.0) + (-x.abs()).exp().ln_1p()
}

impl UnaryFunction {
    /// The function that kernels have vector instructions for, if any.
    pub fn activation(self) -> Option<Activation> {
        Some(match self {
            Self::Abs => Activation::Abs,
            Self::Clip { low, high } => Activation::Clip { low, high },
            Self::Erf => Activation::Erf,
            Self::Exp => Activation::Exp,
            Self::Gelu => Activation::Gelu,
            Self::GeluTanh => Activation::GeluTanh,
            Self::HardSigmoid { alpha, beta } => Activation::HardSigmoid { alpha, beta },
            Self::HardSwish => Activation::HardSwish,
            Self::LeakyRelu { alpha } => Activation::LeakyRelu { slope: alpha },
            Self::Neg => Activation::Neg,
            Self::Reciprocal => Activation::Reciprocal,
            Self::Relu => Activation::Relu,
            Self::Requantized { scale, zero, least, most } => Activation::Requantized { scale, zero, least, most },
            Self::Sigmoid => Activation::Sigmoid,
            Self::Silu => Activation::Silu,
            Self::Sqrt => Activation::Sqrt,
            Self::Tanh => Activation::Tanh,
            _ => return None,
        })
    }

    /// Whether it maps `f32` to `f32`.
    pub(crate) fn keeps_floats(self) -> bool {
        self.result(DType::F32) == Some(DType::F32)
    }

    /// The result's type, if the function takes elements of type `dtype`.
    pub(crate) fn result(self, dtype: DType) -> Option<DType> {
        let (float, integer) = (dtype.is_float(), dtype.is_integer());
        match self {
            Self::IsNaN | Self::IsInf { .. } => float.then_some(DType::Bool),
            Self::Not => (dtype == DType::Bool).then_some(dtype),
            Self::BitwiseNot => integer.then_some(dtype),
            Self::Abs | Self::Clip { .. } | Self::Neg | Self::Relu | Self::Sign => (float || integer).then_some(dtype),
            _ => float.then_some(dtype),
        }
    }
}
