//! Attention over rows of heads, as products write them, without transpositions around it.

use crate::{
    error::Result,
    graph::{Graph, ValueId},
    ops::{
        moves::transpose::Transpose,
        product::attention::{Attention, HeadsLastAttention},
    },
    rewrite::rewriter::{self, Rewriter},
};

/// Gives attention the operands and the result of the transpositions around it. For the CPU, which reads them in place.
///
/// # Errors
/// When the pass leaves an inconsistent graph.
pub(super) fn run(graph: &mut Graph) -> Result<()> {
    if !graph.nodes().iter().any(|node| node.op::<Attention>().is_some()) {
        return Ok(());
    }
    rewriter::apply(graph, &[rule])?;
    graph.verify()
}

/// Node `index` is the transposition behind.
fn rule(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let [output] = rewriter.node(index).outputs[..] else { return Ok(()) };
    let Some(attended) = below_swap(rewriter, output).filter(|&id| rewriter.used_once(id)) else { return Ok(()) };
    let Some((&attention, inputs)) = rewriter.made_by::<Attention>(attended) else { return Ok(()) };
    let mut inputs = inputs.to_vec();
    for input in inputs.iter_mut().take(3) {
        let Some(below) = input.and_then(|id| below_swap(rewriter, id)) else { return Ok(()) };
        *input = Some(below);
    }
    rewriter.replace(index, HeadsLastAttention(attention), inputs)
}

/// The value below a transposition that swaps the middle axes.
fn below_swap(rewriter: &Rewriter<'_>, id: ValueId) -> Option<ValueId> {
    let (op, inputs) = rewriter.made_by::<Transpose>(id)?;
    if op.perm.as_deref() == Some(&[0, 2, 1, 3]) { inputs[0] } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        graph::Graph,
        shape::{Dim, Shape},
        tensor::DType,
    };

    #[test]
    fn attention_between_transpositions_reads_rows_of_heads() {
        for perms in [[[0, 2, 1, 3]; 4], [[0, 2, 1, 3], [0, 2, 1, 3], [0, 1, 2, 3], [0, 2, 1, 3]]] {
            let mut graph = Graph::new("attention");
            let batch = Dim::symbol(graph.symbol("batch"));
            let mut operand = |name: &str, perm: [usize; 4]| {
                let mut dims = vec![batch.clone(), Dim::from(5), Dim::from(2), Dim::from(4)];
                if perm[1] == 1 {
                    dims.swap(1, 2);
                }
                let id = graph.input(name, DType::F32, Shape::new(dims));
                graph.apply(name, Transpose { perm: Some(perm.to_vec()) }, &[id]).unwrap()
            };
            let [q, k, v] = [("q", perms[0]), ("k", perms[1]), ("v", perms[2])].map(|(name, perm)| operand(name, perm));
            let attended = graph.apply("attention", Attention { scale: 0.5 }, &[q, k, v]).unwrap();
            let y = graph.apply("back", Transpose { perm: Some(perms[3].to_vec()) }, &[attended]).unwrap();
            graph.output("y", y);
            run(&mut graph).unwrap();
            let fused = graph.nodes().iter().any(|node| node.op::<HeadsLastAttention>().is_some());
            let all = perms.iter().all(|perm| *perm == [0, 2, 1, 3]);
            assert_eq!((fused, graph.nodes().len()), (all, if all { 1 } else { 5 }));
        }
    }
}
