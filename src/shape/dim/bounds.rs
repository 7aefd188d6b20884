//! Bounds of an expression over all values of its symbols.

use crate::shape::dim::{Dim, Factor, Function};

impl Dim {
    /// A lower bound for all values from 0 up of the symbols, if one can be derived.
    pub(crate) fn least(&self) -> Option<i64> {
        let never_negative = |factor: &Factor| match factor {
            Factor::Symbol(_) => true,
            Factor::Call(function, arguments) => {
                let sign = |dim: &Self| dim.least().is_some_and(|least| least >= 0);
                let (a, b) = (sign(&arguments.0), sign(&arguments.1));
                match function {
                    Function::Max => a || b,
                    Function::Wrap => a,
                    _ => a && b,
                }
            }
        };
        let sum = |(factors, coefficient): &(Vec<Factor>, i64)| *coefficient > 0 && factors.iter().all(never_negative);
        (self.valid && self.terms.iter().all(sum)).then_some(self.constant)
    }

    /// Whether the expression is provably at least 0 for all values from 0 up of its symbols.
    pub(crate) fn is_never_negative(&self) -> bool {
        self.least().is_some_and(|least| least >= 0)
    }

    /// Whether the expression is provably at least `least` for all values from 1 up of its symbols.
    pub(crate) fn is_at_least(&self, least: i64) -> bool {
        self.lower_bound().is_some_and(|bound| bound >= least)
    }

    /// A lower bound for all values from 1 up of the symbols, if one can be derived.
    fn lower_bound(&self) -> Option<i64> {
        if !self.valid {
            return None;
        }
        let mut bound = self.constant;
        for (factors, coefficient) in &self.terms {
            // A product grows with each of its factors as long as none is negative.
            let mut product = *coefficient;
            for factor in factors {
                let least = match factor {
                    Factor::Symbol(_) => 1,
                    Factor::Call(function, arguments) => {
                        let (a, b) = (arguments.0.lower_bound(), arguments.1.lower_bound());
                        match function {
                            Function::FloorDiv => (a? >= 0 && b? >= 1).then_some(0)?,
                            Function::Max => a.max(b)?,
                            // One of the two.
                            Function::Min | Function::Broadcast | Function::OrElse => a?.min(b?),
                            Function::Wrap => a.filter(|&a| a >= 0)?,
                        }
                    }
                };
                if least < 0 {
                    return None;
                }
                product = product.checked_mul(least)?;
            }
            if *coefficient < 0 {
                return None;
            }
            bound = bound.checked_add(product)?;
        }
        Some(bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Symbol;

    #[test]
    fn bounds_hold_for_every_positive_size() {
        let a = Dim::symbol(Symbol(0));
        assert!((&a - &Dim::from(1)).is_at_least(0));
        assert!(!(&a - &Dim::from(2)).is_at_least(0));
        assert!(a.floor_div(&Dim::from(2)).is_at_least(0));
        assert!(Dim::max(&a, &Dim::from(4)).is_at_least(4));
        assert!(!Dim::min(&a, &Dim::number(-1)).is_at_least(0));
    }
}
