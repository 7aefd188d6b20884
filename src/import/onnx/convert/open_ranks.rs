//! Nodes whose number of dimensions depends on sizes: `Squeeze` without axes, and an `If` whose
//! graphs give unlike ones by a comparison of sizes.

use crate::{
    error::{Context, Result},
    graph::ValueId,
    import::onnx::convert::{Converter, call::Call},
    op::{Attribute, Body},
    ops::{
        moves::{identity::Identity, reshape::Reshape},
        pointwise::{Binary, BinaryFunction, Unary, UnaryFunction, cast::Cast},
    },
    shape::{Condition, Dim},
    tensor::DType,
};

/// Whether the two graphs give tensors of unlike numbers of dimensions.
pub(super) fn differ(then: &Body, other: &Body) -> bool {
    let count = then.output_count().min(other.output_count());
    let ranks = |body: &Body| (0..count).map(|index| body.output(index).map(|fact| fact.shape.rank()).ok()).collect();
    let (then, other): (Vec<_>, Vec<_>) = (ranks(then), ranks(other));
    then != other
}

impl Converter<'_, '_, '_> {
    /// Whether the first graph of an `If` is taken whose graphs cannot both be built; `None` where
    /// its condition compares no sizes, or nothing is assumed yet.
    pub(super) fn taken(&mut self, condition: ValueId, place: &dyn Fn() -> String) -> Result<Option<bool>> {
        let Some([holds, fails]) = self.size_condition(condition) else { return Ok(None) };
        let settings = self.file.open;
        settings.met.set(true);
        let Some(first) = settings.first else { return Ok(None) };
        let assumed = if first { holds } else { fails };
        self.notes.push(format!(
            "{}: its {} graph is taken in all runs",
            place(),
            if first { "first" } else { "second" }
        ));
        self.graph.assume(place(), vec![assumed]).context(place)?;
        Ok(Some(first))
    }

    /// Whether a size is one of the inputs' sizes alone: what data say fits no assumption.
    fn is_of_inputs(&self, dim: &Dim) -> bool {
        let sizes = |id: &ValueId| self.graph.fact(*id).shape.dims();
        dim.all_symbols(&|symbol| self.graph.inputs().iter().flat_map(sizes).any(|own| own.mentions(symbol)))
    }

    /// What the sizes of a run fulfil where a value is true, and where it is not.
    fn size_condition(&self, id: ValueId) -> Option<[Condition; 2]> {
        let node = self.graph.nodes().iter().rev().find(|node| node.outputs.contains(&id))?;
        let element = |index: usize| match self.graph.fact((*node.inputs.get(index)?)?).elements.as_deref()? {
            [element] if self.is_of_inputs(element) => Some(element.clone()),
            _ => None,
        };
        let what = "a size that a graph is chosen by";
        let (zero, one) = (Dim::from(0), Dim::from(1));
        if let Some(Cast { to: DType::Bool }) = node.op() {
            let size = element(0)?;
            return Some([Condition::at_least(what, &size, &one), Condition::equal(what, &size, &zero)]);
        }
        if let Some(Binary { function }) = node.op() {
            let (mut a, mut b) = (element(0)?, element(1)?);
            if a.as_fixed().is_some() && *function == BinaryFunction::Equal {
                std::mem::swap(&mut a, &mut b);
            }
            let least = |a: &Dim, b: &Dim| Condition::at_least(what, a, b);
            let (a_more, b_more) = (&a + &one, &b + &one);
            return match function {
                BinaryFunction::Equal => Some([Condition::equal(what, &a, &b), Condition::unequal(what, &a, &b)]),
                BinaryFunction::Greater => Some([least(&a, &b_more), least(&b, &a)]),
                BinaryFunction::GreaterOrEqual => Some([least(&a, &b), least(&b, &a_more)]),
                BinaryFunction::Less => Some([least(&b, &a_more), least(&a, &b)]),
                BinaryFunction::LessOrEqual => Some([least(&b, &a), least(&a, &b_more)]),
                _ => None,
            };
        }
        let inner = self.size_condition((*node.inputs.first()?)?)?;
        let [holds, fails] = inner;
        match node.op::<Unary>() {
            Some(Unary { function: UnaryFunction::Not }) => Some([fails, holds]),
            Some(_) => None,
            None => (node.op::<Reshape>().is_some() || node.op::<Identity>().is_some()).then_some([holds, fails]),
        }
    }

    /// Names the axes of a `Squeeze` that has none.
    ///
    /// An empty list of axes is none, as ONNX Runtime reads it and Paddle's exporter means it.
    pub(super) fn settle_squeeze(&mut self, call: &mut Call<'_>, place: &dyn Fn() -> String) -> Result<()> {
        if call.op_type != "Squeeze" {
            return Ok(());
        }
        let given = call.attributes.len() + call.inputs.len();
        let is_empty = |value: &Attribute| matches!(value, Attribute::Ints(axes) if axes.is_empty());
        call.attributes.retain(|(name, value)| name != "axes" || !is_empty(value));
        if let &[x, Some(axes)] = call.inputs.as_slice()
            && self.graph.fact(axes).shape.dims().first().and_then(Dim::as_fixed) == Some(0)
        {
            call.inputs = vec![x];
        }
        if call.attributes.len() + call.inputs.len() < given {
            self.notes.push(format!("{}: an empty list of axes is read as no list, as ONNX Runtime does", place()));
        }
        let named = call.attributes.iter().any(|(name, _)| name == "axes");
        let &[Some(x), ref axes @ ..] = call.inputs.as_slice() else { return Ok(()) };
        if named || axes.first().is_some_and(Option::is_some) {
            return Ok(());
        }
        let shape = self.graph.fact(x).shape.clone();
        let open: Vec<usize> = (0..shape.rank()).filter(|&axis| shape[axis].as_fixed().is_none()).collect();
        if open.is_empty() || !open.iter().all(|&axis| self.is_of_inputs(&shape[axis])) {
            return Ok(());
        }
        let settings = self.file.open;
        settings.met.set(true);
        let Some(drops) = settings.drops else { return Ok(()) };
        let (dropped, kept) = open.split_at(drops.min(open.len()));
        let one = Dim::from(1);
        let axes = (0..shape.rank()).filter(|axis| dropped.contains(axis) || shape[*axis] == one);
        let axes: Vec<i64> = axes.map(|axis| axis as i64).collect();
        match axes.is_empty() {
            true => call.op_type = "Identity",
            false => call.attributes.push(("axes".to_owned(), Attribute::Ints(axes))),
        }
        let two = Dim::from(2);
        for &axis in kept {
            let condition = Condition::at_least("an axis that is kept", &shape[axis], &two);
            self.graph.assume(place(), vec![condition]).context(place)?;
        }
        let told = |axes: &[usize]| axes.iter().map(|&axis| shape[axis].to_string()).collect::<Vec<_>>().join(", ");
        for (axes, what) in [(dropped, "is 1"), (kept, "is not 1")] {
            if !axes.is_empty() {
                self.notes.push(format!(
                    "{}: without `axes`, {} {what} by what the file declares",
                    place(),
                    told(axes)
                ));
            }
        }
        Ok(())
    }
}
