//! `Loop`: a graph that runs again and again on its own results.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::{Fact, Graph},
    op::{Accuracy, Body, Case, CpuState, Fill, GpuState, Inputs, OpDef, Operator},
    ops::{
        open::{self, Measured, Open},
        pointwise::{Binary, BinaryFunction},
    },
    shape::Shape,
    tensor::{DType, Tensor},
};

/// A graph that runs while a condition holds, at most a given number of times.
///
/// Operands are the most iterations, the first condition, either of which may be absent, and the
/// first carried values. The graph takes the number of the iteration, the condition and the carried
/// values, and gives the next condition, the next carried values, and further tensors, which are
/// stacked over the iterations.
#[derive(Clone, Debug)]
pub struct Loop {
    /// The graph.
    pub body: [Body; 1],
    /// The number of carried values.
    pub carried: usize,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "Loop",
    onnx: None,
    cases,
    accuracy: Accuracy::Pointwise,
    cpu: CpuState::Session,
    gpu: GpuState::Host("its number of iterations is known only while it runs"),
};

impl Loop {
    fn results(&self, inputs: &Inputs<'_>) -> Result<Vec<Open>> {
        let number = |index: usize, dtype: DType, what: &str| match inputs.fact(index) {
            Some(fact) if fact.dtype != dtype || !fact.is_tensor() => {
                Err(Error::invalid_model(format!("{what} is {fact}, expected {dtype}")))
            }
            _ => Ok(()),
        };
        number(0, DType::I64, "the most iterations")?;
        number(1, DType::Bool, "the condition")?;
        let body = self.body[0].fitted(inputs)?;
        let outputs = body.output_count();
        if body.given() != self.carried + 2 || outputs <= self.carried {
            return Err(Error::invalid_model(format!(
                "the graph takes {} values and gives {outputs}, with {} carried",
                body.given(),
                self.carried
            )));
        }
        let mut measured = Measured::default();
        let count = measured.size();
        let mut results = Vec::with_capacity(outputs - 1);
        for index in 0..self.carried {
            results.push(match (body.input(index + 2)?, body.output(index + 1)?) {
                (input, output) if output.is_tensor() && input.is_tensor() => measured.outer(&body, input),
                // An optional value becomes what the graph makes of it.
                (_, output) => measured.outer(&body, output),
            });
        }
        for index in self.carried + 1..outputs {
            results.push(match measured.outer(&body, body.output(index)?) {
                Open::Tensor(dtype, mut sizes) => {
                    sizes.insert(0, count.clone());
                    Open::Tensor(dtype, sizes)
                }
                Open::Other(..) => return Err(Error::invalid_model("what is stacked over iterations is no tensor")),
            });
        }
        Ok(results)
    }
}

impl Operator for Loop {
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
        &self.body
    }

    fn with_bodies(&self, bodies: Vec<Body>) -> Option<Arc<dyn Operator>> {
        Some(Arc::new(Loop { body: bodies.try_into().ok()?, carried: self.carried }))
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        open::facts(self.results(inputs)?, inputs)
    }
}

fn cases() -> Vec<Case> {
    // Adds a captured `[2, 3]`, operand 3, to the carried value, operand 2, and stacks the sums. The condition goes on
    // as it came.
    let body = || -> Result<Body> {
        let mut graph = Graph::new("body");
        graph.input("iteration", DType::I64, Shape::scalar());
        let condition = graph.input("condition", DType::Bool, Shape::scalar());
        let carried = graph.input("carried", DType::F32, Shape::fixed(&[2, 3]));
        let step = graph.input("step", DType::F32, Shape::fixed(&[2, 3]));
        let sum = graph.apply("sum", Binary { function: BinaryFunction::Add }, &[carried, step])?;
        graph.output("again", condition);
        graph.output("sum", sum);
        graph.output("sums", sum);
        Ok(Body::new(graph, vec![3], &Graph::new("outer")))
    };
    let case = |name: &str, most: Option<i64>, condition: bool| {
        let case = Case::new(name, Loop { body: [body().expect("a body of a case")], carried: 1 });
        let case = match most {
            Some(most) => case.tensor(Tensor::scalar(most)),
            None => case.absent(),
        };
        case.tensor(Tensor::from_bools([], &[condition]).expect("one flag"))
            .value(&[2, 3], Fill::Spread)
            .value(&[2, 3], Fill::Spread)
    };
    vec![case("three times", Some(3), true), case("never", None, false), case("none", Some(0), true)]
}
