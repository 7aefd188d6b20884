//! Rows of a table that are only pooled, read where they lie.

use crate::{
    error::Result,
    graph::Graph,
    ops::{
        index::gather::{Gather, OutOfRange},
        pool::{look_up_pool::LookUpPool, segment_pool::SegmentPool},
    },
    rewrite::rewriter::{self, Rewriter},
    tensor::DType,
};

/// Pools of rows looked up in a constant table read the table. For the CPU, which then writes no row.
///
/// # Errors
/// When the pass leaves an inconsistent graph.
pub(super) fn run(graph: &mut Graph) -> Result<()> {
    if !graph.nodes().iter().any(|node| node.op::<SegmentPool>().is_some()) {
        return Ok(());
    }
    rewriter::apply(graph, &[rule])?;
    graph.verify()
}

/// Node `index` is the pool.
fn rule(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let Some((&SegmentPool { mode }, &[Some(x), offsets])) = rewriter.is(index) else { return Ok(()) };
    let Some((gather, &[Some(table), Some(ids)])) = rewriter.made_by::<Gather>(x) else { return Ok(()) };
    let (of_table, of_ids) = (rewriter.fact(table), rewriter.fact(ids));
    let rows = gather.outside == OutOfRange::Error
        && of_table.shape.rank() == 2
        && of_table.shape.axis(gather.axis)? == 0
        && (of_ids.shape.rank(), of_ids.dtype) == (1, DType::I32);
    if !rows || !rewriter.used_once(x) || rewriter.constant(table).is_none() {
        return Ok(());
    }
    rewriter.replace(index, LookUpPool { mode }, vec![Some(table), Some(ids), offsets])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ops::pool::segment_pool::SegmentPoolMode,
        shape::{Dim, Shape},
        tensor::Tensor,
    };

    #[test]
    fn pools_of_looked_up_rows_read_the_table() {
        for read_twice in [false, true] {
            let mut graph = Graph::new("words");
            let tokens = Dim::symbol(graph.symbol("tokens"));
            let ids = graph.input("ids", DType::I32, Shape::new(vec![tokens]));
            let offsets = graph.input("offsets", DType::I32, Shape::new(vec![Dim::from(3)]));
            let table = graph.constant("table", Tensor::new([5, 2], &[0.5_f32; 10]).unwrap());
            let rows = graph.apply("rows", Gather { axis: -2, outside: OutOfRange::Error }, &[table, ids]).unwrap();
            let pooled = graph.apply("pool", SegmentPool { mode: SegmentPoolMode::Mean }, &[rows, offsets]).unwrap();
            graph.output("pooled", pooled);
            if read_twice {
                graph.output("rows", rows);
            }
            run(&mut graph).unwrap();
            let fused = graph.nodes().iter().any(|node| node.op::<LookUpPool>().is_some());
            assert_eq!((fused, graph.nodes().len()), (!read_twice, if read_twice { 2 } else { 1 }));
        }
    }
}
