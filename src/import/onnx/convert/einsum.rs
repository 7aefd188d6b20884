//! `Einsum` as products of matrices, whose kernels are the fast ones.

use crate::{
    error::Result,
    graph::{Graph, ValueId},
    ops::{
        moves::{expand::Expand, identity::Identity, reshape::Reshape, transpose::Transpose},
        pointwise::{Binary, BinaryFunction},
        product::{einsum::Einsum, matmul::MatMul},
        reduce::{Reduce, ReduceFunction},
    },
    shape::{Dim, Shape},
    tensor::DType,
};

/// A value and the label of each of its axes.
struct Term {
    id: ValueId,
    labels: Vec<usize>,
}

/// The sums of an `Einsum` of f32, one operand after the other; `None` where they are no products of
/// matrices: diagonals.
pub(super) fn in_products(
    graph: &mut Graph,
    name: &str,
    equation: &str,
    inputs: &[Option<ValueId>],
) -> Result<Option<Vec<ValueId>>> {
    let Some(ids) = inputs.iter().copied().collect::<Option<Vec<ValueId>>>() else { return Ok(None) };
    let facts: Vec<_> = ids.iter().map(|&id| graph.fact(id)).collect();
    if facts.iter().any(|fact| fact.dtype != DType::F32 || !fact.is_tensor()) {
        return Ok(None);
    }
    let ranks: Vec<usize> = facts.iter().map(|fact| fact.shape.rank()).collect();
    // The decoder says what is wrong with an equation.
    let Ok(op) = Einsum::parse(equation, &ranks) else { return Ok(None) };
    let mut sizes: Vec<Option<Dim>> = vec![None; op.operands.iter().flatten().max().map_or(0, |last| last + 1)];
    for (labels, fact) in op.operands.iter().zip(&facts) {
        for (axis, (&label, size)) in labels.iter().zip(fact.shape.dims()).enumerate() {
            let size = sizes[label].as_ref().map_or_else(|| Some(size.clone()), |own| own.broadcast(size));
            if size.is_none() || labels[..axis].contains(&label) {
                return Ok(None);
            }
            sizes[label] = size;
        }
    }
    let sizes: Vec<Dim> = sizes.into_iter().map(|size| size.unwrap_or_else(|| Dim::from(1))).collect();
    let mut builder = Builder { graph, name, sizes };
    let operands = ids;
    let ids: Vec<ValueId> =
        operands.iter().zip(&op.operands).map(|(&id, labels)| builder.whole(id, labels)).collect::<Result<_>>()?;
    let mut whole: Option<Term> = None;
    for (index, (&id, labels)) in ids.iter().zip(&op.operands).enumerate() {
        let later = &op.operands[index + 1..];
        let own = |label: &usize| op.result.contains(label) || later.iter().any(|labels| labels.contains(label));
        let next = Term { id, labels: labels.clone() };
        let next = match &whole {
            None => builder.reduced(next, &own)?,
            Some(whole) => builder.reduced(next, &|label| own(label) || whole.labels.contains(label))?,
        };
        whole = Some(match whole {
            None => next,
            Some(whole) => {
                let whole = builder.reduced(whole, &|label| own(label) || next.labels.contains(label))?;
                builder.product(whole, next, &own)?
            }
        });
    }
    let Some(whole) = whole else { return Ok(None) };
    let whole = builder.reduced(whole, &|label| op.result.contains(label))?;
    let made = builder.ordered(&whole, &op.result)?;
    // An operand is no result of the node, which has a name of its own.
    let is_operand = operands.contains(&made);
    Ok(Some(vec![if is_operand { graph.apply(name, Identity, &[made])? } else { made }]))
}

struct Builder<'a> {
    graph: &'a mut Graph,
    name: &'a str,
    /// The size of each label.
    sizes: Vec<Dim>,
}

