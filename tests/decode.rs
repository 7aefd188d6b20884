//! How ONNX nodes are read: attribute and operand forms of the operators, by opset.

use gristmill::{
    DType, ErrorKind, Result, Tensor,
    graph::{Graph, ValueId},
    ops::{self, Attribute, OnnxNode},
    shape::{Dim, Shape},
};

/// A graph under construction, with one symbolic input `x`.
struct Build {
    graph: Graph,
    opset: i64,
}

impl Build {
    fn new(opset: i64, dims: &[&str]) -> (Self, ValueId) {
        let mut graph = Graph::new("decoded");
        let shape = dims
            .iter()
            .map(|dim| dim.parse::<usize>().map_or_else(|_| Dim::symbol(graph.symbol(dim)), Dim::from))
            .collect::<Shape>();
        let input = graph.input("x", DType::F32, shape);
        (Self { graph, opset }, input)
    }

    fn integers(&mut self, values: &[i64]) -> ValueId {
        self.graph.constant("integers", Tensor::new([values.len()], values).unwrap())
    }

    fn node(&mut self, op: &str, attributes: &[(&str, Attribute)], inputs: &[Option<ValueId>]) -> Result<ValueId> {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let mut node = OnnxNode::new(&self.graph, self.opset, op, attributes, inputs.to_vec(), 1);
        let decoder = ops::find_onnx(op).unwrap_or_else(|| panic!("{op} is not known"));
        let operator = decoder(&mut node)?;
        let inputs = node.finish()?;
        Ok(self.graph.node(op, operator, inputs)?[0])
    }

    fn shape(&self, id: ValueId) -> String {
        self.graph.fact(id).shape.to_string()
    }
}

fn ints(values: &[i64]) -> Attribute {
    Attribute::Ints(values.to_vec())
}

#[test]
fn squeeze_unsqueeze_and_flatten_are_reshapes() {
    let (mut old, x) = Build::new(11, &["n", "1", "t", "1"]);
    let squeezed = old.node("Squeeze", &[("axes", ints(&[-1]))], &[Some(x)]).unwrap();
    assert_eq!(old.shape(squeezed), "[s0, 1, s1]");
    let all = old.node("Squeeze", &[], &[Some(x)]).unwrap();
    assert_eq!(old.shape(all), "[s0, s1]");
    let (mut new, x) = Build::new(13, &["n", "t", "3"]);
    let axes = new.integers(&[1, -1]);
    let grown = new.node("Unsqueeze", &[], &[Some(x), Some(axes)]).unwrap();
    assert_eq!(new.shape(grown), "[s0, 1, s1, 3, 1]");
    let flat = new.node("Flatten", &[("axis", Attribute::Int(2))], &[Some(x)]).unwrap();
    assert_eq!(new.shape(flat), "[s0*s1, 3]");
    let flat = new.node("Flatten", &[], &[Some(x)]).unwrap();
    assert_eq!(new.shape(flat), "[s0, 3*s1]");
    let end = new.node("Flatten", &[("axis", Attribute::Int(3))], &[Some(x)]).unwrap();
    assert_eq!(new.shape(end), "[3*s0*s1, 1]");
    let wrong = new.integers(&[2]);
    assert_eq!(new.node("Squeeze", &[], &[Some(x), Some(wrong)]).unwrap_err().kind(), ErrorKind::InvalidModel);
    // Other sizes given later pass through.
    new.graph.fix_symbol("t", 7).unwrap();
    assert_eq!(new.shape(grown), "[s0, 1, 7, 3, 1]");
}
