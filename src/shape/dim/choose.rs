//! Functions that choose between two expressions.

use crate::shape::dim::{Dim, Factor, Function};

impl Dim {
    /// The larger of two.
    #[must_use]
    pub(crate) fn max(&self, other: &Self) -> Self {
        match self.extreme(other) {
            Some((_, larger)) => larger.clone(),
            None if self < other => self.call(Function::Max, other),
            None => other.call(Function::Max, self),
        }
    }

    /// The smaller of two.
    #[must_use]
    pub(crate) fn min(&self, other: &Self) -> Self {
        match self.extreme(other) {
            Some((smaller, _)) => smaller.clone(),
            None if self < other => self.call(Function::Min, other),
            None => other.call(Function::Min, self),
        }
    }

    /// The smaller and the larger, if that is known for all values from 0 up of the symbols.
    fn extreme<'a>(&'a self, other: &'a Self) -> Option<(&'a Self, &'a Self)> {
        match (self.as_fixed(), other.as_fixed()) {
            (Some(a), Some(b)) if a <= b => Some((self, other)),
            (Some(_), Some(_)) => Some((other, self)),
            _ if self == other => Some((self, other)),
            _ if (other - self).is_never_negative() => Some((self, other)),
            _ if (self - other).is_never_negative() => Some((other, self)),
            _ => None,
        }
    }

    /// The size to which two broadcast, `None` if they are unlike numbers.
    ///
    /// A number other than 1 is taken; the other size must then be that or 1.
    #[must_use]
    pub(crate) fn broadcast(&self, other: &Self) -> Option<Self> {
        match (self.as_fixed(), other.as_fixed()) {
            _ if self == other => Some(self.clone()),
            (Some(1), _) => Some(other.clone()),
            (_, Some(1)) => Some(self.clone()),
            (Some(_), Some(_)) => None,
            (Some(_), None) => Some(self.clone()),
            (None, Some(_)) => Some(other.clone()),
            (None, None) => {
                // One form for any order and nesting, so that equal sizes compare equal.
                let (mut all, mut pending) = (Vec::new(), vec![self, other]);
                while let Some(dim) = pending.pop() {
                    match dim.operands_of(Function::Broadcast) {
                        Some((a, b)) => pending.extend([a, b]),
                        None => all.push(dim),
                    }
                }
                all.sort();
                all.dedup();
                // A size and its minimum with a number broadcast to that size, if they do at all.
                let capped = |dim: &Self| match dim.operands_of(Function::Min) {
                    Some((a, b)) if b.as_fixed().is_some_and(|b| b > 0) => all.contains(&a),
                    Some((a, b)) if a.as_fixed().is_some_and(|a| a > 0) => all.contains(&b),
                    _ => false,
                };
                let all: Vec<&Self> = all.iter().copied().filter(|dim| !capped(dim)).collect();
                Some(tree(&all))
            }
        }
    }

    /// The position, counted from the end of an axis of that size where it is negative.
    #[must_use]
    pub(crate) fn wrap(&self, size: &Self) -> Self {
        if self.is_never_negative() {
            self.clone()
        } else if (self * &Self::number(-1)).least().is_some_and(|least| least > 0) {
            self + size
        } else {
            self.call(Function::Wrap, size)
        }
    }

    /// The size, or `other` where it is 0.
    #[must_use]
    pub(crate) fn or_else(&self, other: &Self) -> Self {
        match self.as_fixed() {
            Some(0) => other.clone(),
            Some(_) => self.clone(),
            None if self.least().is_some_and(|least| least > 0) || other.vanishes_with(self) => self.clone(),
            None => self.call(Function::OrElse, other),
        }
    }

    /// Whether it is 0, as far as that can be told, wherever `other` is.
    fn vanishes_with(&self, other: &Self) -> bool {
        // A product is 0 where one of its factors is.
        let of_each_term = |factor: &Factor| self.terms.iter().all(|(factors, _)| factors.contains(factor));
        let is_product = self.constant == 0 && other.constant == 0 && self.valid && other.terms.len() == 1;
        (is_product && other.terms[0].0.iter().all(of_each_term)) || self.exact_div(other).is_some()
    }

    /// The operands, if the expression is that function alone.
    fn operands_of(&self, function: Function) -> Option<(&Self, &Self)> {
        match self.terms.as_slice() {
            [(factors, 1)] if self.constant == 0 && self.valid => match factors.as_slice() {
                [Factor::Call(own, operands)] if *own == function => Some((&operands.0, &operands.1)),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The size to which all broadcast, as shallow as possible.
fn tree(all: &[&Dim]) -> Dim {
    match all {
        [] => Dim::from(1),
        [one] => (*one).clone(),
        _ => {
            let (left, right) = all.split_at(all.len() / 2);
            tree(left).call(Function::Broadcast, &tree(right))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::{Bindings, Symbol};

    fn symbols() -> [Dim; 3] {
        [0, 1, 2].map(|index| Dim::symbol(Symbol(index)))
    }

    #[test]
    fn what_is_known_is_chosen() {
        let [a, b, _] = symbols();
        let double = &a * &Dim::from(2);
        assert_eq!((Dim::min(&double, &a), Dim::max(&double, &a)), (a.clone(), double.clone()));
        assert_eq!(Dim::max(&a, &Dim::from(0)), a);
        assert_eq!(Dim::min(&a, &b).eval(&Bindings::of(&[5, 3])).unwrap(), 3);
    }

    #[test]
    fn broadcast_sizes_have_one_form() {
        let [a, b, c] = symbols();
        let ab = a.broadcast(&b).unwrap();
        assert_eq!(ab.broadcast(&a).unwrap(), ab);
        assert_eq!(c.broadcast(&ab).unwrap(), c.broadcast(&b).unwrap().broadcast(&a).unwrap());
        for (sizes, want) in [([4, 4], Some(4)), ([1, 4], Some(4)), ([0, 1], Some(0)), ([2, 3], None)] {
            assert_eq!(ab.eval(&Bindings::of(&sizes)).ok(), want);
        }
        assert_eq!(Dim::from(2).broadcast(&Dim::from(3)), None);
        // The part of a table of positions that a sequence needs.
        assert_eq!(Dim::min(&a, &Dim::from(512)).broadcast(&a).unwrap(), a);
    }

    #[test]
    fn positions_wrap_and_zeros_are_replaced() {
        let [a, b, _] = symbols();
        let at = (&a - &Dim::from(2)).wrap(&b);
        for (sizes, want) in [([5, 9], 3), ([1, 9], 8)] {
            assert_eq!(at.eval(&Bindings::of(&sizes)).unwrap(), want);
        }
        assert_eq!(Dim::number(-3).wrap(&b), &b - &Dim::from(3));
        let either = (&a * &Dim::from(7)).or_else(&Dim::from(6));
        for (size, want) in [(2, 14), (0, 6)] {
            assert_eq!(either.eval(&Bindings::of(&[size])).unwrap(), want);
        }
        assert_eq!(a.or_else(&(&a * &b)), a);
        let by = |number: i64| &Dim::number(number) * &a;
        assert_eq!(by(16).or_else(&by(4)), by(16));
        assert_ne!((&a * &b).or_else(&by(4)), &a * &b);
    }
}
