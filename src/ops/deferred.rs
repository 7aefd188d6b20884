//! `Deferred`: an operator with operands that say sizes, which are known only in a run.

mod cases;
mod rules;

use std::sync::Arc;

use crate::{
    error::{Error, ErrorKind, Result},
    graph::{Fact, Graph, Node, ValueId},
    kernels::KernelSet,
    op::{
        Accuracy, Attribute, CpuKernel, CpuState, Decoder, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef,
        Operator, evaluate_by,
    },
    ops::{find_onnx, generate::constant::Constant},
    shape::Shape,
    tensor::Tensor,
};
use rules::Sized;

/// An ONNX operator that is decoded anew in each run, with the operands of that run.
///
/// An operand such as the shape of a `Reshape` becomes an attribute where its elements are known at
/// load. Where they depend on data, this operator stands for it: the type and the number of
/// dimensions follow from the operands' shapes, the sizes are measured.
#[derive(Clone, Debug)]
pub struct Deferred {
    op_type: String,
    opset: i64,
    attributes: Vec<(String, Attribute)>,
    output_count: usize,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "Deferred",
    onnx: None,
    cases: cases::cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host("its sizes are known only while it runs"),
};

/// Decodes a node as [`Deferred`] if its own decoder needs elements that only a run knows.
///
/// # Errors
/// When its results' number of dimensions depends on data.
pub(crate) fn decode(node: &mut OnnxNode<'_>) -> Result<Option<Arc<dyn Operator>>> {
    let Some((first, _)) = rules::find(node.op_type()) else { return Ok(None) };
    let inputs = node.inputs();
    let depends = |index| match inputs.integers(index) {
        Some(elements) => elements.iter().any(|element| element.as_fixed().is_none()),
        None => inputs.id(index).is_some() && inputs.constant(index).is_none(),
    };
    let depends = (first..inputs.len()).any(depends);
    let is_symbolic = || (0..first).any(|index| inputs.fact(index).is_some_and(|own| own.shape.as_fixed().is_none()));
    if !depends && !is_symbolic() {
        return Ok(None);
    }
    let refused = match trial(node.clone()) {
        Ok((_, facts)) => match long_size(&facts) {
            Some(reason) => Error::limit(reason),
            None => return Ok(None),
        },
        Err(error) if depends && error.kind() == ErrorKind::Unsupported => error,
        _ => return Ok(None),
    };
    let op = Deferred {
        op_type: node.op_type().to_owned(),
        opset: node.opset(),
        output_count: node.output_count(),
        attributes: node.take_attributes(),
    };
    // A reason for refusal that no run changes is reported as it is.
    match op.results(&node.inputs()) {
        Ok(_) => Ok(Some(Arc::new(op))),
        Err(_) => Err(refused),
    }
}

/// Why a size of the results cannot be told before a run, if it is longer than is kept.
fn long_size(facts: &[Fact]) -> Option<String> {
    facts.iter().find_map(|fact| fact.shape.not_kept())
}

/// An operator and its operands.
type Decoded = (Arc<dyn Operator>, Vec<Option<ValueId>>);

/// Decodes a node and infers its results, as if it were added to the graph.
fn trial(mut node: OnnxNode<'_>) -> Result<(Decoded, Vec<Fact>)> {
    let decode = decoder(node.op_type())?;
    let op = decode(&mut node)?;
    let graph = node.graph();
    let inputs = node.finish()?;
    let facts = op.infer(&Inputs::new(graph, &inputs))?;
    Ok(((op, inputs), facts))
}

/// A graph of these constants alone.
pub(super) fn with_constants(name: &str, operands: &[Option<Tensor>]) -> (Graph, Vec<Option<ValueId>>) {
    let mut graph = Graph::new(name);
    let constant = |operand: &Option<Tensor>| operand.clone().map(|tensor| graph.constant("operand", tensor));
    let ids = operands.iter().map(constant).collect();
    (graph, ids)
}

/// The results of a node whose operands are constants.
pub(super) fn results_of(graph: &Graph, node: &Node, kernel_set: KernelSet) -> Result<Vec<Tensor>> {
    Ok(evaluate_by(graph, node, kernel_set)?.into_iter().map(Arc::unwrap_or_clone).collect())
}

