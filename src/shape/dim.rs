//! A dimension: a polynomial over symbols in a canonical form, so that equal sizes compare equal.

mod arithmetic;
mod bounds;
mod choose;
mod display;
mod divide;
mod eval;
mod substitute;

use std::collections::BTreeMap;

use crate::shape::bindings::Symbol;

/// The largest coefficient; a larger one counts as an overflow.
const LIMIT: i64 = 1 << 50;
/// The most terms of an expression, so that a file cannot make it grow without bound.
const MAX_TERMS: usize = 64;
/// The most factors of a product, and the deepest nesting of functions.
const MAX_FACTORS: usize = 16;
/// The most terms and factors of an expression, nested ones included.
const MAX_WEIGHT: usize = 1 << 12;

/// A function of two sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Function {
    FloorDiv,
    Max,
    Min,
    /// The size to which two broadcast: they are equal, or one is 1.
    Broadcast,
    /// The first, counted from the end of an axis of the second size where it is negative.
    Wrap,
    /// The first, the second where that is 0.
    OrElse,
}

/// A factor of a term.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Factor {
    Symbol(Symbol),
    Call(Function, Box<(Dim, Dim)>),
}

/// A size: a number, or an expression over [`Symbol`]s.
///
/// Arithmetic never wraps: an overflow makes the expression invalid, which every evaluation
/// reports.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dim {
    constant: i64,
    /// Summands: a product of sorted factors and its nonzero coefficient. Empty for a number.
    terms: Vec<(Vec<Factor>, i64)>,
    valid: bool,
}

impl Dim {
    /// The size that `symbol` is bound to.
    #[doc(hidden)]
    pub fn symbol(symbol: Symbol) -> Self {
        Self { constant: 0, terms: vec![(vec![Factor::Symbol(symbol)], 1)], valid: true }
    }

    /// A number; elements of shape tensors may be negative.
    ///
    /// Any number is kept, since exporters write the largest one for "to the end"; arithmetic on a
    /// huge one makes the expression invalid.
    #[doc(hidden)]
    pub fn number(value: i64) -> Self {
        Self { constant: value, terms: Vec::new(), valid: true }
    }

    /// The result of an overflow.
    fn invalid() -> Self {
        Self { constant: 0, terms: Vec::new(), valid: false }
    }

    /// Whether no arithmetic that led to it overflowed.
    pub(crate) fn is_valid(&self) -> bool {
        self.valid
    }

    /// The number, if the expression is one.
    pub fn as_fixed(&self) -> Option<i64> {
        (self.valid && self.terms.is_empty()).then_some(self.constant)
    }

    /// The symbol, if the expression is a single one.
    pub(crate) fn as_symbol(&self) -> Option<Symbol> {
        match self.terms.as_slice() {
            [(factors, 1)] if self.constant == 0 && self.valid => match factors.as_slice() {
                [Factor::Symbol(symbol)] => Some(*symbol),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether the symbol occurs anywhere in the expression.
    pub(crate) fn mentions(&self, symbol: Symbol) -> bool {
        self.terms.iter().flat_map(|(factors, _)| factors).any(|factor| match factor {
            Factor::Symbol(other) => *other == symbol,
            Factor::Call(_, arguments) => arguments.0.mentions(symbol) || arguments.1.mentions(symbol),
        })
    }

    /// Whether every symbol of the expression is one for which `holds`.
    pub(crate) fn all_symbols(&self, holds: &impl Fn(Symbol) -> bool) -> bool {
        self.terms.iter().flat_map(|(factors, _)| factors).all(|factor| match factor {
            Factor::Symbol(symbol) => holds(*symbol),
            Factor::Call(_, arguments) => arguments.0.all_symbols(holds) && arguments.1.all_symbols(holds),
        })
    }

    /// A function of two sizes that cannot be computed yet.
    fn call(&self, function: Function, other: &Self) -> Self {
        if !self.valid || !other.valid || self.depth().max(other.depth()) >= MAX_FACTORS {
            return Self::invalid();
        }
        Self::from_terms(0, vec![(vec![Factor::Call(function, Box::new((self.clone(), other.clone())))], 1)])
    }

    /// Nesting depth of functions.
    fn depth(&self) -> usize {
        self.terms
            .iter()
            .flat_map(|(factors, _)| factors)
            .map(|factor| match factor {
                Factor::Symbol(_) => 0,
                Factor::Call(_, arguments) => 1 + arguments.0.depth().max(arguments.1.depth()),
            })
            .max()
            .unwrap_or(0)
    }

    /// Number of terms and factors, nested ones included; 1 for a number.
    pub(crate) fn weight(&self) -> usize {
        let factor = |factor: &Factor| match factor {
            Factor::Symbol(_) => 1,
            Factor::Call(_, arguments) => 1 + arguments.0.weight() + arguments.1.weight(),
        };
        1 + self.terms.iter().map(|(factors, _)| 1 + factors.iter().map(factor).sum::<usize>()).sum::<usize>()
    }

    /// The canonical form of a sum of products.
    fn from_terms(constant: i64, terms: Vec<(Vec<Factor>, i64)>) -> Self {
        let mut sum: BTreeMap<Vec<Factor>, i64> = BTreeMap::new();
        let mut constant = constant;
        for (mut factors, coefficient) in terms {
            factors.sort();
            let slot = if factors.is_empty() { &mut constant } else { sum.entry(factors).or_default() };
            *slot = slot.saturating_add(coefficient);
        }
        let terms: Vec<_> = sum.into_iter().filter(|(_, coefficient)| *coefficient != 0).collect();
        let small = |value: i64| value.unsigned_abs() <= LIMIT.unsigned_abs();
        let valid = small(constant)
            && terms.len() <= MAX_TERMS
            && terms.iter().all(|(factors, coefficient)| small(*coefficient) && factors.len() <= MAX_FACTORS);
        let dim = Self { constant, terms, valid };
        if valid && dim.weight() <= MAX_WEIGHT { dim } else { Self::invalid() }
    }
}

impl From<usize> for Dim {
    fn from(value: usize) -> Self {
        i64::try_from(value).map_or_else(|_| Self::invalid(), Self::number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_cannot_grow_without_end() {
        let mut dim = Dim::symbol(Symbol(0));
        for _ in 0..100 {
            let half = dim.floor_div(&Dim::from(3));
            dim = (&dim * &Dim::max(&dim, &half)) + (&half + &Dim::min(&half, &dim));
            assert!(dim.weight() <= MAX_WEIGHT);
        }
        assert!(!dim.is_valid());
    }
}
