//! `If`: one of two graphs, by a condition.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::{ElementShape, Fact, Graph, Kind},
    op::{Accuracy, Body, Case, CpuState, Fill, GpuState, Inputs, OpDef, Operator},
    ops::{
        open::{self, Measured, Open},
        pointwise::{Binary, BinaryFunction, Unary, UnaryFunction},
    },
    shape::Shape,
    tensor::{DType, Tensor},
};

/// The results of the first graph if operand 0 is true, otherwise those of the second.
///
/// Both graphs have no inputs but the values that they capture. An `If` whose condition is known
/// at load is inlined by the importer.
#[derive(Clone, Debug)]
pub struct If {
    /// The graph where the condition holds, and the other one.
    pub branches: [Body; 2],
}

pub(crate) static DEF: OpDef = OpDef {
    name: "If",
    onnx: None,
    cases,
    accuracy: Accuracy::Pointwise,
    cpu: CpuState::Session,
    gpu: GpuState::Host("its graph is chosen while it runs"),
};

impl If {
    fn results(&self, inputs: &Inputs<'_>) -> Result<Vec<Open>> {
        let condition = inputs.required(0)?;
        if condition.dtype != DType::Bool || !condition.is_tensor() {
            return Err(Error::invalid_model(format!("the condition is {condition}, expected bool")));
        }
        let [then, other] = &self.branches;
        let (then, other) = (then.fitted(inputs)?, other.fitted(inputs)?);
        let count = then.output_count();
        if other.output_count() != count {
            return Err(Error::invalid_model("the two graphs have unlike numbers of outputs"));
        }
        let mut measured = Measured::default();
        (0..count).map(|index| either(&then, &other, index, &mut measured)).collect()
    }
}

/// Result `index` of whichever graph runs.
fn either(then: &Body, other: &Body, index: usize, measured: &mut Measured) -> Result<Open> {
    let (a, b) = (then.output(index)?, other.output(index)?);
    let unlike = || Error::unsupported(format!("result {index} is {a} of one graph and {b} of the other"));
    if a.dtype != b.dtype {
        return Err(unlike());
    }
    let shape = open::outer_shape(then, &a.element_shape()).join(&open::outer_shape(other, &b.element_shape()));
    Ok(match (&a.kind, &b.kind) {
        (Kind::Tensor, Kind::Tensor) => {
            let ElementShape::Sizes(dims) = shape else { return Err(unlike()) };
            Open::Tensor(a.dtype, dims.into_iter().map(|dim| measured.or(dim)).collect())
        }
        (Kind::Sequence(_), Kind::Sequence(_)) => Open::Other(a.dtype, Kind::Sequence(shape)),
        (Kind::Tensor | Kind::Optional(_), Kind::Tensor | Kind::Optional(_)) => {
            Open::Other(a.dtype, Kind::Optional(shape))
        }
        (Kind::Sequence(_) | Kind::OptionalSequence(_), Kind::Sequence(_) | Kind::OptionalSequence(_)) => {
            Open::Other(a.dtype, Kind::OptionalSequence(shape))
        }
        _ => return Err(unlike()),
    })
}

impl Operator for If {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn measures(&self, inputs: &Inputs<'_>) -> Result<usize> {
        Ok(open::count(&self.results(inputs)?))
    }

    fn bodies(&self) -> &[Body] {
        &self.branches
    }

    fn with_bodies(&self, bodies: Vec<Body>) -> Option<Arc<dyn Operator>> {
        Some(Arc::new(If { branches: bodies.try_into().ok()? }))
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        open::facts(self.results(inputs)?, inputs)
    }
}

fn cases() -> Vec<Case> {
    // The condition is operand 0, a captured `[2, 3]` operand 1.
    let branch = |body: &dyn Fn(&mut Graph) -> Result<()>| {
        let mut graph = Graph::new("branch");
        graph.input("x", DType::F32, Shape::fixed(&[2, 3]));
        body(&mut graph).expect("a branch of a case");
        Body::new(graph, vec![1], &Graph::new("outer"))
    };
    let negated = branch(&|graph| {
        let x = graph.inputs()[0];
        let y = graph.apply("negated", Unary { function: UnaryFunction::Neg }, &[x])?;
        graph.output("y", y);
        Ok(())
    });
    let doubled = branch(&|graph| {
        let x = graph.inputs()[0];
        let y = graph.apply("doubled", Binary { function: BinaryFunction::Add }, &[x, x])?;
        graph.output("y", y);
        Ok(())
    });
    let shorter = branch(&|graph| {
        let y = graph.constant("constant", Tensor::new([1, 3], &[1f32, 2.0, 3.0])?);
        graph.output("y", y);
        Ok(())
    });
    let case = |name: &str, condition: bool, branches: [&Body; 2]| {
        Case::new(name, If { branches: branches.map(Body::clone) })
            .tensor(Tensor::from_bools([], &[condition]).expect("one flag"))
            .value(&[2, 3], Fill::Hostile)
    };
    vec![
        case("true", true, [&negated, &doubled]),
        case("false", false, [&negated, &doubled]),
        case("unlike sizes", false, [&negated, &shorter]),
    ]
}