fn decoder(op_type: &str) -> Result<Decoder> {
    find_onnx("", op_type).ok_or_else(|| Error::internal(format!("{op_type} has no decoder")))
}

impl Deferred {
    /// A node of that ONNX operator, for tests.
    pub(crate) fn new(op_type: &str, attributes: &[(&str, Attribute)], output_count: usize) -> Self {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Self { op_type: op_type.to_owned(), opset: 18, attributes, output_count }
    }

    /// The operator whose operands have become known, and its remaining operands.
    pub(crate) fn settled(graph: &Graph, node: &Node) -> Option<Decoded> {
        let own: &Self = node.op()?;
        let (decoded, facts) = trial(own.node(graph, node.inputs.clone())).ok()?;
        long_size(&facts).is_none().then_some(decoded)
    }

    /// The node of these operands.
    fn node<'a>(&self, graph: &'a Graph, inputs: Vec<Option<ValueId>>) -> OnnxNode<'a> {
        OnnxNode::new(graph, self.opset, self.op_type.clone(), self.attributes.clone(), inputs, self.output_count)
    }

    /// The operator with these operands known, as a graph of its one node.
    ///
    /// # Errors
    /// When they do not fit.
    #[doc(hidden)]
    pub fn resolve(&self, operands: &[Option<Tensor>]) -> Result<Graph> {
        let (mut graph, ids) = with_constants("deferred", operands);
        let mut node = self.node(&graph, ids);
        let op = decoder(&self.op_type)?(&mut node)?;
        let inputs = node.finish()?;
        graph.node(&self.op_type, op, inputs)?;
        Ok(graph)
    }

    fn evaluate(&self, operands: &[Option<Tensor>], kernel_set: KernelSet) -> Result<Vec<Tensor>> {
        // What the operands say is the item's, not the model's.
        let graph = self.resolve(operands).map_err(|error| match error.kind() {
            ErrorKind::InvalidModel => Error::invalid_input(error.to_string()),
            _ => error,
        })?;
        let node = &graph.nodes()[0];
        if let Some(Constant { value }) = node.op() {
            return Ok(vec![(**value).clone()]);
        }
        results_of(&graph, node, kernel_set)
    }

    /// The types of the results, and their sizes as far as they are known.
    fn results(&self, inputs: &Inputs<'_>) -> Result<Vec<Sized>> {
        let found = rules::find(&self.op_type);
        let (first, rule) = found.ok_or_else(|| Error::internal("a deferred operator has no rule"))?;
        rules::check_lists(&self.op_type, first, inputs)?;
        rule(self, inputs)
    }

    fn int(&self, name: &str) -> Option<i64> {
        self.attributes.iter().find_map(|(own, value)| match value {
            Attribute::Int(value) if own == name => Some(*value),
            _ => None,
        })
    }

    fn ints(&self, name: &str) -> Option<&[i64]> {
        self.attributes.iter().find_map(|(own, value)| match value {
            Attribute::Ints(value) if own == name => Some(value.as_slice()),
            _ => None,
        })
    }
}

impl Operator for Deferred {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn measures(&self, inputs: &Inputs<'_>) -> Result<usize> {
        let results = self.results(inputs)?;
        Ok(results.iter().flat_map(|(_, dims)| dims).filter(|dim| dim.is_none()).count())
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let mut next = 0..;
        let mut fact = |(dtype, dims): Sized| {
            let sized = dims.into_iter().map(|dim| match dim {
                Some(dim) => Ok(dim),
                None => inputs.measured(next.next().unwrap_or_default()),
            });
            Ok(Fact::new(dtype, sized.collect::<Result<Shape>>()?))
        };
        self.results(inputs)?.into_iter().map(&mut fact).collect()
    }
}

struct Kernel {
    op: Deferred,
    kernel_set: KernelSet,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel { op: request.op::<Deferred>()?.clone(), kernel_set: request.kernel_set() }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        io.fill_by(|operands| self.compute(operands))
    }

    fn compute(&self, inputs: &[Option<&Tensor>]) -> Result<Vec<Tensor>> {
        let operands: Vec<_> = inputs.iter().map(|operand| operand.cloned()).collect();
        self.op.evaluate(&operands, self.kernel_set)
    }
}
