//! The comparisons of nodes, as tests of what goes left.

use crate::{
    error::{Error, Result},
    kernels::trees::{Child, Split, Test, Threshold},
};

/// What a node compares: the feature is on the left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `<=`
    Leq,
    /// `<`
    Lt,
    /// `>=`
    Gte,
    /// `>`
    Gt,
    /// `==`
    Eq,
    /// `!=`
    Neq,
}

/// A number with its neighbour.
pub trait Number: Threshold {
    /// Compares as less or equal with no number.
    const NEVER: Self;
    /// The largest number below.
    fn below(self) -> Self;
    /// Whether it is no number.
    fn is_nan(self) -> bool;
}

macro_rules! number {
    ($($float:ty),*) => {$(
        impl Number for $float {
            const NEVER: Self = <$float>::NAN;

            fn below(self) -> Self {
                if self == <$float>::NEG_INFINITY { Self::NEVER } else { self.next_down() }
            }

            fn is_nan(self) -> bool {
                self.is_nan()
            }
        }
    )*};
}
number!(f32, f64);

impl Mode {
    /// The mode that `TreeEnsembleRegressor` calls `name`; none of a leaf.
    pub(super) fn named(name: &str) -> Result<Option<Self>> {
        Ok(Some(match name {
            "BRANCH_LEQ" => Self::Leq,
            "BRANCH_LT" => Self::Lt,
            "BRANCH_GTE" => Self::Gte,
            "BRANCH_GT" => Self::Gt,
            "BRANCH_EQ" => Self::Eq,
            "BRANCH_NEQ" => Self::Neq,
            "LEAF" => return Ok(None),
            other => return Err(Error::invalid_model(format!("the node mode `{other}`"))),
        }))
    }

    /// The mode that `TreeEnsemble` gives that number; none of a set.
    pub(in crate::ops::tabular) fn numbered(number: u8) -> Option<Self> {
        [Self::Leq, Self::Lt, Self::Gte, Self::Gt, Self::Eq, Self::Neq].get(usize::from(number)).copied()
    }

    /// A split with this comparison.
    ///
    /// NaN fulfils no comparison but `!=`, and goes to `yes` in any case where `missing` says so.
    pub fn split<T: Number>(self, feature: usize, threshold: T, missing: bool, [yes, no]: [Child; 2]) -> Split<T> {
        // Whether NaN is a threshold: no number is less, greater or equal.
        let none = threshold.is_nan();
        let (test, is_swapped) = match self {
            Self::Leq => (Test::AtMost(threshold), false),
            Self::Lt => (Test::AtMost(threshold.below()), false),
            Self::Gt => (Test::AtMost(if none { T::LARGEST } else { threshold }), true),
            Self::Gte => (Test::AtMost(if none { T::LARGEST } else { threshold.below() }), true),
            Self::Eq => (Test::Equal(threshold), false),
            Self::Neq => (Test::Equal(threshold), true),
        };
        let missing_left = match self {
            Self::Neq => false,
            _ => missing != is_swapped,
        };
        let (left, right) = if is_swapped { (no, yes) } else { (yes, no) };
        Split { feature, test, missing_left, left, right }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::trees::{Combine, Forest};

    #[test]
    fn every_comparison_is_that_of_the_numbers() {
        let numbers =
            [f32::NEG_INFINITY, f32::MIN, -1.0, -1e-45, -0.0, 0.0, 1e-45, 1.0, f32::MAX, f32::INFINITY, f32::NAN];
        let leaves = [vec![(0, 1.0)], vec![(0, 0.0)]];
        for mode in [Mode::Leq, Mode::Lt, Mode::Gte, Mode::Gt, Mode::Eq, Mode::Neq] {
            for (threshold, missing) in numbers.into_iter().flat_map(|number| [(number, false), (number, true)]) {
                let split = mode.split(0, threshold, missing, [Child::Leaf(0), Child::Leaf(1)]);
                let (forest, _) = Forest::new(&[split], &[Child::Split(0)], &leaves, 1).unwrap();
                for x in numbers {
                    let fulfilled = match mode {
                        Mode::Leq => x <= threshold,
                        Mode::Lt => x < threshold,
                        Mode::Gte => x >= threshold,
                        Mode::Gt => x > threshold,
                        Mode::Eq => x == threshold,
                        Mode::Neq => x != threshold,
                    };
                    let mut score = [0.0];
                    forest.score(&[x], 1, Combine::Sum, &mut score).unwrap();
                    let want = fulfilled || (missing && x.is_nan());
                    assert_eq!(score[0] == 1.0, want, "{x:e} {mode:?} {threshold:e}, missing {missing}");
                }
            }
        }
    }
}
