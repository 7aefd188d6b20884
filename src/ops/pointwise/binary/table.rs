//! The table of functions of two elements: a further one is one row here.

/// Hands the table to the macro `$read`.
///
/// A block holds the functions of one class: the class, the name of the function that looks its
/// formulas up, the elements that they take, and what they give.
///
/// A row holds the documentation, the name, the attributes with the values of the test cases, how
/// many operands it takes (`Two`, or `Any` number but none), the decoding (`plain`, or the name of
/// a decoder), the accuracy, and the formula.
macro_rules! binary_functions {
    ($read:ident) => {
        $read! {
            Numbers arithmetic(T: Number) -> T {
                /// `a + b`
                Add Two plain Exact, &T::plus;
                /// `a / b`; of integers rounded towards zero, and an error where `b` is 0
                Div Two plain Exact, &T::over;
                /// The larger, or NaN where either is; variadic
                Max Any plain Pointwise, &T::larger;
                /// The sum divided by the number of operands; variadic
                Mean Any plain Pointwise, &T::plus;
                /// The smaller, or NaN where either is; variadic
                Min Any plain Pointwise, &T::smaller;
                /// The remainder of `a / b`; an error where `b` is an integer 0
                Mod {
                    /// Whether the quotient is rounded towards zero, so that the remainder has the
                    /// sign of `a`; otherwise it is rounded down and the remainder has the sign of
                    /// `b`.
                    truncated: bool = false
                } Two decode_mod Exact, if truncated { &T::remainder } else { &T::modulo };
                /// `a * b`
                Mul Two plain Exact, &T::times;
                /// `x < 0 ? slope x : x`, of `x` and `slope`
                PRelu Two plain Exact, &|x: T, slope| if x < T::ZERO { x.times(slope) } else { x };
                /// `a` to the power of `b`, which may be of another type
                Pow Two plain Pointwise, &T::power;
                /// `a - b`
                Sub Two plain Exact, &T::minus;
                /// The sum of all operands; variadic
                Sum Any plain Pointwise, &T::plus;
            }
            Bits bitwise(T: Integer) -> T {
                /// The bits of an integer shifted by `b` places; to the right, the sign moves in
                BitShift {
                    /// Whether to the higher places, otherwise to the lower ones.
                    left: bool = true
                } Two decode_shift Exact,
                    if left { &|a: T, b| a.shifted(b, true) } else { &|a: T, b| a.shifted(b, false) };
                /// Bits set in both integers
                BitwiseAnd Two plain Exact, &T::and;
                /// Bits set in either integer
                BitwiseOr Two plain Exact, &T::or;
                /// Bits set in exactly one of the integers
                BitwiseXor Two plain Exact, &T::xor;
            }
            Comparisons comparison(T: Number) -> u8 {
                /// `a == b`, of any type
                Equal Two plain Exact, &|a, b| u8::from(a == b);
                /// `a > b`
                Greater Two plain Exact, &|a, b| u8::from(a > b);
                /// `a >= b`
                GreaterOrEqual Two plain Exact, &|a, b| u8::from(a >= b);
                /// `a < b`
                Less Two plain Exact, &|a, b| u8::from(a < b);
                /// `a <= b`
                LessOrEqual Two plain Exact, &|a, b| u8::from(a <= b);
            }
            Booleans logical(T: Integer) -> T {
                /// `a && b`
                And Two plain Exact, &T::and;
                /// `a || b`
                Or Two plain Exact, &T::or;
                /// `a != b`
                Xor Two plain Exact, &T::xor;
            }
        }
    };
}

pub(crate) use binary_functions;
