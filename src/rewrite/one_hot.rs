//! Turns a product with a one-hot matrix into a look-up of rows.

use crate::{
    error::Result,
    graph::ValueId,
    ops::{
        index::gather::{Gather, OutOfRange},
        moves::reshape::Reshape,
        pointwise::BinaryFunction,
        product::matmul::MatMul,
    },
    rewrite::rewriter::Rewriter,
    shape::{Dim, Shape},
    tensor::Tensor,
};

/// `(ids == 0..depth) x table` is row `id` of the table, and zeros for an id out of range.
pub(super) fn rule(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let Some((_, &[Some(hot), Some(table)])) = rewriter.is::<MatMul>(index) else { return Ok(()) };
    let Some((ids, rows)) = parts(rewriter, hot, table) else { return Ok(()) };
    let depth = rows.shape()[0];
    let shape = &rewriter.fact(hot).shape;
    let flat = Shape::new(&shape.dims()[..shape.rank() - 1]);
    let ids = rewriter.insert(index, Reshape::to(&flat), vec![Some(ids)])?;
    let table = rewriter.add_constant("one-hot table", rows_and_zeros(&rows)?);
    rewriter.replace(index, Gather { axis: 0, outside: OutOfRange::Row(depth) }, vec![Some(table), Some(ids)])
}

/// The ids `[.., 1]` and the table.
fn parts(rewriter: &Rewriter<'_>, hot: ValueId, table: ValueId) -> Option<(ValueId, Tensor)> {
    let table = rewriter.constant(table)?;
    let rows = table.as_slice::<f32>().ok()?;
    let &[depth, _] = table.shape() else { return None };
    // Zero times a non-finite number is not zero.
    if !rows.iter().all(|value| value.is_finite()) {
        return None;
    }
    let (a, b) = rewriter.binary(rewriter.below_cast_to_f32(hot)?, BinaryFunction::Equal)?;
    [(a, b), (b, a)].into_iter().find_map(|(ids, range)| {
        let shape = &rewriter.fact(ids).shape;
        let of_one = shape.dims().last() == Some(&Dim::from(1)) && shape.rank() == rewriter.fact(hot).shape.rank();
        let counts = rewriter.constant(range)?.to_i64().ok()?;
        let counts_up = counts.iter().copied().eq(0..depth as i64) && counts.len() == depth;
        let along_last = rewriter.constant(range)?.shape().last() == Some(&depth);
        (of_one && counts_up && along_last).then(|| (ids, (**table).clone()))
    })
}

fn rows_and_zeros(table: &Tensor) -> Result<Tensor> {
    let (depth, width) = (table.shape()[0], table.shape()[1]);
    let mut rows = table.as_slice::<f32>()?.to_vec();
    rows.resize((depth + 1) * width, 0.0);
    Tensor::new([depth + 1, width], &rows)
}
