//! A dimension as a polynomial over symbols, kept in one canonical form so that equal sizes compare equal.

use std::{
    collections::BTreeMap,
    fmt,
    ops::{Add, Mul, Sub},
};

use smallvec::SmallVec;

use crate::error::{Error, Result};

/// Past this a coefficient is taken for an overflow.
const LIMIT: i64 = 1 << 50;
/// An expression of more terms than this is refused, so that a file cannot make it grow without bound.
const MAX_TERMS: usize = 64;
/// A product of more factors than this is refused.
const MAX_FACTORS: usize = 16;
/// An expression of more terms and factors than this, those inside others counted, is refused.
const MAX_WEIGHT: usize = 1 << 12;

/// A size that each run binds, such as the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(pub u32);

/// The symbols' values in one run.
#[derive(Clone, Debug, Default)]
pub struct Bindings(SmallVec<[Option<usize>; 4]>);

impl Bindings {
    /// Forgets all values.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The value of a symbol, if it is bound.
    pub fn get(&self, symbol: Symbol) -> Option<usize> {
        self.0.get(symbol.0 as usize).copied().flatten()
    }

    /// Binds a symbol; a second, different value is refused by giving the first back.
    pub fn bind(&mut self, symbol: Symbol, value: usize) -> Option<usize> {
        let index = symbol.0 as usize;
        if self.0.len() <= index {
            self.0.resize(index + 1, None);
        }
        match self.0[index] {
            Some(old) if old != value => Some(old),
            _ => {
                self.0[index] = Some(value);
                None
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Function {
    FloorDiv,
    Max,
    Min,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Factor {
    Symbol(Symbol),
    Call(Function, Box<(Dim, Dim)>),
}

/// A size: a number, or an expression over [`Symbol`]s. Arithmetic never wraps: an overflow makes the expression
/// invalid, which every evaluation reports.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dim {
    constant: i64,
    /// Sum of coefficient x product of factors (sorted); no zero coefficient. Empty for a number.
    terms: Vec<(Vec<Factor>, i64)>,
    valid: bool,
}

impl Dim {
    /// The size that `symbol` stands for.
    pub fn symbol(symbol: Symbol) -> Self {
        Self { constant: 0, terms: vec![(vec![Factor::Symbol(symbol)], 1)], valid: true }
    }

    /// A number, which may be negative where it is the element of a shape tensor. Any number is kept, since exporters
    /// write the largest one for "to the end"; arithmetic on a huge one makes the expression invalid.
    pub fn number(value: i64) -> Self {
        Self { constant: value, terms: Vec::new(), valid: true }
    }

    fn invalid() -> Self {
        Self { constant: 0, terms: Vec::new(), valid: false }
    }

    /// Whether no arithmetic on the way overflowed.
    pub(crate) fn is_valid(&self) -> bool {
        self.valid
    }

    /// The number, if it is one.
    pub fn as_fixed(&self) -> Option<i64> {
        (self.valid && self.terms.is_empty()).then_some(self.constant)
    }

    /// The symbol, if it is just one.
    pub fn as_symbol(&self) -> Option<Symbol> {
        match self.terms.as_slice() {
            [(factors, 1)] if self.constant == 0 && self.valid => match factors.as_slice() {
                [Factor::Symbol(symbol)] => Some(*symbol),
                _ => None,
            },
            _ => None,
        }
    }

    /// A number that the value is never below, where one can be told: symbols are sizes, so never negative.
    pub(crate) fn least(&self) -> Option<i64> {
        let never_negative = |factor: &Factor| match factor {
            Factor::Symbol(_) => true,
            Factor::Call(function, arguments) => {
                let sign = |dim: &Self| dim.least().is_some_and(|least| least >= 0);
                let (a, b) = (sign(&arguments.0), sign(&arguments.1));
                if *function == Function::Max { a || b } else { a && b }
            }
        };
        let sum = |(factors, coefficient): &(Vec<Factor>, i64)| *coefficient > 0 && factors.iter().all(never_negative);
        (self.valid && self.terms.iter().all(sum)).then_some(self.constant)
    }

    /// Whether the symbol occurs anywhere in the expression.
    pub(crate) fn mentions(&self, symbol: Symbol) -> bool {
        self.terms.iter().flat_map(|(factors, _)| factors).any(|factor| match factor {
            Factor::Symbol(other) => *other == symbol,
            Factor::Call(_, arguments) => arguments.0.mentions(symbol) || arguments.1.mentions(symbol),
        })
    }

    /// Whether the expression is at least `least` for every value from 1 up of its symbols, as far as can be told.
    pub(crate) fn is_at_least(&self, least: i64) -> bool {
        self.lower_bound().is_some_and(|bound| bound >= least)
    }

    /// Whether the expression is below 0 for every value from 1 up of its symbols, as far as can be told.
    pub(crate) fn is_negative(&self) -> bool {
        (self * &Self::number(-1)).is_at_least(1)
    }

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
                            Function::Min => a?.min(b?),
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

    /// The quotient if `divisor` divides every coefficient, or is a single term that divides every term.
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

    /// Division rounded down.
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

    /// Division rounded up, by a positive number.
    #[must_use]
    pub(crate) fn ceil_div(&self, divisor: &Self) -> Self {
        (self + &(divisor - &Self::number(1))).floor_div(divisor)
    }

    /// The larger of two.
    #[must_use]
    pub(crate) fn max(&self, other: &Self) -> Self {
        match (self.as_fixed(), other.as_fixed()) {
            (Some(a), Some(b)) => Self::number(a.max(b)),
            _ if self == other => self.clone(),
            _ if self < other => self.call(Function::Max, other),
            _ => other.call(Function::Max, self),
        }
    }

    /// The smaller of two.
    #[must_use]
    pub(crate) fn min(&self, other: &Self) -> Self {
        match (self.as_fixed(), other.as_fixed()) {
            (Some(a), Some(b)) => Self::number(a.min(b)),
            _ if self == other => self.clone(),
            _ if self < other => self.call(Function::Min, other),
            _ => other.call(Function::Min, self),
        }
    }

    fn call(&self, function: Function, other: &Self) -> Self {
        if !self.valid || !other.valid || self.depth().max(other.depth()) >= MAX_FACTORS {
            return Self::invalid();
        }
        Self::from_terms(0, vec![(vec![Factor::Call(function, Box::new((self.clone(), other.clone())))], 1)])
    }

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

    /// How many terms and factors the expression holds, those inside others counted: 1 for a number.
    pub(crate) fn weight(&self) -> usize {
        let factor = |factor: &Factor| match factor {
            Factor::Symbol(_) => 1,
            Factor::Call(_, arguments) => 1 + arguments.0.weight() + arguments.1.weight(),
        };
        1 + self.terms.iter().map(|(factors, _)| 1 + factors.iter().map(factor).sum::<usize>()).sum::<usize>()
    }

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

    /// The value in a run.
    ///
    /// # Errors
    /// When a symbol is unbound, or the arithmetic overflows or divides by zero.
    pub(crate) fn eval(&self, bindings: &Bindings) -> Result<i64> {
        let fail = |why: &str| Error::invalid_input(format!("the size {self} {why}"));
        if !self.valid {
            return Err(fail("overflows"));
        }
        let mut sum = self.constant;
        for (factors, coefficient) in &self.terms {
            let mut product = *coefficient;
            for factor in factors {
                let value = match factor {
                    Factor::Symbol(symbol) => {
                        let value = bindings.get(*symbol).ok_or_else(|| fail("is not determined by the inputs"))?;
                        i64::try_from(value).map_err(|_| fail("overflows"))?
                    }
                    Factor::Call(function, arguments) => {
                        let (a, b) = (arguments.0.eval(bindings)?, arguments.1.eval(bindings)?);
                        match function {
                            Function::FloorDiv if b == 0 => return Err(fail("divides by zero")),
                            Function::FloorDiv => a.checked_div_euclid(b).ok_or_else(|| fail("overflows"))?,
                            Function::Max => a.max(b),
                            Function::Min => a.min(b),
                        }
                    }
                };
                product = product.checked_mul(value).ok_or_else(|| fail("overflows"))?;
            }
            sum = sum.checked_add(product).ok_or_else(|| fail("overflows"))?;
        }
        Ok(sum)
    }

    /// The value in a run, as a size.
    ///
    /// # Errors
    /// As [`eval`](Self::eval), and when the value is negative.
    pub(crate) fn eval_size(&self, bindings: &Bindings) -> Result<usize> {
        usize::try_from(self.eval(bindings)?).map_err(|_| Error::invalid_input(format!("the size {self} is negative")))
    }
}

impl From<usize> for Dim {
    fn from(value: usize) -> Self {
        i64::try_from(value).map_or_else(|_| Self::invalid(), Self::number)
    }
}

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

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.valid {
            return f.write_str("(overflow)");
        }
        if self.terms.is_empty() {
            return write!(f, "{}", self.constant);
        }
        for (index, (factors, coefficient)) in self.terms.iter().enumerate() {
            if index > 0 {
                f.write_str("+")?;
            }
            if *coefficient != 1 {
                write!(f, "{coefficient}*")?;
            }
            for (index, factor) in factors.iter().enumerate() {
                if index > 0 {
                    f.write_str("*")?;
                }
                match factor {
                    Factor::Symbol(symbol) => write!(f, "s{}", symbol.0)?,
                    Factor::Call(Function::FloorDiv, arguments) => write!(f, "(({})/({}))", arguments.0, arguments.1)?,
                    Factor::Call(Function::Max, arguments) => write!(f, "max({}, {})", arguments.0, arguments.1)?,
                    Factor::Call(Function::Min, arguments) => write!(f, "min({}, {})", arguments.0, arguments.1)?,
                }
            }
        }
        if self.constant != 0 {
            write!(f, "{:+}", self.constant)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(values: &[usize]) -> Bindings {
        let mut bindings = Bindings::default();
        for (index, &value) in values.iter().enumerate() {
            bindings.bind(Symbol(index as u32), value);
        }
        bindings
    }

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
        assert_eq!(left.eval(&bind(&[5, 7])).unwrap(), 49);
        assert_eq!(Dim::min(&a, &b), Dim::min(&b, &a));
        assert_eq!(Dim::max(&a, &Dim::from(3)), Dim::max(&Dim::from(3), &a));
    }

    #[test]
    fn division_rounds_as_asked() {
        let a = Dim::symbol(Symbol(0));
        assert_eq!(a.floor_div(&Dim::from(2)).eval(&bind(&[7])).unwrap(), 3);
        assert_eq!(a.ceil_div(&Dim::from(2)).eval(&bind(&[7])).unwrap(), 4);
        assert_eq!(Dim::number(-7).floor_div(&Dim::from(2)), Dim::number(-4));
        assert!(!a.floor_div(&Dim::from(0)).is_valid());
    }

    #[test]
    fn overflow_is_reported_not_wrapped() {
        let huge = Dim::from(1 << 40);
        let product = &huge * &huge;
        assert!(!product.is_valid());
        assert!(product.eval(&bind(&[])).is_err());
        let symbol = &Dim::symbol(Symbol(0)) * &Dim::from(1 << 40);
        assert!((&symbol * &Dim::symbol(Symbol(0))).eval(&bind(&[usize::MAX >> 1])).is_err());
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

    #[test]
    fn bounds_hold_for_every_positive_size() {
        let a = Dim::symbol(Symbol(0));
        assert!((&a - &Dim::from(1)).is_at_least(0));
        assert!(!(&a - &Dim::from(2)).is_at_least(0));
        assert!((&Dim::number(-1) * &a).is_negative());
        assert!(!(&Dim::from(1) - &a).is_negative());
        assert!(a.floor_div(&Dim::from(2)).is_at_least(0));
        assert!(Dim::max(&a, &Dim::from(4)).is_at_least(4));
        assert!(!Dim::min(&a, &Dim::number(-1)).is_at_least(0));
    }

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

    #[test]
    fn an_unbound_symbol_is_an_error() {
        assert!(Dim::symbol(Symbol(3)).eval(&bind(&[1])).is_err());
    }
}
