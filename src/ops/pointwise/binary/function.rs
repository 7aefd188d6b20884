//! `Binary` and its functions, made from the table.

use crate::{
    error::{Error, Result},
    kernels::number::{Integer, Number},
    ops::pointwise::binary::table::binary_functions,
    tensor::DType,
};

/// One function applied to the elements of two operands at each position.
///
/// Operands broadcast as NumPy's do. A [variadic](BinaryFunction::is_variadic) function takes any
/// number of operands but none, and combines them from the left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Binary {
    /// The function to apply.
    pub function: BinaryFunction,
}

/// How many operands a function takes.
#[derive(PartialEq)]
enum Arity {
    Two,
    Any,
}

macro_rules! functions {
    ($($class:ident $formula_of:ident($number:ident: $bound:ident) -> $result:ty { $(
        $(#[$doc:meta])*
        $name:ident $({ $($(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr),* })?
        $arity:ident $onnx:ident $accuracy:ident, $formula:expr;
    )* })*) => {
        /// The functions of two elements. Integers wrap where they overflow.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum BinaryFunction {
            $($($(#[$doc])* $name $({ $($(#[$field_doc])* $field: $type),* })?,)*)*
        }

        /// The class of a function: what it takes and gives.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Class {
            $($class,)*
        }

        impl BinaryFunction {
            /// ONNX's name.
            pub fn name(self) -> &'static str {
                match self {
                    $($(Self::$name { .. } => stringify!($name),)*)*
                }
            }

            pub(super) fn class(self) -> Class {
                match self {
                    $($(Self::$name { .. } => Class::$class,)*)*
                }
            }

            fn arity(self) -> Arity {
                match self {
                    $($(Self::$name { .. } => Arity::$arity,)*)*
                }
            }
        }

        $(
            /// The formula of a function of this class; that of a mean gives the sum alone.
            pub(super) fn $formula_of<$number: $bound>(
                function: BinaryFunction,
            ) -> Result<&'static dyn Fn($number, $number) -> $result> {
                Ok(match function {
                    $(BinaryFunction::$name $({ $($field),* })? => $formula,)*
                    other => return Err(Error::internal(format!("{} is not of {:?}", other.name(), Class::$class))),
                })
            }
        )*
    };
}

binary_functions!(functions);

impl BinaryFunction {
    /// Whether it takes any number of operands but none.
    pub fn is_variadic(self) -> bool {
        self.arity() == Arity::Any
    }

    /// Whether it compares elements and gives booleans.
    pub fn is_comparison(self) -> bool {
        self.class() == Class::Comparisons
    }

    /// Whether it maps `f32` to `f32`.
    pub(crate) fn keeps_floats(self) -> bool {
        self.takes(DType::F32) && !self.is_comparison()
    }

    /// Whether it takes operands of type `dtype`.
    pub(super) fn takes(self, dtype: DType) -> bool {
        match self.class() {
            _ if self == Self::Equal => true,
            Class::Numbers | Class::Comparisons => dtype.is_number(),
            Class::Bits => dtype.is_integer(),
            Class::Booleans => dtype == DType::Bool,
        }
    }
}
