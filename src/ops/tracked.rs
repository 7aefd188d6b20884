//! Tracked elements, through operators that move them.

use crate::{
    error::Result,
    graph::{Fact, MAX_TRACKED},
    shape::{Dim, Shape},
    tensor::{DType, View, ViewMut},
};

/// The tracked elements of a result of `shape`, moved there by the operator's `kernel`.
///
/// The kernel moves the elements' positions instead. `None` where an element or a size is unknown,
/// or the kernel fails.
pub(crate) fn moved(
    operands: &[&Fact],
    shape: &Shape,
    kernel: impl FnOnce(&[View<'_>], &mut ViewMut<'_>) -> Result<()>,
) -> Option<Vec<Dim>> {
    let shape = shape.as_fixed()?;
    let count = shape.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim))?;
    if count > MAX_TRACKED {
        return None;
    }
    let mut pool: Vec<&Dim> = Vec::new();
    let mut numbers: Vec<(Vec<usize>, Vec<i64>)> = Vec::with_capacity(operands.len());
    for fact in operands {
        let elements = fact.elements.as_ref()?;
        numbers.push((fact.shape.as_fixed()?, (pool.len() as i64..).take(elements.len()).collect()));
        pool.extend(elements);
    }
    let views: Vec<View<'_>> = numbers.iter().map(|(shape, numbers)| view(shape, numbers)).collect();
    let mut output = vec![0i64; count];
    kernel(&views, &mut ViewMut { dtype: DType::I64, shape: &shape, bytes: bytemuck::cast_slice_mut(&mut output) })
        .ok()?;
    output.into_iter().map(|number| pool.get(number as usize).map(|&dim| dim.clone())).collect()
}

/// The shape of an operand and its elements, if all are known numbers.
pub(crate) fn numbers(fact: &Fact) -> Option<(Vec<usize>, Vec<i64>)> {
    let elements = fact.elements.as_ref()?.iter().map(Dim::as_fixed).collect::<Option<_>>()?;
    Some((fact.shape.as_fixed()?, elements))
}

/// A view of integers for a kernel.
pub(crate) fn view<'a>(shape: &'a [usize], integers: &'a [i64]) -> View<'a> {
    View { dtype: DType::I64, shape, bytes: bytemuck::cast_slice(integers) }
}
