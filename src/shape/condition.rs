//! What must hold of the sizes of a run.

use std::cell::RefCell;

use crate::{
    error::{Error, Result},
    shape::{Bindings, Dim, Symbol},
};

/// How two sizes must be related.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Relation {
    Equal,
    Unequal,
    AtLeast,
    Broadcast,
}

/// What must hold of two sizes in each run, because inferred shapes assume it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Condition {
    /// What has the first size.
    what: &'static str,
    left: Dim,
    relation: Relation,
    right: Dim,
}

impl Condition {
    /// `what`, of size `left`, must be of size `right`.
    pub(crate) fn equal(what: &'static str, left: &Dim, right: &Dim) -> Self {
        Self { what, left: left.clone(), relation: Relation::Equal, right: right.clone() }
    }

    /// `what`, of size `left`, must not be of size `right`.
    #[cfg_attr(not(feature = "onnx"), allow(dead_code, reason = "the importer of ONNX files alone assumes it"))]
    pub(crate) fn unequal(what: &'static str, left: &Dim, right: &Dim) -> Self {
        Self { what, left: left.clone(), relation: Relation::Unequal, right: right.clone() }
    }

    /// `what`, of size `left`, must be at least of size `right`.
    pub(crate) fn at_least(what: &'static str, left: &Dim, right: &Dim) -> Self {
        Self { what, left: left.clone(), relation: Relation::AtLeast, right: right.clone() }
    }

    /// `what`, of size `left`, must be equal to `right`, or one of the two 1.
    pub(crate) fn broadcast(what: &'static str, left: &Dim, right: &Dim) -> Self {
        Self { what, left: left.clone(), relation: Relation::Broadcast, right: right.clone() }
    }

    /// Whether it holds in every run, or in none; `None` where only the run tells.
    pub(crate) fn decide(&self) -> Option<bool> {
        let Self { left, right, .. } = self;
        if !left.is_valid() || !right.is_valid() {
            return None;
        }
        let one = Some(1);
        match self.relation {
            Relation::Unequal if left == right => Some(false),
            Relation::Unequal => (left - right).as_fixed().map(|difference| difference != 0),
            _ if left == right => Some(true),
            Relation::Equal => (left - right).as_fixed().map(|difference| difference == 0),
            Relation::Broadcast if left.as_fixed() == one || right.as_fixed() == one => Some(true),
            Relation::Broadcast => left.as_fixed().and(right.as_fixed()).and(Some(false)),
            Relation::AtLeast if (left - right).is_never_negative() => Some(true),
            Relation::AtLeast => (right - left).least().filter(|&least| least > 0).and(Some(false)),
        }
    }

    /// Whether it depends on the symbol.
    pub(crate) fn mentions(&self, symbol: Symbol) -> bool {
        self.left.mentions(symbol) || self.right.mentions(symbol)
    }

    /// The symbols of both sizes.
    pub(crate) fn symbols(&self) -> Vec<Symbol> {
        let all = RefCell::new(Vec::new());
        let note = |symbol| {
            all.borrow_mut().push(symbol);
            true
        };
        let _ = self.left.all_symbols(&note) && self.right.all_symbols(&note);
        all.into_inner()
    }

    /// Whether all symbols of both sizes are bound.
    pub(crate) fn is_bound(&self, bindings: &Bindings) -> bool {
        let bound = |symbol| bindings.get(symbol).is_some();
        self.left.all_symbols(&bound) && self.right.all_symbols(&bound)
    }

    /// The terms and factors of both sizes.
    pub(crate) fn weight(&self) -> usize {
        self.left.weight() + self.right.weight()
    }

    /// The condition with the numbers of the symbols that are bound.
    #[must_use]
    pub(crate) fn substitute(&self, bindings: &Bindings) -> Self {
        Self { left: self.left.substitute(bindings), right: self.right.substitute(bindings), ..self.clone() }
    }

    /// Checks the condition in a run.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) where it does not hold, or a size
    /// cannot be evaluated.
    pub(crate) fn check(&self, bindings: &Bindings) -> Result<()> {
        let (left, right) = (self.left.eval(bindings)?, self.right.eval(bindings)?);
        let holds = match self.relation {
            Relation::Equal => left == right,
            Relation::Unequal => left != right,
            Relation::AtLeast => left >= right,
            Relation::Broadcast => left == right || left == 1 || right == 1,
        };
        if holds { Ok(()) } else { Err(Error::invalid_input(self.violated(&left, &right))) }
    }

    /// The message for sizes that violate it.
    pub(crate) fn violation(&self) -> String {
        self.violated(&self.left, &self.right)
    }

    fn violated(&self, left: &dyn std::fmt::Display, right: &dyn std::fmt::Display) -> String {
        let what = self.what;
        match self.relation {
            Relation::Equal => format!("{what} is of size {left} where {right} is needed"),
            Relation::Unequal => format!("{what} is of size {left} where any but {right} is needed"),
            Relation::AtLeast => format!("{what} is of size {left} where at least {right} is needed"),
            Relation::Broadcast => format!("{what} of sizes {left} and {right} cannot be broadcast"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_decided_where_sizes_are_known() {
        let [a, b] = [0, 1].map(|index| Dim::symbol(Symbol(index)));
        let (two, three) = (Dim::from(2), Dim::from(3));
        let decided = [
            (Condition::equal("x", &a, &a), Some(true)),
            (Condition::equal("x", &a, &b), None),
            (Condition::equal("x", &two, &three), Some(false)),
            (Condition::unequal("x", &a, &a), Some(false)),
            (Condition::unequal("x", &a, &b), None),
            (Condition::unequal("x", &two, &three), Some(true)),
            (Condition::at_least("x", &(&a + &two), &two), Some(true)),
            (Condition::at_least("x", &two, &(&a + &three)), Some(false)),
            (Condition::at_least("x", &a, &two), None),
            (Condition::broadcast("x", &two, &Dim::from(1)), Some(true)),
            (Condition::broadcast("x", &two, &three), Some(false)),
            (Condition::broadcast("x", &a, &three), None),
        ];
        for (condition, want) in decided {
            assert_eq!(condition.decide(), want, "{condition:?}");
        }
        assert!(Condition::equal("x", &a, &b).check(&Bindings::of(&[2, 2])).is_ok());
        let error = Condition::at_least("an axis", &a, &three).check(&Bindings::of(&[2])).unwrap_err();
        assert!(error.to_string().contains("an axis is of size 2 where at least 3 is needed"), "{error}");
    }
}
