use super::{chains::Kind, *};
use crate::{
    ops::norm::softmax::Softmax,
    shape::{Dim, Symbol},
};

#[test]
fn symbols_get_their_names() {
    let names = ["batch".to_owned(), "width".to_owned()];
    let symbol = |index| Dim::symbol(Symbol(index));
    let sum = &(&Dim::from(2) * &symbol(1)) + &Dim::max(&symbol(0), &Dim::from(3));
    assert_eq!(sum.to_string(), "2*s1+max(s0, 3)");
    assert_eq!(sum.named(&names).to_string(), "2*width+max(batch, 3)");
    assert_eq!(symbol(7).named(&names).to_string(), "s7");
    assert_eq!(Dim::from(12).named(&names).to_string(), "12");
}

#[test]
fn nodes_in_a_row_share_a_box_and_a_fork_does_not() {
    let mut graph = Graph::new("fork <of> \u{1b}[31m two");
    let batch = graph.symbol("batch");
    let x = graph.input("x", DType::F32, Shape::new(vec![Dim::symbol(batch), Dim::from(4)]));
    let a = graph.apply("a", Softmax::over(-1), &[x]).unwrap();
    let b = graph.apply("b", Softmax::over(-1), &[a]).unwrap();
    let c = graph.apply("c", Softmax::over(-1), &[b]).unwrap();
    graph.output("left", b);
    graph.output("right", c);
    let chains = Chains::of(&graph, &|_| false);
    let boxes: Vec<(Kind, usize)> = chains.boxes.iter().map(|chain| (chain.kind, chain.labels.len())).collect();
    assert_eq!(boxes, [(Kind::Input, 1), (Kind::Device, 2), (Kind::Device, 1), (Kind::Output, 1), (Kind::Output, 1)]);
    let flows: Vec<(usize, usize)> = chains.flows.iter().map(|flow| (flow.from, flow.to)).collect();
    assert_eq!(flows, [(0, 1), (1, 2), (1, 3), (2, 4)]);
    assert_eq!(chains.flows[0].fact, "f32[batch, 4]");
}
