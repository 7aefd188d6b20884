//! Loading a graph whose sizes only a run tells: kernels, and where each value is used last.

use std::sync::{Arc, Mutex, atomic::AtomicUsize};

use smallvec::SmallVec;

use crate::{
    backend::cpu::{
        dynamic::{
            Action, DynamicSession, Step,
            control::{BodySession, Control},
        },
        kernels::{NodeKernels, left},
    },
    error::{Context, Error, Result},
    graph::{Graph, Node, ValueId},
    kernels::{KernelSet, gemm::Factors},
    op::{Body, CpuState, KernelRequest, PackedConstants},
    ops::control::{conditional::If, map::SequenceMap, repeat::Loop, scan::Scan},
    plan::RunCap,
    rewrite,
    tensor::StringTable,
};

/// Why a graph cannot run by a plan of its sizes, `None` if it can.
pub(crate) fn reason(graph: &Graph) -> Option<String> {
    if let Some(id) = graph.inputs().iter().find(|id| !graph.fact(**id).is_tensor()) {
        return Some(format!("input `{}` is {}", graph.value(*id).name, graph.fact(*id)));
    }
    graph.nodes().iter().find_map(|node| match node.op.def().cpu {
        CpuState::Session => Some(format!("{} holds graphs", node.describe())),
        CpuState::Values(_) => Some(format!("{} takes or makes values that are no tensors", node.describe())),
        _ if graph.is_measured(node) => Some(format!("a size depends on the data of {}", node.describe())),
        _ => None,
    })
}

impl DynamicSession {
    /// Makes the kernel of every node and drops the constants that kernels packed.
    ///
    /// # Errors
    /// If a node cannot run on the CPU.
    pub(crate) fn load(graph: Graph, kernel_set: KernelSet, factors: Factors, at_once: usize) -> Result<Self> {
        let mut strings = StringTable::default();
        let session = Self::load_within(graph, kernel_set, factors, at_once, &mut strings)?;
        Ok(Self { weights: session.weights + strings.bytes(), strings: strings.into(), ..session })
    }

    /// Loads a graph whose strings, and those of the graphs within it, are added to those of the
    /// graphs around it.
    ///
    /// A run numbers the strings of all these graphs alike, since values move in and out.
    fn load_within(
        mut graph: Graph,
        kernel_set: KernelSet,
        factors: Factors,
        at_once: usize,
        strings: &mut StringTable,
    ) -> Result<Self> {
        graph.verify()?;
        rewrite::lay_out_for_cpu(&mut graph)?;
        if factors == Factors::Bf16 {
            rewrite::store_rounded(&mut graph)?;
        }
        let reason = reason(&graph).unwrap_or_default();
        let NodeKernels { made, mut weights } = NodeKernels::make(&mut graph, kernel_set, factors, at_once, strings)?;
        let mut steps = Vec::with_capacity(made.len());
        for (node, made) in graph.nodes().iter().zip(made) {
            let whole = || node.inputs.iter().copied().collect();
            let (action, inputs) = match (made, node.op.def().cpu) {
                (Some((kernel, packed)), _) if graph.is_measured(node) => {
                    (Action::Measure(kernel), left(node, &packed))
                }
                (Some((kernel, packed)), _) => (Action::Kernel(kernel), left(node, &packed)),
                (None, CpuState::Values(make)) => {
                    let constants = PackedConstants::default();
                    let request = KernelRequest::new(&graph, node, kernel_set, factors, &constants);
                    (Action::Values(make(&request).context(|| node.describe())?), whole())
                }
                (None, CpuState::Session) => {
                    let load = |body: &Body| {
                        let graph = (*body.graph).clone();
                        let session = Self::load_within(graph, kernel_set, factors, at_once, strings)?;
                        Ok(BodySession::new(body, session))
                    };
                    (Action::Control(Box::new(control(node, load).context(|| node.describe())?)), whole())
                }
                (None, _) => (Action::View, whole()),
            };
            if let Action::Control(control) = &action {
                weights += control.sessions().iter().map(|session| session.weights).sum::<usize>();
            }
            steps.push(step(node, action, inputs));
        }
        drop_bodies(&mut graph);
        let unused = find_last_uses(&graph, &mut steps);
        let seen = (0..graph.value_count()).map(|_| AtomicUsize::new(0)).collect();
        let (runs, scratch) = (Mutex::default(), AtomicUsize::new(0));
        let (cap, strings) = (RunCap::default(), Arc::default());
        Ok(Self { graph, steps, kernel_set, weights, unused, reason, runs, scratch, cap, seen, strings })
    }
}

/// The graphs of a node, each loaded by `load`.
fn control(node: &Node, mut load: impl FnMut(&Body) -> Result<BodySession>) -> Result<Control> {
    if let Some(If { branches: [then, other] }) = node.op() {
        return Ok(Control::If([load(then)?, load(other)?]));
    }
    if let Some(Loop { body: [body], carried }) = node.op() {
        return Ok(Control::Loop { body: load(body)?, carried: *carried });
    }
    if let Some(scan) = node.op::<Scan>() {
        let body = load(&scan.body[0])?;
        // The session alone holds the graph.
        let hollow = [scan.body[0].with_graph(Graph::default(), Vec::new())];
        return Ok(Control::Scan { body, op: Scan { body: hollow, ..scan.clone() } });
    }
    if let Some(SequenceMap { body: [body], operands }) = node.op() {
        return Ok(Control::Map { body: load(body)?, operands: *operands });
    }
    Err(Error::internal(format!("{} holds graphs that no session runs", node.describe())))
}

/// Drops the graphs within nodes, whose sessions have their own.
fn drop_bodies(graph: &mut Graph) {
    for node in &mut graph.nodes {
        let bodies: Vec<_> =
            node.op.bodies().iter().map(|body| body.with_graph(Graph::default(), Vec::new())).collect();
        if !bodies.is_empty()
            && let Some(op) = node.op.with_bodies(bodies)
        {
            node.op = op;
        }
    }
}

fn step(node: &Node, action: Action, inputs: SmallVec<[Option<ValueId>; 6]>) -> Step {
    let outputs = node.outputs.iter().copied().collect();
    Step { action, name: node.describe(), inputs, outputs, last: SmallVec::new() }
}

/// Notes at each step the values that no later step uses, and that are no outputs.
///
/// Returns the inputs that no step uses.
fn find_last_uses(graph: &Graph, steps: &mut [Step]) -> Vec<ValueId> {
    let mut used = vec![false; graph.value_count()];
    graph.outputs().iter().for_each(|id| used[id.index()] = true);
    for step in steps.iter_mut().rev() {
        for id in step.inputs.iter().flatten().chain(&step.outputs) {
            if !used[id.index()] && graph.constant_of(*id).is_none() {
                used[id.index()] = true;
                step.last.push(*id);
            }
        }
    }
    graph.inputs().iter().copied().filter(|id| !used[id.index()]).collect()
}
