//! Division of expressions.

use crate::shape::dim::{Dim, Factor, Function, LIMIT, MAX_TERMS};

impl Dim {
    /// The quotient, if the division of polynomials leaves no remainder.
    pub(crate) fn exact_div(&self, divisor: &Self) -> Option<Self> {
        if !self.valid || !divisor.valid {
            return None;
        }
        let (factors, coefficient) = divisor.leading()?;
        let (mut left, mut quotient) = (self.clone(), Self::number(0));
        // The leading term falls in each step; a quotient of more terms would be invalid.
        for _ in 0..=MAX_TERMS {
            let Some((own, value)) = left.leading() else { return quotient.valid.then_some(quotient) };
            let mut rest = own.to_vec();
            for factor in factors {
                rest.remove(rest.iter().position(|other| other == factor)?);
            }
            if value.checked_rem(coefficient) != Some(0) {
                return None;
            }
            let term = match rest.is_empty() {
                true => Self::number(value.checked_div(coefficient)?),
                false => Self::from_terms(0, vec![(rest, value / coefficient)]),
            };
            left = &left - &(&term * divisor);
            quotient = quotient + &term;
            if !left.valid {
                return None;
            }
        }
        None
    }

    /// The term of the highest degree, the last in order among several; `None` for 0.
    ///
    /// The order is kept when both sides are multiplied by the same, as division needs.
    fn leading(&self) -> Option<(&[Factor], i64)> {
        let last = self.terms.iter().max_by_key(|(factors, _)| (factors.len(), factors));
        let last = last.map(|(factors, coefficient)| (factors.as_slice(), *coefficient));
        last.or_else(|| (self.constant != 0).then_some((&[], self.constant)))
    }

    /// Both without the symbols that are factors of all their terms.
    ///
    /// The quotient is the same where those are not 0.
    pub(crate) fn cancel(&self, other: &Self) -> (Self, Self) {
        let (mut a, mut b) = (self.clone(), other.clone());
        let Some((factors, _)) = self.terms.first().filter(|_| !other.terms.is_empty()) else { return (a, b) };
        for factor in factors.iter().filter(|factor| matches!(factor, Factor::Symbol(_))) {
            let factor = Self::from_terms(0, vec![(vec![factor.clone()], 1)]);
            if let (Some(x), Some(y)) = (a.exact_div(&factor), b.exact_div(&factor)) {
                (a, b) = (x, y);
            }
        }
        (a, b)
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
        if let Some(quotient) = self.exact_div(divisor) {
            return quotient;
        }
        match divisor.as_fixed() {
            Some(divisor) if (2..=LIMIT).contains(&divisor) && self.valid => self.floor_div_by(divisor),
            _ => self.call(Function::FloorDiv, divisor),
        }
    }

    /// The quotient by a number from 2 to [`LIMIT`], with all its multiples in front and a quotient of a quotient as one:
    /// sizes that are computed in different ways come out equal.
    fn floor_div_by(&self, divisor: i64) -> Self {
        let is_multiple = |(_, coefficient): &&(Vec<Factor>, i64)| coefficient % divisor == 0;
        let (multiples, rest): (Vec<_>, Vec<_>) = self.terms.iter().partition(is_multiple);
        let whole =
            multiples.into_iter().map(|(factors, coefficient)| (factors.clone(), coefficient / divisor)).collect();
        let whole = Self::from_terms(self.constant.div_euclid(divisor), whole);
        let rest = Self::from_terms(self.constant.rem_euclid(divisor), rest.into_iter().cloned().collect());
        // (a / b + c) / d is (a + b c) / (b d).
        if let [(factors, 1)] = &*rest.terms
            && let [Factor::Call(Function::FloorDiv, arguments)] = &**factors
            && let Some(inner) = arguments.1.as_fixed().filter(|inner| *inner > 0)
            && let Some(both) = inner.checked_mul(divisor).filter(|both| *both <= LIMIT)
        {
            let above = &arguments.0 + &Self::number(rest.constant * inner);
            return whole + &above.floor_div(&Self::number(both));
        }
        match rest.terms.is_empty() {
            true => whole,
            false => whole + &rest.call(Function::FloorDiv, &Self::number(divisor)),
        }
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
    fn equal_factors_cancel() {
        let [a, b] = [0, 1].map(|index| Dim::symbol(Symbol(index)));
        // Convolutions with strides give such a size, one factor of a whole tensor's.
        let q = &(&b - &Dim::from(3)).floor_div(&Dim::from(2)) - &Dim::from(2);
        let by = |number: i64, dim: &Dim| &Dim::number(number) * dim;
        assert_eq!((&by(120, &a) * &q).exact_div(&by(120, &q)), Some(a.clone()));
        let sum = &(&a + &b) + &Dim::from(1);
        assert_eq!((&sum * &(&a - &b)).exact_div(&sum), Some(&a - &b));
        assert_eq!((&(&sum * &a) + &Dim::from(1)).exact_div(&sum), None);
        assert_eq!(by(3, &a).exact_div(&Dim::from(2)), None);
        assert_eq!(a.exact_div(&Dim::from(0)), None);
        assert_eq!(Dim::from(0).exact_div(&a), Some(Dim::from(0)));
    }

    #[test]
    fn equal_quotients_are_equal() {
        let [a, b] = [0, 1].map(|index| Dim::symbol(Symbol(index)));
        let by = |dim: &Dim, divisor: usize| dim.floor_div(&Dim::from(divisor));
        // Patches of a convolution, and of a division.
        assert_eq!(&by(&(&a - &Dim::from(8)), 8) + &Dim::from(1), by(&a, 8));
        // Strides of 2 by turns, and of 4.
        let half = |dim: &Dim| &by(&(dim - &Dim::from(1)), 2) + &Dim::from(1);
        assert_eq!(half(&half(&a)), by(&(&a + &Dim::from(3)), 4));
        let dims = [
            &(&Dim::number(6) * &a) + &b,
            &a - &(&Dim::number(5) * &b),
            &by(&(&a - &b), 3) - &Dim::from(4),
            &(&Dim::number(-2) * &by(&a, 5)) + &by(&b, 2),
            &(&Dim::number(4) * &by(&(&a - &b), 7)) - &Dim::from(5),
        ];
        let divisors = [2, 3, 4, 6, LIMIT, LIMIT + 1, i64::MAX];
        for (dim, divisor) in dims.iter().flat_map(|dim| divisors.map(|divisor| (dim, divisor))) {
            let quotient = dim.floor_div(&Dim::number(divisor));
            for sizes in (0..12).flat_map(|a| (0..12).map(move |b| [a, b])) {
                let sizes = Bindings::of(&sizes);
                let want = dim.eval(&sizes).unwrap().div_euclid(divisor);
                assert_eq!(quotient.eval(&sizes).unwrap(), want, "{dim} by {divisor}, {sizes:?}");
            }
        }
    }

    #[test]
    fn division_rounds_as_asked() {
        let a = Dim::symbol(Symbol(0));
        assert_eq!(a.floor_div(&Dim::from(2)).eval(&Bindings::of(&[7])).unwrap(), 3);
        assert_eq!(a.ceil_div(&Dim::from(2)).eval(&Bindings::of(&[7])).unwrap(), 4);
        assert_eq!(Dim::number(-7).floor_div(&Dim::from(2)), Dim::number(-4));
        assert!(!a.floor_div(&Dim::from(0)).is_valid());
    }
}
