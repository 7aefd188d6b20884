//! What folding may make and compute in all.

use crate::{
    error::{Error, Result},
    graph::{Graph, Node, ValueId},
};

/// The most elements by which a folded constant may exceed its operands together.
///
/// A small file must not become a large model.
const MAX_GROWTH: usize = 1 << 24;

/// The most elements of all folded constants: a sum, and a factor of the file's own constants.
///
/// Without it, repeated doubling of a tensor would grow without bound.
const MAX_TOTAL: (usize, usize) = (1 << 26, 16);

/// The most steps of arithmetic of all folded nodes, likewise.
///
/// Without it, a small file could reduce one large constant without end.
const MAX_WORK: (usize, usize) = (1 << 34, 256);

/// The elements that may still be made, and the work that may still be done.
pub(super) struct Budget {
    elements: usize,
    work: usize,
}

impl Budget {
    /// The budget for a graph with its own constants.
    pub(super) fn of(graph: &Graph) -> Self {
        let given = graph.values.iter().filter_map(|value| value.constant.as_ref());
        let given = given.fold(0usize, |sum, tensor| sum.saturating_add(tensor.len()));
        let most = |(sum, factor): (usize, usize)| given.saturating_mul(factor).saturating_add(sum);
        Self { elements: most(MAX_TOTAL), work: most(MAX_WORK) }
    }

    /// Takes what folding a node makes of so many elements of operands.
    ///
    /// # Errors
    /// When it is too much.
    pub(super) fn take(&mut self, graph: &Graph, node: &Node, operands: usize, results: usize) -> Result<()> {
        let refused = || {
            let what = format!("{} makes a constant of {results} elements, which is refused", node.describe());
            Error::limit(what)
        };
        if results > operands.saturating_add(MAX_GROWTH) {
            return Err(refused());
        }
        self.elements = self.elements.checked_sub(results).ok_or_else(refused)?;
        let work = work(graph, node, operands, results);
        let too_long = || {
            Error::limit(format!(
                "{} takes about {work} steps of arithmetic on constants, more than loading may take in all; \
                 SessionOptions::keep_graph leaves it to the runs",
                node.describe()
            ))
        };
        self.work = self.work.checked_sub(work).ok_or_else(too_long)?;
        Ok(())
    }
}

/// An upper bound on the steps of arithmetic of a node; exact for products.
fn work(graph: &Graph, node: &Node, operands: usize, results: usize) -> usize {
    let shape = |index: usize| -> Vec<usize> {
        let id: Option<ValueId> = node.inputs.get(index).copied().flatten();
        id.and_then(|id| graph.fact(id).shape.as_fixed()).unwrap_or_default()
    };
    let each = match node.op.def().name {
        "MatMul" | "Linear" => shape(0).last().copied().unwrap_or(1),
        // Either dimension is the contracted one.
        "Gemm" => shape(0).into_iter().max().unwrap_or(1),
        "Conv" => shape(1).iter().skip(1).fold(1, |product: usize, &dim| product.saturating_mul(dim)),
        "Attention" => shape(1).into_iter().max().unwrap_or(1).saturating_mul(2),
        // A window may hold the whole operand.
        name if name.contains("Pool") => operands,
        // Sorting.
        "TopK" => 64,
        _ => 1,
    };
    results.saturating_mul(each).saturating_add(operands)
}
