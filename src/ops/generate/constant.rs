//! `Constant`: a tensor held by a node.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuState, GpuState, Inputs, OnnxNode, OpDef, Operator},
    shape::Shape,
    tensor::Tensor,
};

/// A tensor without operands.
///
/// Importers turn it into a constant of the graph, so that later decoders can read it; folding does
/// so with nodes that remain.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    /// The tensor.
    pub value: Arc<Tensor>,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "Constant",
    onnx: Some(decode),
    cases: || vec![Case::new("scalar", Constant { value: Arc::new(Tensor::scalar(1f32)) })],
    accuracy: Accuracy::Exact,
    cpu: CpuState::Folded,
    gpu: GpuState::Folded,
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let mut found = Vec::new();
    found.extend(node.tensor("value")?);
    found.extend(node.float("value_float")?.map(|value| Arc::new(Tensor::scalar(value))));
    found.extend(node.int("value_int")?.map(|value| Arc::new(Tensor::scalar(value))));
    if let Some(values) = node.floats("value_floats")? {
        found.push(Arc::new(Tensor::new([values.len()], &values)?));
    }
    if let Some(values) = node.ints("value_ints")? {
        found.push(Arc::new(Tensor::new([values.len()], &values)?));
    }
    if let Some(value) = node.string("value_string")? {
        found.push(Arc::new(Tensor::from_strings([], &[value])?));
    }
    if let Some(values) = node.strings("value_strings")? {
        found.push(Arc::new(Tensor::from_strings([values.len()], &values)?));
    }
    match <[_; 1]>::try_from(found) {
        Ok([value]) => Ok(Arc::new(Constant { value })),
        Err(found) => Err(Error::unsupported(format!("a constant with {} tensors or numbers", found.len()))),
    }
}

impl Operator for Constant {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(0, 0)?;
        Ok(vec![Fact::of(&self.value)])
    }
}

/// The fact of a tensor of `shape` filled with the single element of `value`.
pub(crate) fn filled(value: &Tensor, shape: Shape) -> Fact {
    let count = shape.as_fixed().map(|dims| dims.iter().fold(1usize, |product, &dim| product.saturating_mul(dim)));
    let element = Fact::of(value).elements.and_then(|elements| elements.into_iter().next());
    let count = count.filter(|&count| count <= crate::graph::MAX_TRACKED);
    let elements = element.zip(count).map(|(element, count)| vec![element; count]);
    Fact::new(value.dtype(), shape).with_elements(elements)
}
