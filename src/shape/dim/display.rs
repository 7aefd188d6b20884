//! Expressions as text, such as `2*s0+3`.

use std::fmt;

use crate::shape::dim::{Dim, Factor, Function};

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.named(&[]).fmt(f)
    }
}

impl Dim {
    /// The expression with these names of symbols, by their numbers; a symbol without one is `s` and its number.
    pub(crate) fn named<'a>(&'a self, names: &'a [String]) -> impl fmt::Display + 'a {
        Named { dim: self, names }
    }
}

/// An expression and the names of its symbols.
struct Named<'a> {
    dim: &'a Dim,
    names: &'a [String],
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dim, names } = *self;
        if !dim.valid {
            return f.write_str("(overflow)");
        }
        if dim.terms.is_empty() {
            return write!(f, "{}", dim.constant);
        }
        for (index, (factors, coefficient)) in dim.terms.iter().enumerate() {
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
                    Factor::Symbol(symbol) => match names.get(symbol.0 as usize) {
                        Some(name) => f.write_str(name)?,
                        None => write!(f, "s{}", symbol.0)?,
                    },
                    Factor::Call(function, arguments) => {
                        let (a, b) = (arguments.0.named(names), arguments.1.named(names));
                        match function {
                            Function::FloorDiv => write!(f, "(({a})/({b}))")?,
                            Function::Max => write!(f, "max({a}, {b})")?,
                            Function::Min => write!(f, "min({a}, {b})")?,
                            Function::Broadcast => write!(f, "broadcast({a}, {b})")?,
                            Function::Wrap => write!(f, "({a} from the end of {b})")?,
                            Function::OrElse => write!(f, "({a} or else {b})")?,
                        }
                    }
                }
            }
        }
        if dim.constant != 0 {
            write!(f, "{:+}", dim.constant)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
