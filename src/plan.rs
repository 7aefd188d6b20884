//! The order of a run and the memory it needs, worked out once for all sizes: which values share a slot, and how
//! large each is as an expression.

use crate::{
    error::{Error, Result},
    graph::{Graph, ValueId},
    op::CpuState,
    shape::{Bindings, Shape},
    tensor::{DType, byte_count},
};

/// Alignment of every slot in bytes.
const LINE: usize = 64;

/// Where a value lives during a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Not needed: unused, or taken by a kernel at load.
    Nowhere,
    /// A constant of the graph.
    Constant,
    /// In that slot of the arena.
    Slot(usize),
}

/// A graph made ready to be run with any sizes.
#[derive(Debug)]
pub struct Plan {
    places: Vec<Place>,
    roots: Vec<ValueId>,
    shapes: Vec<(DType, Shape, usize)>,
    members: Vec<Vec<ValueId>>,
    dims: usize,
}

/// The sizes of one run; kept from run to run so that nothing is allocated.
#[derive(Debug, Default)]
pub struct Sizes {
    dims: Vec<usize>,
    starts: Vec<usize>,
    total: usize,
}

impl Plan {
    /// Plans the graph; `is_taken(node, operand)` says which operands a kernel keeps for itself.
    ///
    /// # Errors
    /// When the graph has more than is sane.
    pub fn new(graph: &Graph, is_taken: impl Fn(usize, usize) -> bool) -> Result<Self> {
        let count = graph.value_count();
        // A view lives where its operand does: the root of a value is the one that owns the memory.
        let mut root: Vec<ValueId> = (0..count).map(|index| ValueId(index as u32)).collect();
        for node in graph.nodes() {
            if matches!(node.op.def().cpu, CpuState::View)
                && let (Some(Some(operand)), Some(output)) = (node.inputs.first(), node.outputs.first())
            {
                root[output.index()] = root[operand.index()];
            }
        }
        let last = graph.nodes().len();
        let mut last_use: Vec<Option<usize>> = vec![None; count];
        for (step, node) in graph.nodes().iter().enumerate() {
            let operands = node.inputs.iter().enumerate().filter(|(index, _)| !is_taken(step, *index));
            for id in operands.filter_map(|(_, id)| *id).chain(node.outputs.iter().copied()) {
                last_use[root[id.index()].index()] = Some(step);
            }
        }
        for id in graph.outputs() {
            last_use[root[id.index()].index()] = Some(last);
        }
        let mut plan = Self {
            places: vec![Place::Nowhere; count],
            roots: root.clone(),
            shapes: Vec::with_capacity(count),
            members: Vec::new(),
            dims: 0,
        };
        for (index, &root) in root.iter().enumerate() {
            let fact = graph.fact(ValueId(index as u32));
            plan.shapes.push((fact.dtype, fact.shape.clone(), plan.dims));
            plan.dims += fact.shape.rank();
            if graph.constant_of(root).is_some() {
                plan.places[index] = Place::Constant;
            }
        }
        let mut free: Vec<usize> = Vec::new();
        // Inputs are all written before the first step.
        for &id in graph.inputs() {
            plan.place(id, &mut free);
        }
        let mut ends: Vec<Vec<ValueId>> = vec![Vec::new(); last + 1];
        for (index, end) in last_use.iter().enumerate() {
            if let Some(end) = end {
                ends[*end].push(ValueId(index as u32));
            }
        }
        for (step, node) in graph.nodes().iter().enumerate() {
            for &id in &node.outputs {
                if root[id.index()] == id && plan.places[id.index()] == Place::Nowhere {
                    plan.place(id, &mut free);
                }
            }
            for id in &ends[step] {
                if let Place::Slot(slot) = plan.places[id.index()] {
                    free.push(slot);
                }
            }
        }
        for (index, root) in root.iter().enumerate() {
            plan.places[index] = plan.places[root.index()];
        }
        Ok(plan)
    }

    fn place(&mut self, id: ValueId, free: &mut Vec<usize>) {
        // A slot whose largest member has the same size expression costs nothing more; else any free one.
        let size = |plan: &Self, id: ValueId| {
            let (dtype, shape, _) = &plan.shapes[id.index()];
            &shape.elements() * &crate::shape::Dim::from(dtype.size())
        };
        let own = size(self, id);
        let same = free.iter().position(|&slot| self.members[slot].iter().any(|&other| size(self, other) == own));
        let slot = match same.or_else(|| (!free.is_empty()).then(|| free.len() - 1)) {
            Some(position) => free.swap_remove(position),
            None => {
                self.members.push(Vec::new());
                self.members.len() - 1
            }
        };
        self.members[slot].push(id);
        self.places[id.index()] = Place::Slot(slot);
    }

    /// Where a value lives.
    pub fn place_of(&self, id: ValueId) -> Place {
        self.places[id.index()]
    }

    /// How many slots there are.
    #[cfg(feature = "gpu")]
    pub(crate) fn slot_count(&self) -> usize {
        self.members.len()
    }

    /// The value whose memory a value shares, itself unless it is a view.
    pub fn root_of(&self, id: ValueId) -> ValueId {
        self.roots[id.index()]
    }

    /// Evaluates all sizes for a run.
    ///
    /// # Errors
    /// When a size is not determined, negative, or the memory overflows.
    pub fn evaluate(&self, bindings: &Bindings, sizes: &mut Sizes) -> Result<()> {
        sizes.dims.clear();
        sizes.dims.reserve(self.dims);
        for (_, shape, _) in &self.shapes {
            shape.eval_into(bindings, &mut sizes.dims)?;
        }
        for (index, &root) in self.roots.iter().enumerate() {
            let id = ValueId(index as u32);
            if root != id && self.bytes(sizes, id) != self.bytes(sizes, root) {
                let (own, from) = (sizes.shape(self, id), sizes.shape(self, root));
                return Err(Error::invalid_input(format!("a value of shape {from:?} cannot be viewed as {own:?}")));
            }
        }
        sizes.starts.clear();
        let mut total = 0usize;
        for members in &self.members {
            let mut largest = 0;
            for &id in members {
                let bytes = self.bytes(sizes, id);
                largest =
                    largest.max(bytes.ok_or_else(|| Error::limit("a run needs more memory than can be addressed"))?);
            }
            sizes.starts.push(total);
            let padded = largest.checked_next_multiple_of(LINE).and_then(|padded| total.checked_add(padded));
            total = padded.ok_or_else(|| Error::limit("a run needs more memory than can be addressed"))?;
        }
        sizes.total = total;
        Ok(())
    }

    fn bytes(&self, sizes: &Sizes, id: ValueId) -> Option<usize> {
        byte_count(self.dtype(id), sizes.shape(self, id))
    }

    /// A value's type.
    pub fn dtype(&self, id: ValueId) -> DType {
        self.shapes[id.index()].0
    }
}

impl Sizes {
    /// A value's dimensions in this run.
    pub fn shape<'a>(&'a self, plan: &Plan, id: ValueId) -> &'a [usize] {
        let (_, shape, start) = &plan.shapes[id.index()];
        &self.dims[*start..start + shape.rank()]
    }

    /// Where a slot begins, in bytes.
    pub fn start(&self, slot: usize) -> usize {
        self.starts[slot]
    }

    /// Bytes of all slots.
    pub fn total(&self) -> usize {
        self.total
    }
}
