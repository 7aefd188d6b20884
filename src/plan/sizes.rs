//! The sizes of one run.

use crate::{
    error::{Error, Result},
    graph::ValueId,
    plan::Plan,
    shape::Bindings,
    tensor::byte_count,
};

/// Alignment of every slot in bytes.
const LINE: usize = 64;

/// The sizes of one run; reused from run to run so that nothing is allocated.
#[derive(Debug, Default)]
pub(crate) struct Sizes {
    /// The dimensions of all values, one value after another.
    dims: Vec<usize>,
    /// The offset of each slot.
    starts: Vec<usize>,
    total: usize,
}

impl Plan {
    /// Evaluates all sizes for a run.
    ///
    /// # Errors
    /// When a size is unknown or negative, or not as inference assumed, a view differs in size from its operand, or the memory
    /// exceeds the address space.
    pub(crate) fn evaluate(&self, bindings: &Bindings, sizes: &mut Sizes) -> Result<()> {
        self.conditions.check(bindings)?;
        sizes.dims.clear();
        sizes.dims.reserve(self.dims);
        for value in &self.values {
            value.shape.eval_into(bindings, &mut sizes.dims)?;
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

    /// The bytes of a value in this run, if they can be addressed.
    fn bytes(&self, sizes: &Sizes, id: ValueId) -> Option<usize> {
        byte_count(self.dtype(id), sizes.shape(self, id))
    }
}

impl Sizes {
    /// Whether every dimension was evaluated, even if the memory could not be laid out.
    pub(crate) fn is_complete(&self, plan: &Plan) -> bool {
        self.dims.len() == plan.dims
    }

    /// A value's dimensions in this run.
    pub(crate) fn shape<'a>(&'a self, plan: &Plan, id: ValueId) -> &'a [usize] {
        let value = &plan.values[id.index()];
        &self.dims[value.first_dim..][..value.shape.rank()]
    }

    /// The offset of a slot, in bytes.
    pub(crate) fn start(&self, slot: usize) -> usize {
        self.starts[slot]
    }

    /// The bytes of all slots together.
    pub(crate) fn total(&self) -> usize {
        self.total
    }
}
