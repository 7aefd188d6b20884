//! Rewrites the graphs within nodes.

use std::sync::Arc;

use crate::{
    error::{Context, Error, Result},
    graph::{Graph, Node},
    op::{Body, Inputs},
    rewrite::optimize,
};

pub(super) fn run(graph: &mut Graph) -> Result<()> {
    for index in 0..graph.nodes.len() {
        if graph.nodes[index].op.bodies().is_empty() {
            continue;
        }
        let node = &graph.nodes[index];
        let bodies = node.op.bodies().iter().map(|body| rewritten(graph, node, body));
        let bodies = bodies.collect::<Result<Vec<_>>>().context(|| node.describe())?;
        let is_captured = |position| bodies.iter().any(|body| body.captured.contains(&position));
        let mut inputs = node.inputs.clone();
        for position in node.op.bodies().iter().flat_map(|body| &body.captured) {
            if !is_captured(*position) {
                inputs[*position] = None;
            }
        }
        let op = node.op.with_bodies(bodies).ok_or_else(|| Error::internal("an operator lost its graphs"))?;
        let node = &mut graph.nodes[index];
        (node.op, node.inputs) = (op, inputs);
    }
    Ok(())
}

/// The body with its graph rewritten, and with the constants that it captures.
fn rewritten(outer: &Graph, node: &Node, body: &Body) -> Result<Body> {
    let body = body.fitted(&Inputs::new(outer, &node.inputs))?.into_owned();
    let mut graph = (*body.graph).clone();
    let given = body.given();
    let mut captured = Vec::new();
    let mut constants = Vec::new();
    for (position, &operand) in body.captured.iter().enumerate() {
        let tensor = node.inputs[operand].and_then(|id| outer.constant_of(id));
        match tensor {
            Some(tensor) => constants.push((graph.inputs()[given + position], Arc::clone(tensor))),
            None => captured.push(operand),
        }
    }
    graph.settle_inputs(constants);
    optimize(&mut graph)?;
    Ok(body.with_graph(graph, captured))
}
