//! Patterns that rules match: scalars, flattened products, reductions.

use crate::{
    graph::ValueId,
    ops::{
        moves::{expand::Expand, reshape::Reshape},
        pointwise::{Binary, BinaryFunction, Unary, UnaryFunction, cast::Cast},
        reduce::{Reduce, ReduceFunction},
    },
    rewrite::rewriter::Rewriter,
    shape::{Dim, normalize_axis},
    tensor::DType,
};

/// The most factors that a product is flattened into.
const MAX_FACTORS: usize = 8;

/// A product of values times a scalar.
#[derive(Debug)]
pub(super) struct Product {
    pub(super) scalar: f64,
    pub(super) factors: Vec<ValueId>,
}

impl Rewriter<'_> {
    /// The number of an f32 constant of one element.
    pub(super) fn scalar(&self, id: ValueId) -> Option<f32> {
        match self.constant(id)?.as_slice::<f32>().ok()? {
            [value] => Some(*value),
            _ => None,
        }
    }

    /// The operand of that function, if it produces the value.
    pub(super) fn unary(&self, id: ValueId, function: UnaryFunction) -> Option<ValueId> {
        let (op, inputs) = self.made_by::<Unary>(id)?;
        if op.function == function { inputs[0] } else { None }
    }

    /// The operands of that function, if it produces the value.
    pub(super) fn binary(&self, id: ValueId, function: BinaryFunction) -> Option<(ValueId, ValueId)> {
        let (op, inputs) = self.made_by::<Binary>(id)?;
        match inputs {
            [Some(a), Some(b)] if op.function == function => Some((*a, *b)),
            _ => None,
        }
    }

    /// Both orders of the operands of that function; none if the node is another.
    pub(super) fn both_orders(&self, index: usize, function: BinaryFunction) -> Vec<(ValueId, ValueId)> {
        let [output] = self.node(index).outputs[..] else { return Vec::new() };
        self.binary(output, function).map_or_else(Vec::new, |(a, b)| vec![(a, b), (b, a)])
    }

    /// The other operand of a commutative function with a scalar that passes `test`.
    pub(super) fn with_scalar(
        &self,
        id: ValueId,
        function: BinaryFunction,
        test: impl Fn(f32) -> bool,
    ) -> Option<ValueId> {
        let (a, b) = self.binary(id, function)?;
        if self.scalar(a).is_some_and(&test) {
            Some(b)
        } else if self.scalar(b).is_some_and(&test) {
            Some(a)
        } else {
            None
        }
    }

    /// The value as a scalar times factors.
    ///
    /// `Mul`, `Div` by a scalar, and powers of 2 and 3 are flattened.
    pub(super) fn product(&self, id: ValueId) -> Product {
        let mut product = Product { scalar: 1.0, factors: Vec::new() };
        let mut pending = vec![id];
        while let Some(id) = pending.pop() {
            if pending.len() + product.factors.len() >= MAX_FACTORS {
                product.factors.push(id);
            } else if let Some(scalar) = self.scalar(id) {
                product.scalar *= f64::from(scalar);
            } else if let Some((a, b)) = self.binary(id, BinaryFunction::Mul) {
                pending.extend([a, b]);
            } else if let Some((a, b)) = self.binary(id, BinaryFunction::Div)
                && let Some(scalar) = self.scalar(b)
            {
                product.scalar /= f64::from(scalar);
                pending.push(a);
            } else if let Some((a, b)) = self.binary(id, BinaryFunction::Pow)
                && let Some(power @ (2.0 | 3.0)) = self.scalar(b)
            {
                pending.extend(std::iter::repeat_n(a, power as usize));
            } else {
                product.factors.push(id);
            }
        }
        product.factors.sort_unstable();
        product
    }

    /// The value below `Expand` and `Reshape`, which keep or repeat elements in order.
    pub(super) fn below_views(&self, mut id: ValueId) -> ValueId {
        loop {
            let below = match (self.made_by::<Reshape>(id), self.made_by::<Expand>(id)) {
                (Some((_, inputs)), _) | (_, Some((_, inputs))) => inputs[0],
                _ => None,
            };
            match below {
                Some(below) => id = below,
                None => return id,
            }
        }
    }

    /// The axes over which `id` is the reduction of `of` by `function`.
    ///
    /// `id` must align with `of` in a broadcast: the reduced dimensions are 1 or repeated, the
    /// others unchanged.
    pub(super) fn reduction(&self, id: ValueId, function: ReduceFunction, of: ValueId) -> Option<Vec<usize>> {
        let core = self.below_reshapes(self.below_expands(id));
        let axes = self.reduction_below_views(core, function, of)?;
        self.lines_up(id, &axes, of).then_some(axes)
    }

    /// Whether a value of one element for each row of `of` over `axes` broadcasts to those rows.
    pub(super) fn lines_up(&self, id: ValueId, axes: &[usize], of: ValueId) -> bool {
        // Below `Expand`, which repeats along dimensions of 1 alone.
        let (own, full) = (&self.fact(self.below_expands(id)).shape, &self.fact(of).shape);
        let one = Dim::from(1);
        let Some(lead) = full.rank().checked_sub(own.rank()) else { return false };
        (0..full.rank()).all(|axis| {
            let dim = axis.checked_sub(lead).map_or(&one, |axis| &own[axis]);
            if axes.contains(&axis) { *dim == one } else { *dim == full[axis] }
        })
    }

    /// The value below any `Expand`.
    pub(super) fn below_expands(&self, mut id: ValueId) -> ValueId {
        while let Some((_, &[Some(below), ..])) = self.made_by::<Expand>(id) {
            id = below;
        }
        id
    }

    /// The value below any `Reshape`, with the same elements in the same order.
    pub(super) fn below_reshapes(&self, mut id: ValueId) -> ValueId {
        while let Some((_, &[Some(below), ..])) = self.made_by::<Reshape>(id) {
            id = below;
        }
        id
    }

    /// As [`reduction`](Self::reduction), through any later reshape.
    pub(super) fn reduction_below_views(
        &self,
        id: ValueId,
        function: ReduceFunction,
        of: ValueId,
    ) -> Option<Vec<usize>> {
        let (op, inputs) = self.made_by::<Reduce>(self.below_views(id))?;
        if op.function != function || inputs[0] != Some(of) {
            return None;
        }
        let rank = self.fact(of).shape.rank();
        match &op.axes {
            Some(axes) => {
                let mut axes = axes.iter().map(|&axis| normalize_axis(axis, rank).ok()).collect::<Option<Vec<_>>>()?;
                axes.sort_unstable();
                Some(axes)
            }
            None => Some((0..rank).collect()),
        }
    }

    /// The value below a cast to f32.
    pub(super) fn below_cast_to_f32(&self, id: ValueId) -> Option<ValueId> {
        let (op, inputs) = self.made_by::<Cast>(id)?;
        if op.to == DType::F32 { inputs[0] } else { None }
    }
}

/// Whether two numbers are equal up to an exporter's rounding.
pub(super) fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-5 * b.abs()
}
