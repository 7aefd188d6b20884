//! `Scan`: a graph that runs on each slice of its operands.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::{Fact, Graph},
    op::{Accuracy, Body, Case, CpuState, Fill, GpuState, Inputs, OpDef, Operator},
    ops::{
        open::{self, Measured, Open, Size},
        pointwise::{Binary, BinaryFunction},
    },
    shape::{Dim, Shape, normalize_axis},
    tensor::DType,
};

/// A graph that runs on each slice of the scanned operands, in order, and carries states.
///
/// Operands are the first states, then the scanned ones. The graph takes the states and a slice of
/// each scanned operand, and gives the next states, and further tensors, which are stacked. The
/// first version has a batch axis in front of all, scans axis 1, and takes the lengths of the
/// items as operand 0, which may be absent.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The graph.
    pub body: [Body; 1],
    /// The number of states.
    pub states: usize,
    /// The axis of each scanned operand, and whether it is scanned from its end.
    pub inputs: Vec<(i64, bool)>,
    /// The axis along which each further result is stacked, and whether it is filled from its end.
    pub outputs: Vec<(i64, bool)>,
    /// Whether it is of the first version.
    pub batched: bool,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "Scan",
    onnx: None,
    cases,
    accuracy: Accuracy::Pointwise,
    cpu: CpuState::Session,
    gpu: GpuState::Host("its graph runs on the cpu"),
};

impl Scan {
    /// The first operand that is a state.
    pub(crate) fn first(&self) -> usize {
        usize::from(self.batched)
    }

    /// The shape of a slice of an operand, and the number of slices.
    pub(crate) fn slice(&self, index: usize, shape: &Shape) -> Result<(Shape, Dim)> {
        let mut dims = shape.dims().to_vec();
        if self.batched {
            if dims.len() < 2 {
                return Err(Error::invalid_model(format!("{shape} has no batch and no axis to scan")));
            }
            let length = dims.remove(1);
            dims.remove(0);
            return Ok((Shape::new(dims), length));
        }
        let axis = shape.axis(self.inputs[index].0)?;
        let length = dims.remove(axis);
        Ok((Shape::new(dims), length))
    }

    /// The number of slices.
    fn length(&self, inputs: &Inputs<'_>) -> Result<Dim> {
        let mut length = None;
        for index in 0..self.inputs.len() {
            let fact = inputs.required(self.first() + self.states + index)?;
            let (_, own) = self.slice(index, &fact.shape)?;
            let first = length.get_or_insert_with(|| own.clone());
            if first.as_fixed().zip(own.as_fixed()).is_some_and(|(a, b)| a != b) {
                return Err(Error::invalid_model(format!("an operand has {own} slices, where another has {first}")));
            }
        }
        length.ok_or_else(|| Error::invalid_model("nothing is scanned"))
    }

    fn results(&self, inputs: &Inputs<'_>) -> Result<Vec<Open>> {
        let body = self.body[0].fitted(inputs)?;
        let outputs = body.output_count();
        if body.given() != self.states + self.inputs.len() || outputs != self.states + self.outputs.len() {
            return Err(Error::invalid_model(format!(
                "the graph takes {} values and gives {outputs}, with {} states and {} scanned operands",
                body.given(),
                self.states,
                self.inputs.len()
            )));
        }
        let length = self.length(inputs)?;
        let batch = match self.batched {
            true => Some(inputs.required(self.first() + self.states)?.shape[0].clone()),
            false => None,
        };
        let mut measured = Measured::default();
        let mut results = Vec::with_capacity(outputs);
        for index in 0..outputs {
            let state = index < self.states;
            let fact = if state { body.input(index)? } else { body.output(index)? };
            let Open::Tensor(dtype, mut sizes) = measured.outer(&body, fact) else {
                return Err(Error::invalid_model(format!("result {index} is no tensor")));
            };
            if !state {
                let axis = normalize_axis(self.outputs[index - self.states].0, sizes.len() + 1)?;
                sizes.insert(axis, Size::Known(length.clone()));
            }
            if let Some(batch) = &batch {
                sizes.insert(0, Size::Known(batch.clone()));
            }
            results.push(Open::Tensor(dtype, sizes));
        }
        Ok(results)
    }
}

impl Operator for Scan {
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
        Some(Arc::new(Scan { body: bodies.try_into().ok()?, ..self.clone() }))
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        open::facts(self.results(inputs)?, inputs)
    }
}

fn cases() -> Vec<Case> {
    // Carries the sum of the slices and a captured tensor, and stacks the sums so far.
    let of = |shape: &[usize], captured: usize| -> Result<Body> {
        let mut graph = Graph::new("body");
        let sum = graph.input("sum", DType::F32, Shape::fixed(shape));
        let slice = graph.input("slice", DType::F32, Shape::fixed(shape));
        let more = graph.input("more", DType::F32, Shape::fixed(shape));
        let both = graph.apply("both", Binary { function: BinaryFunction::Add }, &[sum, slice])?;
        let all = graph.apply("all", Binary { function: BinaryFunction::Add }, &[both, more])?;
        graph.output("next", all);
        graph.output("sums", all);
        Ok(Body::new(graph, vec![captured], &Graph::new("outer")))
    };
    let case = |name: &str, input: (i64, bool), output: (i64, bool)| {
        let body = [of(&[2, 3], 2).expect("a body of a case")];
        Case::new(name, Scan { body, states: 1, inputs: vec![input], outputs: vec![output], batched: false })
            .value(&[2, 3], Fill::Spread)
    };
    let body = [of(&[2], 3).expect("a body of a case")];
    let batched = Scan { body, states: 1, inputs: vec![(0, false)], outputs: vec![(0, false)], batched: true };
    vec![
        case("forwards", (0, false), (0, false)).value(&[4, 2, 3], Fill::Spread).value(&[2, 3], Fill::Spread),
        case("backwards", (0, true), (-1, true)).value(&[4, 2, 3], Fill::Spread).value(&[2, 3], Fill::Spread),
        case("other axes", (-1, false), (1, false)).value(&[2, 3, 5], Fill::Spread).value(&[2, 3], Fill::Spread),
        case("no slices", (0, false), (0, false)).value(&[0, 2, 3], Fill::Spread).value(&[2, 3], Fill::Spread),
        Case::new("batch", batched)
            .absent()
            .value(&[3, 2], Fill::Spread)
            .value(&[3, 4, 2], Fill::Spread)
            .value(&[2], Fill::Spread),
    ]
}
