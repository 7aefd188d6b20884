//! Division of expressions.

use crate::shape::dim::{Dim, Factor, Function};

impl Dim {
    /// The quotient if `divisor` divides every coefficient, or is a single term that divides every
    /// term.
    pub(crate) fn exact_div(&self, divisor: &Self) -> Option<Self> {
        if !self.valid || !divisor.valid {
            return None;
        }
        if self == divisor && *self != Self::number(0) {
            return Some(Self::number(1));
        }
        let (factors, coefficient) = match (divisor.terms.as_slice(), divisor.constant) {
            ([], 0) => return None,
            ([], constant) => (&[] as &[Factor], constant),
            ([(factors, coefficient)], 0) => (factors.as_slice(), *coefficient),
            _ => return None,
        };
        if self.constant.checked_rem(coefficient) != Some(0) || (self.constant != 0 && !factors.is_empty()) {
            return None;
        }
        let mut terms = Vec::with_capacity(self.terms.len());
        for (term, own) in &self.terms {
            let mut rest = term.clone();
            for factor in factors {
                rest.remove(rest.iter().position(|other| other == factor)?);
            }
            if own % coefficient != 0 {
                return None;
            }
            terms.push((rest, own / coefficient));
        }
        Some(Self::from_terms(self.constant / coefficient, terms))
    }

    /// The quotient, rounded down.
    #[must_use]
    pub(crate) fn floor_div(&self, divisor: &Self) -> Self {
        if divisor.as_fixed() == Some(0) {
            return Self::invalid();
        }
        if let (Some(a), Some(b)) = (self.as_fixed(), divisor.as_fixed()) {
            return a.checked_div_euclid(b).map_or_else(Self::invalid, Self::number);
        }
        self.exact_div(divisor).unwrap_or_else(|| self.call(Function::FloorDiv, divisor))
    }

    /// The quotient by a positive divisor, rounded up.
    #[must_use]
    pub(crate) fn ceil_div(&self, divisor: &Self) -> Self {
        (self + &(divisor - &Self::number(1))).floor_div(divisor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::{Bindings, Symbol};

    #[test]
    fn division_rounds_as_asked() {
        let a = Dim::symbol(Symbol(0));
        assert_eq!(a.floor_div(&Dim::from(2)).eval(&Bindings::of(&[7])).unwrap(), 3);
        assert_eq!(a.ceil_div(&Dim::from(2)).eval(&Bindings::of(&[7])).unwrap(), 4);
        assert_eq!(Dim::number(-7).floor_div(&Dim::from(2)), Dim::number(-4));
        assert!(!a.floor_div(&Dim::from(0)).is_valid());
    }
}
