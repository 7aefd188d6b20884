//! Naive loops that say what each operator means; too plain to be wrong, and shared with no kernel.

#![allow(dead_code, reason = "each test binary uses a part")]

mod cast;
pub mod compare;
mod control;
mod deferred;
mod einsum;
mod images;
mod indexed;
mod losses;
mod measured;
mod moves;
mod norms;
mod pointwise;
mod products;
mod quantized;
mod random;
mod recurrent;
mod regions;
mod shapes;
mod signal;
mod strings;
mod tabular;
pub mod windows;

use gristmill::{Tensor, testing::op::Operator};

/// One operator's meaning: attributes and operands to results.
pub type Oracle = fn(&dyn Operator, &[Option<Tensor>]) -> Vec<Tensor>;

/// The oracle of the operator called `name`.
pub fn find(name: &str) -> Option<Oracle> {
    let families = [
        cast::ORACLES,
        control::ORACLES,
        deferred::ORACLES,
        einsum::ORACLES,
        images::ORACLES,
        indexed::ORACLES,
        measured::ORACLES,
        losses::ORACLES,
        moves::ORACLES,
        norms::ORACLES,
        products::ORACLES,
        quantized::ORACLES,
        random::ORACLES,
        recurrent::ORACLES,
        regions::ORACLES,
        shapes::ORACLES,
        signal::ORACLES,
        strings::ORACLES,
        tabular::ORACLES,
        windows::ORACLES,
    ];
    let named = families.into_iter().flatten().find(|(own, _)| *own == name).map(|(_, oracle)| *oracle);
    named.or_else(|| name.starts_with("Reduce").then_some(norms::reduce as Oracle)).or_else(|| pointwise::find(name))
}

/// An operator as its own type.
pub fn op<T: Operator>(op: &dyn Operator) -> &T {
    op.downcast_ref().expect("an oracle is called for its own operator")
}

/// Operand `index`.
pub fn input(inputs: &[Option<Tensor>], index: usize) -> &Tensor {
    inputs[index].as_ref().expect("the operand is there")
}

/// Every index of a shape, in row-major order.
pub fn indices(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> + '_ {
    let count = shape.iter().product::<usize>();
    (0..count).map(move |mut flat| {
        let mut index = vec![0; shape.len()];
        for axis in (0..shape.len()).rev() {
            index[axis] = flat % shape[axis];
            flat /= shape[axis];
        }
        index
    })
}

/// The position of an index in row-major order.
pub fn flat(shape: &[usize], index: &[usize]) -> usize {
    index.iter().zip(shape).fold(0, |flat, (&index, &dim)| flat * dim + index)
}

/// A tensor of the same type made by picking, for each output index, a position of `from`.
pub fn pick(from: &Tensor, shape: &[usize], at: impl Fn(&[usize]) -> usize) -> Tensor {
    let size = from.dtype().size();
    let mut bytes = Vec::new();
    for index in indices(shape) {
        let position = at(&index);
        bytes.extend_from_slice(&from.bytes()[position * size..(position + 1) * size]);
    }
    Tensor::from_bytes(from.dtype(), shape, &bytes).expect("one element an index")
}
