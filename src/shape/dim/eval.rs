//! The value of an expression in one run.

use crate::{
    error::{Error, Result},
    shape::{
        bindings::Bindings,
        dim::{Dim, Factor, Function},
    },
};

impl Dim {
    /// The value in a run.
    ///
    /// # Errors
    /// If a symbol is unbound, or the arithmetic overflows or divides by zero.
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
                            Function::Broadcast if a == b || b == 1 => a,
                            Function::Broadcast if a == 1 => b,
                            Function::Broadcast => return Err(fail(&format!("broadcasts {a} with {b}"))),
                            Function::Wrap if a < 0 => a.checked_add(b).ok_or_else(|| fail("overflows"))?,
                            Function::OrElse if a == 0 => b,
                            Function::Wrap | Function::OrElse => a,
                        }
                    }
                };
                product = product.checked_mul(value).ok_or_else(|| fail("overflows"))?;
            }
            sum = sum.checked_add(product).ok_or_else(|| fail("overflows"))?;
        }
        Ok(sum)
    }

    /// The value in a run as a size.
    ///
    /// # Errors
    /// As [`eval`](Self::eval), and if the value is negative.
    pub(crate) fn eval_size(&self, bindings: &Bindings) -> Result<usize> {
        usize::try_from(self.eval(bindings)?).map_err(|_| Error::invalid_input(format!("the size {self} is negative")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Symbol;

    #[test]
    fn an_unbound_symbol_is_an_error() {
        assert!(Dim::symbol(Symbol(3)).eval(&Bindings::of(&[1])).is_err());
    }
}