impl Builder<'_> {
    /// An operand in the sizes of its labels, which may be larger than 1 where its own is, or may be.
    fn whole(&mut self, id: ValueId, labels: &[usize]) -> Result<ValueId> {
        let shape: Vec<Dim> = labels.iter().map(|&label| self.sizes[label].clone()).collect();
        match self.graph.fact(id).shape.dims() == shape {
            true => Ok(id),
            false => self.graph.apply(self.name, Expand { shape }, &[id]),
        }
    }

    /// The sums over the labels that are not kept.
    fn reduced(&mut self, term: Term, kept: &dyn Fn(&usize) -> bool) -> Result<Term> {
        let axes: Vec<i64> =
            term.labels.iter().zip(0..).filter(|(label, _)| !kept(label)).map(|(_, axis)| axis).collect();
        if axes.is_empty() {
            return Ok(term);
        }
        let sum = Reduce { function: ReduceFunction::Sum, axes: Some(axes), keep_dims: false };
        let id = self.graph.apply(self.name, sum, &[term.id])?;
        Ok(Term { id, labels: term.labels.into_iter().filter(|label| kept(label)).collect() })
    }

    /// The value with its axes in another order.
    fn ordered(&mut self, term: &Term, order: &[usize]) -> Result<ValueId> {
        if term.labels == order {
            return Ok(term.id);
        }
        let place = |label: &usize| term.labels.iter().position(|own| own == label).unwrap_or_default();
        self.graph.apply(self.name, Transpose { perm: Some(order.iter().map(place).collect()) }, &[term.id])
    }

    /// The value with axes of these labels, those of each group joined.
    fn grouped(&mut self, term: &Term, groups: &[&[usize]]) -> Result<ValueId> {
        let id = self.ordered(term, &groups.concat())?;
        self.shaped(id, groups)
    }

    fn shaped(&mut self, id: ValueId, groups: &[&[usize]]) -> Result<ValueId> {
        let size = |group: &&[usize]| group.iter().fold(Dim::from(1), |size, &label| &size * &self.sizes[label]);
        let shape: Shape = groups.iter().map(size).collect();
        match self.graph.fact(id).shape == shape {
            true => Ok(id),
            false => self.graph.apply(self.name, Reshape::to(&shape), &[id]),
        }
    }

    /// The products of two values, summed over the labels that both have and that are not kept.
    fn product(&mut self, a: Term, b: Term, kept: &dyn Fn(&usize) -> bool) -> Result<Term> {
        // Weights are the right factor, as elsewhere.
        let weights = |term: &Term| self.graph.constant_of(term.id).is_some();
        let (a, b) = if weights(&a) && !weights(&b) { (b, a) } else { (a, b) };
        let of = |term: &Term, fits: &dyn Fn(&usize) -> bool| -> Vec<usize> {
            term.labels.iter().copied().filter(|label| fits(label)).collect()
        };
        let batch = of(&a, &|label| b.labels.contains(label) && kept(label));
        let summed = of(&a, &|label| b.labels.contains(label) && !kept(label));
        let (left, right) = (of(&a, &|label| !b.labels.contains(label)), of(&b, &|label| !a.labels.contains(label)));
        let one: &[usize] = &[];
        let apart = |labels: &'_ [usize]| labels.chunks(1).map(<[usize]>::to_vec).collect::<Vec<_>>();
        let made = [&batch[..], &left, &right].concat();
        let id = if summed.is_empty() {
            let ones = |count: usize| vec![one; count];
            let own = apart(&[&batch[..], &left].concat());
            let a = self.grouped(&a, &[own.iter().map(Vec::as_slice).collect(), ones(right.len())].concat())?;
            let (own, rest) = (apart(&batch), apart(&right));
            let own = own.iter().map(Vec::as_slice);
            let groups: Vec<&[usize]> = own.chain(ones(left.len())).chain(rest.iter().map(Vec::as_slice)).collect();
            let b = self.grouped(&b, &groups)?;
            self.graph.apply(self.name, Binary { function: BinaryFunction::Mul }, &[a, b])?
        } else {
            let outer = apart(&batch);
            let outer: Vec<&[usize]> = outer.iter().map(Vec::as_slice).collect();
            // Rows of a product with one matrix need not be joined, so that items stay apart.
            let rows = if batch.is_empty() && !left.is_empty() { apart(&left) } else { vec![left.clone()] };
            let rows: Vec<&[usize]> = rows.iter().map(Vec::as_slice).collect();
            let a = self.grouped(&a, &[outer.clone(), rows, vec![&summed[..]]].concat())?;
            let b = self.grouped(&b, &[outer, vec![&summed[..], &right[..]]].concat())?;
            self.graph.apply(self.name, MatMul {}, &[a, b])?
        };
        let groups = apart(&made);
        let id = self.shaped(id, &groups.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        Ok(Term { id, labels: made })
    }
}
