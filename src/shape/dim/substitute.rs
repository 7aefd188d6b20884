//! Expressions with some symbols replaced by numbers.

use crate::shape::{
    Bindings,
    dim::{Dim, Factor, Function},
};

impl Dim {
    /// The expression with the numbers of the symbols that are bound.
    #[must_use]
    pub(crate) fn substitute(&self, bindings: &Bindings) -> Self {
        if !self.valid || self.terms.is_empty() {
            return self.clone();
        }
        let product = |(factors, coefficient): &(Vec<Factor>, i64)| {
            let start = Self::number(*coefficient);
            factors.iter().fold(start, |product, factor| product * &factor.substitute(bindings))
        };
        self.terms.iter().map(product).fold(Self::number(self.constant), |sum, term| sum + &term)
    }
}

impl Factor {
    fn substitute(&self, bindings: &Bindings) -> Dim {
        match self {
            Self::Symbol(symbol) => bindings.get(*symbol).map_or_else(|| Dim::symbol(*symbol), Dim::from),
            Self::Call(function, operands) => {
                let (a, b) = (operands.0.substitute(bindings), operands.1.substitute(bindings));
                match function {
                    Function::FloorDiv => a.floor_div(&b),
                    Function::Max => Dim::max(&a, &b),
                    Function::Min => Dim::min(&a, &b),
                    Function::Broadcast => a.broadcast(&b).unwrap_or_else(Dim::invalid),
                    Function::Wrap => a.wrap(&b),
                    Function::OrElse => a.or_else(&b),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Symbol;

    #[test]
    fn bound_symbols_become_numbers() {
        let (a, b) = (Dim::symbol(Symbol(0)), Dim::symbol(Symbol(1)));
        let dim = (&a * &b).floor_div(&Dim::from(4)) + Dim::max(&(&a + &Dim::from(1)), &b);
        let some = dim.substitute(&Bindings::of(&[6]));
        assert_eq!(some, (&Dim::from(6) * &b).floor_div(&Dim::from(4)) + Dim::max(&Dim::from(7), &b));
        assert_eq!(dim.substitute(&Bindings::of(&[6, 3])).as_fixed(), Some(11));
    }
}
