//! Sums, differences and products of expressions.

use std::ops::{Add, Mul, Sub};

use crate::shape::dim::{Dim, MAX_TERMS};

impl Add for &Dim {
    type Output = Dim;
    fn add(self, other: &Dim) -> Dim {
        if !self.valid || !other.valid {
            return Dim::invalid();
        }
        let terms = self.terms.iter().chain(&other.terms).cloned().collect();
        Dim::from_terms(self.constant.saturating_add(other.constant), terms)
    }
}

impl Sub for &Dim {
    type Output = Dim;
    fn sub(self, other: &Dim) -> Dim {
        self + &(other * &Dim::number(-1))
    }
}

impl Mul for &Dim {
    type Output = Dim;
    fn mul(self, other: &Dim) -> Dim {
        if !self.valid || !other.valid || (self.terms.len() + 1) * (other.terms.len() + 1) > MAX_TERMS * MAX_TERMS {
            return Dim::invalid();
        }
        let constant = (Vec::new(), other.constant);
        let mut terms = Vec::new();
        for (a, x) in self.terms.iter().chain([&(Vec::new(), self.constant)]) {
            for (b, y) in other.terms.iter().chain([&constant]) {
                terms.push((a.iter().chain(b).cloned().collect(), x.saturating_mul(*y)));
            }
        }
        Dim::from_terms(0, terms)
    }
}

macro_rules! owned_operators {
    ($($op:ident $method:ident),*) => {$(
        impl $op<&Dim> for Dim {
            type Output = Dim;
            fn $method(self, other: &Dim) -> Dim { $op::$method(&self, other) }
        }
        impl $op<Dim> for Dim {
            type Output = Dim;
            fn $method(self, other: Dim) -> Dim { $op::$method(&self, &other) }
        }
    )*};
}
owned_operators!(Add add, Sub sub, Mul mul);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::{Bindings, Symbol};

    #[test]
    fn equal_expressions_are_equal() {
        let (a, b) = (Dim::symbol(Symbol(0)), Dim::symbol(Symbol(1)));
        let left = &(&a + &Dim::from(2)) * &b;
        let right = &(&b * &Dim::from(2)) + &(&b * &a);
        assert_eq!(left, right);
        assert_eq!(&left - &right, Dim::from(0));
        assert_eq!(
            (&left * &Dim::from(6)).exact_div(&(&b * &Dim::from(3))).unwrap(),
            &(&a * &Dim::from(2)) + &Dim::from(4)
        );
        assert_eq!(left.eval(&Bindings::of(&[5, 7])).unwrap(), 49);
        assert_eq!(Dim::min(&a, &b), Dim::min(&b, &a));
        assert_eq!(Dim::max(&a, &Dim::from(3)), Dim::max(&Dim::from(3), &a));
    }

    #[test]
    fn overflow_is_reported_not_wrapped() {
        let huge = Dim::from(1 << 40);
        let product = &huge * &huge;
        assert!(!product.is_valid());
        assert!(product.eval(&Bindings::of(&[])).is_err());
        let symbol = &Dim::symbol(Symbol(0)) * &Dim::from(1 << 40);
        assert!((&symbol * &Dim::symbol(Symbol(0))).eval(&Bindings::of(&[usize::MAX >> 1])).is_err());
    }

    #[test]
    fn extreme_numbers_are_kept_and_never_wrap() {
        let (most, least, minus) = (Dim::number(i64::MAX), Dim::number(i64::MIN), Dim::number(-1));
        assert_eq!(most.as_fixed(), Some(i64::MAX));
        assert!(!(&most + &Dim::from(1)).is_valid());
        assert!(!least.floor_div(&minus).is_valid());
        assert_eq!(least.exact_div(&minus), None);
        assert_eq!(Dim::min(&most, &Dim::from(3)), Dim::from(3));
    }
}
