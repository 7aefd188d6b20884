//! Functions that reductions combine elements with.

use crate::kernels::number::Number;

/// A function that reduces elements to one.
pub(crate) trait Fold<T>: Copy {
    /// Applied to each element first.
    fn enter(self, x: T) -> T;
    /// Combines two results.
    fn combine(self, a: T, b: T) -> T;
    /// The identity of [`combine`](Self::combine), and the result of no elements.
    fn start(self) -> T;
}

macro_rules! folds {
    ($($(#[$doc:meta])* $name:ident: $start:expr, |$x:ident| $enter:expr, |$a:ident, $b:ident| $combine:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(crate) struct $name;
        impl<T: Number> Fold<T> for $name {
            #[inline(always)]
            fn enter(self, $x: T) -> T { $enter }
            #[inline(always)]
            fn combine(self, $a: T, $b: T) -> T { $combine }
            #[inline(always)]
            fn start(self) -> T { $start }
        }
    )*};
}
folds! {
    /// `sum x`
    Sum: T::ZERO, |x| x, |a, b| a.plus(b);
    /// `sum |x|`
    Magnitudes: T::ZERO, |x| if x < T::ZERO { T::ZERO.minus(x) } else { x }, |a, b| a.plus(b);
    /// `sum x^2`
    Squares: T::ZERO, |x| x.times(x), |a, b| a.plus(b);
    /// `product x`
    Product: T::narrow(1.0), |x| x, |a, b| a.times(b);
    /// The largest, or NaN if any is NaN
    Largest: T::LEAST, |x| x, |a, b| a.larger(b);
    /// The smallest, or NaN if any is NaN
    Smallest: T::GREATEST, |x| x, |a, b| a.smaller(b);
}
