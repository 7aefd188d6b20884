//! The memory of a run, planned once for all sizes: which values share a slot.

mod cap;
mod free_slots;
mod sizes;

pub(crate) use cap::RunCap;
pub(crate) use sizes::Sizes;

use crate::{
    graph::{Conditions, Graph, Node, ValueId},
    op::CpuState,
    plan::free_slots::FreeSlots,
    shape::{Dim, Shape},
    tensor::DType,
};

/// Where a value is stored during a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// Nowhere: unused, or taken by a kernel at load.
    None,
    /// In the graph, as a constant.
    Constant,
    /// In that slot of the arena.
    Slot(usize),
}

/// The slots of a graph's values, valid for any sizes.
#[derive(Debug)]
pub(crate) struct Plan {
    locations: Vec<Location>,
    /// For each value the one that owns its memory: itself unless it is a view.
    roots: Vec<ValueId>,
    values: Vec<PlannedValue>,
    /// The values of each slot.
    members: Vec<Vec<ValueId>>,
    /// The number of dimensions of all values.
    dims: usize,
    /// What the sizes must fulfil.
    conditions: Conditions,
}

/// What sizing a value needs.
#[derive(Debug)]
struct PlannedValue {
    dtype: DType,
    shape: Shape,
    /// The position of its first dimension among those of all values.
    first_dim: usize,
}

impl Plan {
    /// Plans the graph; `is_taken(node, operand)` marks the operands that a kernel keeps for
    /// itself.
    pub(crate) fn new(graph: &Graph, is_taken: impl Fn(usize, usize) -> bool) -> Self {
        let mut plan = Self::without_slots(graph);
        let last_uses = plan.last_uses(graph, is_taken);
        plan.assign_slots(graph, &last_uses);
        for index in 0..plan.roots.len() {
            plan.locations[index] = plan.locations[plan.roots[index].index()];
        }
        plan
    }

    /// All values with their roots; constants have a location.
    fn without_slots(graph: &Graph) -> Self {
        let roots = roots(graph);
        let mut locations = vec![Location::None; roots.len()];
        let mut values = Vec::with_capacity(roots.len());
        let mut dims = 0;
        for (index, &root) in roots.iter().enumerate() {
            let fact = graph.fact(ValueId(index as u32));
            values.push(PlannedValue { dtype: fact.dtype, shape: fact.shape.clone(), first_dim: dims });
            dims += fact.shape.rank();
            if graph.constant_of(root).is_some() {
                locations[index] = Location::Constant;
            }
        }
        let conditions = graph.conditions().clone();
        Self { locations, roots, values, members: Vec::new(), dims, conditions }
    }

    /// For each root the last node that uses it or a view of it; outputs last beyond all nodes.
    fn last_uses(&self, graph: &Graph, is_taken: impl Fn(usize, usize) -> bool) -> Vec<Option<usize>> {
        let mut last_uses = vec![None; self.roots.len()];
        for (step, node) in graph.nodes().iter().enumerate() {
            let operands = node.inputs.iter().enumerate().filter(|(index, _)| !is_taken(step, *index));
            for id in operands.filter_map(|(_, id)| *id).chain(node.outputs.iter().copied()) {
                last_uses[self.root_of(id).index()] = Some(step);
            }
        }
        for &id in graph.outputs() {
            last_uses[self.root_of(id).index()] = Some(graph.nodes().len());
        }
        last_uses
    }

    /// Gives every root a slot, in execution order; a slot is reused after the last use of its
    /// value.
    fn assign_slots(&mut self, graph: &Graph, last_uses: &[Option<usize>]) {
        let mut free = FreeSlots::default();
        // Inputs are all written before the first step.
        for &id in graph.inputs() {
            self.assign(id, &mut free);
        }
        let mut ends: Vec<Vec<ValueId>> = vec![Vec::new(); graph.nodes().len() + 1];
        for (index, end) in last_uses.iter().enumerate() {
            if let Some(end) = end {
                ends[*end].push(ValueId(index as u32));
            }
        }
        for (Node { outputs, .. }, ends) in graph.nodes().iter().zip(&ends) {
            for &id in outputs {
                if self.root_of(id) == id && self.location_of(id) == Location::None {
                    self.assign(id, &mut free);
                }
            }
            for id in ends {
                if let Location::Slot(slot) = self.location_of(*id) {
                    free.release(slot);
                }
            }
        }
    }

    /// Gives a value a free slot, or a new one.
    fn assign(&mut self, id: ValueId, free: &mut FreeSlots) {
        let value = &self.values[id.index()];
        let size = &value.shape.elements() * &Dim::from(value.dtype.size());
        let slot = free.take(size);
        if slot == self.members.len() {
            self.members.push(Vec::new());
        }
        self.members[slot].push(id);
        self.locations[id.index()] = Location::Slot(slot);
    }

    /// Where a value is stored.
    pub(crate) fn location_of(&self, id: ValueId) -> Location {
        self.locations[id.index()]
    }

    /// The number of slots.
    #[cfg(feature = "gpu")]
    pub(crate) fn slot_count(&self) -> usize {
        self.members.len()
    }

    /// The value whose memory a value shares, itself unless it is a view.
    pub(crate) fn root_of(&self, id: ValueId) -> ValueId {
        self.roots[id.index()]
    }

    /// A value's type.
    pub(crate) fn dtype(&self, id: ValueId) -> DType {
        self.values[id.index()].dtype
    }
}

/// For each value the one that owns its memory.
fn roots(graph: &Graph) -> Vec<ValueId> {
    let mut roots: Vec<ValueId> = (0..graph.value_count()).map(|index| ValueId(index as u32)).collect();
    for node in graph.nodes() {
        if matches!(node.op.def().cpu, CpuState::View)
            && let (Some(Some(operand)), Some(output)) = (node.inputs.first(), node.outputs.first())
        {
            roots[output.index()] = roots[operand.index()];
        }
    }
    roots
}
