//! Dimensions: fixed numbers or expressions over symbols that each run binds.

mod bindings;
mod condition;
mod dim;

use std::fmt;

pub use bindings::{Bindings, Symbol};
pub use condition::Condition;
pub use dim::Dim;

use crate::error::{Error, Result};

/// The most elements that one tensor may have; a file that asks for more is refused.
pub const MAX_ELEMENTS: usize = 1 << 40;

/// The dimensions of a value, outermost first; each may be symbolic.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Shape(Vec<Dim>);

impl Shape {
    /// A shape of these dimensions.
    #[doc(hidden)]
    pub fn new(dims: impl Into<Vec<Dim>>) -> Self {
        Self(dims.into())
    }

    /// A shape of fixed dimensions.
    #[doc(hidden)]
    pub fn fixed(dims: &[usize]) -> Self {
        Self(dims.iter().map(|&dim| Dim::from(dim)).collect())
    }

    /// The shape of a scalar: no dimensions.
    pub(crate) fn scalar() -> Self {
        Self::default()
    }

    /// The number of dimensions.
    #[doc(hidden)]
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The dimensions.
    pub fn dims(&self) -> &[Dim] {
        &self.0
    }

    /// All dimensions as numbers, if none is symbolic.
    pub fn as_fixed(&self) -> Option<Vec<usize>> {
        self.0.iter().map(|dim| dim.as_fixed().and_then(|n| usize::try_from(n).ok())).collect()
    }

    /// The number of elements.
    pub(crate) fn elements(&self) -> Dim {
        self.0.iter().fold(Dim::from(1), |product, dim| product * dim)
    }

    /// Why a size cannot be told, if there is such a one.
    pub(crate) fn not_kept(&self) -> Option<String> {
        let axis = self.0.iter().position(|dim| !dim.is_valid())?;
        Some(format!(
            "the size of axis {axis} overflows, or its expression is longer than is kept; fixed sizes of the inputs \
             (`ImportOptions::input_shape`) shorten it"
        ))
    }

    /// The number of elements, if it is fixed.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) past [`MAX_ELEMENTS`].
    pub(crate) fn fixed_elements(&self) -> Result<Option<usize>> {
        let too_large = || Error::limit(format!("a tensor of shape {self} is larger than {MAX_ELEMENTS} elements"));
        if let Some(reason) = self.not_kept() {
            return Err(Error::limit(reason));
        }
        let Some(dims) = self.as_fixed() else { return Ok(None) };
        if dims.contains(&0) {
            return Ok(Some(0));
        }
        let count = dims.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim));
        count.filter(|&count| count <= MAX_ELEMENTS).map(Some).ok_or_else(too_large)
    }

    /// The result of broadcasting two shapes as NumPy does.
    ///
    /// Calls `assume` for each pair of sizes of which only a run tells whether they fit.
    ///
    /// # Errors
    /// If two dimensions are unlike numbers, neither of them 1.
    pub(crate) fn broadcast(&self, other: &Self, assume: &mut dyn FnMut(Condition)) -> Result<Self> {
        let rank = self.rank().max(other.rank());
        let one = Dim::from(1);
        let at = |shape: &'_ Self, axis: usize| -> Dim {
            (axis + shape.rank()).checked_sub(rank).map_or_else(|| one.clone(), |axis| shape.0[axis].clone())
        };
        (0..rank)
            .map(|axis| {
                let (a, b) = (at(self, axis), at(other, axis));
                let condition = Condition::broadcast("axes", &a, &b);
                if condition.decide().is_none() {
                    assume(condition);
                }
                a.broadcast(&b)
                    .ok_or_else(|| Error::invalid_input(format!("shapes {self} and {other} cannot be broadcast")))
            })
            .collect::<Result<Vec<_>>>()
            .map(Self)
    }

    /// The index of an ONNX axis, whose negative values count from the end.
    ///
    /// # Errors
    /// As [`normalize_axis`].
    pub(crate) fn axis(&self, axis: i64) -> Result<usize> {
        normalize_axis(axis, self.rank())
    }

    /// The shape with the numbers of the symbols that are bound.
    #[must_use]
    pub(crate) fn substitute(&self, bindings: &Bindings) -> Self {
        self.0.iter().map(|dim| dim.substitute(bindings)).collect()
    }

    /// Appends the value of every dimension to `out`.
    ///
    /// # Errors
    /// If a symbol is unbound or a dimension is negative.
    pub(crate) fn eval_into(&self, bindings: &Bindings, out: &mut Vec<usize>) -> Result<()> {
        for dim in &self.0 {
            out.push(dim.eval_size(bindings)?);
        }
        Ok(())
    }
}

/// The index, below `rank`, of an ONNX axis, whose negative values count from the end.
///
/// # Errors
/// [`ErrorKind::InvalidModel`](crate::ErrorKind::InvalidModel) if it is out of range.
pub fn normalize_axis(axis: i64, rank: usize) -> Result<usize> {
    let wide = rank as i64;
    let index = if axis < 0 { axis.saturating_add(wide) } else { axis };
    if (0..wide).contains(&index) {
        Ok(index as usize)
    } else {
        Err(Error::invalid_model(format!("axis {axis} is out of range for {rank} dimensions")))
    }
}

/// Row-major strides of a shape, in elements.
pub fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
    }
    strides
}

impl std::ops::Index<usize> for Shape {
    type Output = Dim;
    fn index(&self, axis: usize) -> &Dim {
        &self.0[axis]
    }
}

impl FromIterator<Dim> for Shape {
    fn from_iter<I: IntoIterator<Item = Dim>>(dims: I) -> Self {
        Self(dims.into_iter().collect())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (axis, dim) in self.0.iter().enumerate() {
            write!(f, "{}{dim}", if axis == 0 { "" } else { ", " })?;
        }
        f.write_str("]")
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcast_follows_numpy() {
        let n = Dim::symbol(Symbol(0));
        let a = Shape::new(vec![n.clone(), Dim::from(1), Dim::from(3)]);
        let b = Shape::fixed(&[4, 1]);
        assert_eq!(a.broadcast(&b, &mut |_| ()).unwrap(), Shape::new(vec![n, Dim::from(4), Dim::from(3)]));
        assert!(Shape::fixed(&[2]).broadcast(&Shape::fixed(&[3]), &mut |_| ()).is_err());
        let mut assumed = Vec::new();
        let c = Shape::new(vec![Dim::symbol(Symbol(1)), Dim::symbol(Symbol(0))]);
        let met = a.broadcast(&c, &mut |condition| assumed.push(condition)).unwrap();
        assert_eq!((met.to_string().as_str(), assumed.len()), ("[s0, s1, 3]", 1));
    }

    #[test]
    fn element_counts_are_capped() {
        assert!(Shape::fixed(&[usize::MAX, 3]).fixed_elements().is_err());
        assert_eq!(Shape::fixed(&[1 << 20, 0, 1 << 30]).fixed_elements().unwrap(), Some(0));
    }
}
