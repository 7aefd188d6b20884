//! Moves pointwise operators after a look-up into the constant table.

use crate::{
    error::Result,
    graph::ValueId,
    ops::{
        index::gather::Gather,
        pointwise::{Binary, BinaryFunction, Unary},
    },
    rewrite::rewriter::Rewriter,
    tensor::Tensor,
};

/// The most elements of a table that is made from another.
const MAX_TABLE: usize = 1 << 22;

pub(super) fn rule(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    if let Some((op, &[Some(input)])) = rewriter.is::<Unary>(index) {
        let op = *op;
        let Some(lookup) = lookup(rewriter, input) else { return Ok(()) };
        let table = rewriter.insert(index, op, vec![Some(lookup.table)])?;
        return rewriter.replace(index, lookup.gather, vec![Some(table), Some(lookup.ids)]);
    }
    let Some((op, &[Some(a), Some(b)])) = rewriter.is::<Binary>(index) else { return Ok(()) };
    let op = *op;
    // Rows that no look-up reads must not fail.
    let fails = matches!(op.function, BinaryFunction::Div | BinaryFunction::Mod { .. } | BinaryFunction::Pow);
    if fails && !rewriter.fact(a).dtype.is_float() {
        return Ok(());
    }
    let (found, operands) = match (lookup(rewriter, a), lookup(rewriter, b)) {
        (Some(x), Some(y)) if x.ids == y.ids && x.gather == y.gather && a_table_each(rewriter, &x, &y) => {
            let tables = [x.table, y.table];
            (x, tables)
        }
        (Some(x), None) => {
            let Some(row) = row_constant(rewriter, b, &x) else { return Ok(()) };
            let operands = [x.table, rewriter.add_constant("row", row)];
            (x, operands)
        }
        (None, Some(y)) => {
            let Some(row) = row_constant(rewriter, a, &y) else { return Ok(()) };
            let operands = [rewriter.add_constant("row", row), y.table];
            (y, operands)
        }
        _ => return Ok(()),
    };
    let table = rewriter.insert(index, op, operands.map(Some).to_vec())?;
    if rewriter.fact(table).shape != rewriter.fact(found.table).shape {
        return Ok(());
    }
    rewriter.replace(index, found.gather, vec![Some(table), Some(found.ids)])
}

struct Lookup {
    gather: Gather,
    table: ValueId,
    ids: ValueId,
}

/// A look-up of rows in a table that is constant or will be folded.
fn lookup(rewriter: &Rewriter<'_>, id: ValueId) -> Option<Lookup> {
    let (gather, inputs) = rewriter.made_by::<Gather>(id)?;
    let &[Some(table), Some(ids)] = inputs else { return None };
    let elements = rewriter.fact(table).shape.fixed_elements().ok()??;
    let small = elements <= MAX_TABLE || rewriter.used_once(id);
    let fits = gather.axis == 0 && small && is_constant(rewriter, table);
    fits.then(|| Lookup { gather: gather.clone(), table, ids })
}

/// Whether a value is a constant, or this pass's node on constants alone.
fn is_constant(rewriter: &Rewriter<'_>, id: ValueId) -> bool {
    let mut pending = vec![id];
    let mut seen = 0;
    while let Some(id) = pending.pop() {
        seen += 1;
        if rewriter.constant(id).is_some() {
            continue;
        }
        let Some(producer) = rewriter.producer(id).filter(|_| seen < 64) else { return false };
        pending.extend(rewriter.node(producer).inputs.iter().flatten());
    }
    true
}

fn a_table_each(rewriter: &Rewriter<'_>, a: &Lookup, b: &Lookup) -> bool {
    rewriter.fact(a.table).shape == rewriter.fact(b.table).shape
}

/// A constant that is equal for all rows, in a row's dimensions.
fn row_constant(rewriter: &Rewriter<'_>, id: ValueId, lookup: &Lookup) -> Option<Tensor> {
    let constant = rewriter.constant(id)?;
    let row = rewriter.fact(lookup.table).shape.rank() - 1;
    let (lead, own) = constant.shape().split_at(constant.shape().len().saturating_sub(row));
    // More dimensions than the look-up's would change the result's shape.
    let fits = lead.iter().all(|&size| size == 1) && lead.len() <= rewriter.fact(lookup.ids).shape.rank();
    if fits { (**constant).clone().reshape(own.to_vec()).ok() } else { None }
}
