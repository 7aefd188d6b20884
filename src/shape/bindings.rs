//! Symbols, and their values in one run.

use smallvec::SmallVec;

/// A size that each run binds, such as the number of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(pub u32);

/// The values of symbols in one run.
#[derive(Clone, Debug, Default)]
pub struct Bindings(SmallVec<[Option<usize>; 4]>);

impl Bindings {
    /// Removes all values.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether no symbol is bound.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Binds the symbols that `other` binds.
    pub(crate) fn extend(&mut self, other: &Self) {
        for (index, value) in other.0.iter().enumerate() {
            if let Some(value) = value {
                self.bind(Symbol(index as u32), *value);
            }
        }
    }

    /// The value of a symbol, if it is bound.
    pub fn get(&self, symbol: Symbol) -> Option<usize> {
        self.0.get(symbol.0 as usize).copied().flatten()
    }

    /// Binds a symbol; if it has another value already, keeps and returns that.
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

#[cfg(test)]
impl Bindings {
    /// Binds symbols 0, 1, ... to `values`.
    pub(crate) fn of(values: &[usize]) -> Self {
        let mut bindings = Self::default();
        for (index, &value) in values.iter().enumerate() {
            bindings.bind(Symbol(index as u32), value);
        }
        bindings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_value_is_refused() {
        let mut bindings = Bindings::of(&[5]);
        assert_eq!(bindings.bind(Symbol(0), 5), None);
        assert_eq!(bindings.bind(Symbol(0), 6), Some(5));
        assert_eq!((bindings.get(Symbol(0)), bindings.get(Symbol(7))), (Some(5), None));
    }
}
