//! Expressions as text, such as `2*s0+3`.

use std::fmt;

use crate::shape::dim::{Dim, Factor, Function};

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
