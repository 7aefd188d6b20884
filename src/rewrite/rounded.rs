//! Stores results as bf16 where all readers round them: the same bits in half the memory.

use std::sync::Arc;

use crate::{
    error::Result,
    graph::{Graph, Node},
    op::Operator,
    ops::product::{attention::PackedAttention, linear::Linear},
};

/// Stores results of products and attention as bf16 where only bf16 products read them.
pub(crate) fn store_rounded(graph: &mut Graph) -> Result<()> {
    let mut readable = vec![true; graph.value_count()];
    for id in graph.outputs() {
        readable[id.index()] = false;
    }
    for node in graph.nodes() {
        for (position, id) in node.inputs.iter().enumerate() {
            if let Some(id) = id {
                readable[id.index()] &= rounds(graph, node, position);
            }
        }
    }
    for node in &mut graph.nodes {
        if let [result] = node.outputs[..]
            && readable[result.index()]
            && let Some(op) = rounded(node)
        {
            node.op = op;
        }
    }
    graph.infer_all()
}

/// Whether the node rounds this operand to bf16 before any other use.
fn rounds(graph: &Graph, node: &Node, position: usize) -> bool {
    let product = node.op::<Linear>().is_some() && node.inputs[1].is_some_and(|id| graph.constant_of(id).is_some());
    position == 0 && (product || node.op::<PackedAttention>().is_some())
}

/// The node's operator with a rounded result, if it supports that.
fn rounded(node: &Node) -> Option<Arc<dyn Operator>> {
    if let Some(linear) = node.op::<Linear>().filter(|linear| linear.layer_norm.is_none()) {
        return Some(Arc::new(Linear { rounded: true, ..linear.clone() }));
    }
    let attention = node.op::<PackedAttention>()?;
    Some(Arc::new(PackedAttention { rounded: true, ..*attention }))
}

#[cfg(test)]
mod tests {
    use crate::{
        backend::{
            Session,
            options::{Device, Precision, SessionOptions},
        },
        graph::{Graph, ValueId},
        kernels::Activation,
        ops::product::{attention::PackedAttention, linear::Linear},
        shape::{Dim, Shape},
        tensor::{DType, Tensor, Tensors},
    };

    fn weights(graph: &mut Graph, k: usize, n: usize, seed: usize) -> ValueId {
        let values: Vec<f32> = (0..k * n).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0).collect();
        graph.constant(format!("weights {seed}"), Tensor::new([k, n], &values).unwrap())
    }

    /// Three products and attention in sequence; with `all`, each result is also an output.
    fn chain(all: bool) -> Graph {
        let mut graph = Graph::new("chain");
        let rows = graph.symbol("rows");
        let x = graph.input("x", DType::F32, Shape::new(vec![Dim::symbol(rows), Dim::from(12)]));
        let offsets = graph.constant("offsets", Tensor::new([3], &[0_i32, 4, 9]).unwrap());
        let ws = [(12, 3 * 16), (16, 40), (40, 5)];
        let ws: Vec<_> = ws.iter().enumerate().map(|(seed, &(k, n))| weights(&mut graph, k, n, seed)).collect();
        let qkv = graph.apply("qkv", Linear::default(), &[x, ws[0]]).unwrap();
        let attention = PackedAttention::new(2, 0.3);
        let attended = graph.apply("attention", attention, &[qkv, offsets]).unwrap();
        let gelu = Linear { activation: Activation::Gelu, ..Linear::default() };
        let up = graph.apply("up", gelu, &[attended, ws[1]]).unwrap();
        let down = graph.apply("down", Linear::default(), &[up, ws[2]]).unwrap();
        graph.output("y", down);
        for (name, id) in [("qkv", qkv), ("attended", attended), ("up", up)].into_iter().filter(|_| all) {
            graph.output(name, id);
        }
        graph
    }

    #[test]
    fn what_only_products_read_is_stored_rounded_with_the_same_bits() {
        let options = SessionOptions::on(Device::Cpu).precision(Precision::Bf16);
        let x: Vec<f32> = (0..9 * 12).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
        let inputs = Tensors::from([("x", Tensor::new([9, 12], &x).unwrap())]);
        let run = |all: bool, count: usize| {
            let session = Session::load(chain(all), &options).unwrap();
            let graph = session.graph();
            let results = graph.nodes().iter().flat_map(|node| &node.outputs);
            assert_eq!(results.filter(|&&id| graph.fact(id).dtype == DType::BF16).count(), count);
            session.run(&inputs).unwrap().get("y").unwrap().clone()
        };
        assert_eq!(run(false, 3), run(true, 0));
    }
}
