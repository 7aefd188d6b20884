//! `Measured`: an operator with results whose sizes are expressions longer than is kept.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::{Fact, Graph},
    kernels::KernelSet,
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OpDef, Operator},
    ops::{
        deferred::{results_of, with_constants},
        pointwise::{Binary, BinaryFunction},
    },
    tensor::Tensor,
};

/// An operator some of whose results' sizes are measured in each run, from the shapes of that run's operands.
///
/// Sizes that are computed from others can grow with every node, as where residual sums broadcast sizes that only a run
/// shows to be equal. What follows is told in the measured size instead.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The operator, which holds no sizes of its own.
    pub op: Arc<dyn Operator>,
    /// The results' axes that are measured: the number of a result and of its axis.
    pub open: Vec<(usize, usize)>,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "Measured",
    onnx: None,
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host("its sizes are known only while it runs"),
};

impl Measured {
    /// The operator with its sizes measured that are longer than is kept, if there are such and it measures none itself.
    #[cfg(feature = "onnx")]
    pub(crate) fn of(graph: &Graph, op: &Arc<dyn Operator>, inputs: &[Option<crate::graph::ValueId>]) -> Option<Self> {
        let inputs = Inputs::new(graph, inputs);
        if !matches!(op.def().cpu, CpuState::Kernel(_)) || !matches!(op.measures(&inputs), Ok(0)) {
            return None;
        }
        let facts = op.infer(&inputs).ok()?;
        let axes = |(result, fact): (usize, &Fact)| {
            let long = fact.shape.dims().iter().enumerate().filter(|(_, dim)| !dim.is_valid());
            long.map(|(axis, _)| (result, axis)).collect::<Vec<_>>()
        };
        let open: Vec<_> = facts.iter().enumerate().flat_map(axes).collect();
        (!open.is_empty()).then(|| Self { op: op.clone(), open })
    }

    /// The operator on these operands, as a graph of its one node.
    ///
    /// # Errors
    /// When they do not fit.
    #[doc(hidden)]
    pub fn resolve(&self, operands: &[Option<Tensor>]) -> Result<Graph> {
        let (mut graph, ids) = with_constants("measured", operands);
        graph.node(self.op.def().name, self.op.clone(), ids)?;
        Ok(graph)
    }
}

impl Operator for Measured {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn takes_small(&self) -> bool {
        self.op.takes_small()
    }

    fn measures(&self, _inputs: &Inputs<'_>) -> Result<usize> {
        Ok(self.open.len())
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let mut facts = self.op.infer(inputs)?;
        for (place, &(result, axis)) in self.open.iter().enumerate() {
            let fact = facts.get_mut(result).filter(|fact| axis < fact.shape.rank());
            let fact = fact.ok_or_else(|| Error::internal("a result is measured that the operator does not have"))?;
            let mut dims = fact.shape.dims().to_vec();
            // With numbers for some sizes it may be told after all.
            if dims[axis].as_fixed().is_none() {
                dims[axis] = inputs.measured(place)?;
            }
            fact.shape = dims.into_iter().collect();
        }
        Ok(facts)
    }
}

struct Kernel {
    op: Measured,
    kernel_set: KernelSet,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel { op: request.op::<Measured>()?.clone(), kernel_set: request.kernel_set() }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        io.fill_by(|operands| self.compute(operands))
    }

    fn compute(&self, inputs: &[Option<&Tensor>]) -> Result<Vec<Tensor>> {
        let operands: Vec<_> = inputs.iter().map(|operand| operand.cloned()).collect();
        let graph = self.op.resolve(&operands)?;
        results_of(&graph, &graph.nodes()[0], self.kernel_set)
    }
}

fn cases() -> Vec<Case> {
    let sum = || Arc::new(Binary { function: BinaryFunction::Add });
    let of = |name, open: &[(usize, usize)]| Case::new(name, Measured { op: sum(), open: open.to_vec() });
    vec![
        of("broadcast", &[(0, 1)]).value(&[2, 1, 3], Fill::Hostile).value(&[4, 1], Fill::Spread),
        of("every axis", &[(0, 0), (0, 1)]).value(&[2, 3], Fill::Spread).value(&[2, 3], Fill::Hostile),
        of("empty", &[(0, 0)]).value(&[0, 3], Fill::Spread).value(&[1, 3], Fill::Spread),
    ]
}
