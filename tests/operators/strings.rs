//! Tensors of strings: in and out of a session, through the operators that move elements, and from files.

use std::sync::Arc;

use gristmill::{
    DType, Device, Session, SessionOptions, Shape, Tensor, Tensors,
    bulk::Bulk,
    testing::{
        graph::{Graph, ValueId},
        op::Operator,
        ops::{
            index::gather::{Gather, OutOfRange},
            moves::concat::Concat,
            pointwise::{Binary, BinaryFunction, cast::Cast, select::Where},
            strings::string_concat::StringConcat,
            tabular::label_encoder::LabelEncoder,
        },
        shape::Dim,
    },
};

use crate::support::npz::{self, Header};

fn texts(all: &[&str]) -> Tensor {
    Tensor::from_strings([all.len()], all).unwrap()
}

fn node(graph: &mut Graph, op: impl Operator, inputs: &[ValueId]) -> ValueId {
    graph.node("n", Arc::new(op), inputs.iter().copied().map(Some).collect()).unwrap()[0]
}

fn session(graph: Graph) -> Session {
    Session::load(graph, &SessionOptions::on(Device::Cpu)).unwrap()
}

/// A graph with an input of any number of strings.
fn with_input() -> (Graph, ValueId) {
    let mut graph = Graph::new("strings");
    let rows = Dim::symbol(graph.symbol("rows"));
    let x = graph.input("x", DType::String, Shape::new([rows]));
    (graph, x)
}

#[test]
fn a_tensor_holds_strings() {
    let tensor = Tensor::from_strings([2, 2], &["a", "", "é", "a"]).unwrap();
    assert_eq!(tensor.as_strings().unwrap(), ["a", "", "é", "a"]);
    assert_eq!(format!("{tensor:?}"), "Tensor(string[2, 2] \"a\", \"\", \"é\", \"a\")");
    // Equal strings are equal, whichever numbers they have.
    assert_eq!(texts(&["b", "a"]).reshape([1, 2]).unwrap(), Tensor::from_strings([1, 2], &["b", "a"]).unwrap());
    assert_ne!(texts(&["b", "a"]), texts(&["a", "b"]));
    assert_eq!(Tensor::zeros(DType::String, [2]).unwrap(), texts(&["", ""]));
    assert!(tensor.as_slice::<u64>().is_err() && Tensor::scalar(1f32).as_strings().is_err());
    assert!(Tensor::from_bytes(DType::String, [1], &[0; 8]).is_err());
    assert!(Tensor::from_strings([3], &["a"]).is_err());
}

#[test]
fn strings_are_moved_and_compared() {
    let (mut graph, x) = with_input();
    let c = graph.constant("c", texts(&["b"]));
    let places = graph.constant("places", Tensor::new([3], &[0i64, -1, 1]).unwrap());
    let same = node(&mut graph, Binary { function: BinaryFunction::Equal }, &[x, c]);
    let other = graph.constant("other", texts(&["is b"]));
    let chosen = node(&mut graph, Where, &[same, other, x]);
    let joined = node(&mut graph, Concat { axis: 0 }, &[chosen, c]);
    let taken = node(&mut graph, Gather { axis: 0, outside: OutOfRange::Error }, &[joined, places]);
    let marked = node(&mut graph, StringConcat, &[taken, c]);
    graph.output("same", same);
    graph.output("marked", marked);
    let outputs = session(graph).run(&Tensors::from([("x", texts(&["a", "b", "c"]))])).unwrap();
    assert_eq!(outputs.get("same").unwrap().as_slice::<u8>().unwrap(), [0, 1, 0]);
    assert_eq!(outputs.get("marked").unwrap(), &texts(&["ab", "bb", "is bb"]));
}

#[test]
fn constants_of_strings_are_folded() {
    let (mut graph, x) = with_input();
    let (a, b) = (graph.constant("a", texts(&["u", "v"])), graph.constant("b", texts(&["w"])));
    let joined = node(&mut graph, StringConcat, &[a, b]);
    let y = node(&mut graph, Concat { axis: 0 }, &[joined, x]);
    graph.output("y", y);
    let session = session(graph);
    assert_eq!(session.graph().nodes().len(), 1);
    let outputs = session.run(&Tensors::from([("x", texts(&["uw"]))])).unwrap();
    assert_eq!(outputs.get("y").unwrap(), &texts(&["uw", "vw", "uw"]));
}

#[test]
fn numbers_become_strings_and_back() {
    let mut graph = Graph::new("cast");
    let x = graph.input("x", DType::F32, Shape::fixed(&[4]));
    let text = node(&mut graph, Cast { to: DType::String }, &[x]);
    let back = node(&mut graph, Cast { to: DType::F64 }, &[text]);
    graph.output("text", text);
    graph.output("back", back);
    let x = Tensor::new([4], &[1.5f32, -0.1, 1e20, f32::INFINITY]).unwrap();
    let outputs = session(graph).run(&Tensors::from([("x", x)])).unwrap();
    assert_eq!(outputs.get("text").unwrap(), &texts(&["1.5", "-0.1", "1e+20", "INF"]));
    assert_eq!(outputs.get("back").unwrap().as_slice::<f64>().unwrap(), [1.5, -0.1, 1e20, f64::INFINITY]);

    let (mut graph, x) = with_input();
    let y = node(&mut graph, Cast { to: DType::I8 }, &[x]);
    graph.output("y", y);
    let session = session(graph);
    let run = |all: &[&str]| session.run(&Tensors::from([("x", texts(all))]));
    assert_eq!(run(&["-7", " 12"]).unwrap().get("y").unwrap().to_i64().unwrap(), [-7, 12]);
    for wrong in ["128", "1.5", "", "one"] {
        let said = run(&["1", wrong]).unwrap_err().to_string();
        assert!(said.contains(&format!("the string `{wrong}` is no i8")), "{said}");
    }
}

#[test]
fn rows_of_strings_run_together_and_apart() {
    let (mut graph, x) = with_input();
    let op = LabelEncoder { keys: texts(&["a", "b"]), values: texts(&["first", "second"]), default: texts(&["none"]) };
    let y = node(&mut graph, op, &[x]);
    graph.output("y", y);
    let session = session(graph);
    let items: Vec<Tensors> = (0..200)
        .map(|item| {
            let own: Vec<String> = (0..item % 4 + 1).map(|row| ["a", "b", "c"][(item + row) % 3].to_owned()).collect();
            Tensors::from([("x", Tensor::from_strings([own.len()], &own).unwrap())])
        })
        .collect();
    let (results, _) = Bulk::new(session).chunk_size(50).run(&items);
    for (item, result) in items.iter().zip(results) {
        let named = item.get("x").unwrap().as_strings().unwrap().into_iter().map(|text| match text {
            "a" => "first",
            "b" => "second",
            _ => "none",
        });
        assert_eq!(result.unwrap().get("y").unwrap(), &texts(&named.collect::<Vec<_>>()));
    }
}

#[test]
fn arrays_of_strings_are_written_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("strings.npz");
    let mut header = Header { name: "x".into(), dtype: DType::String, shape: vec![4], width: 0 };
    let mut bytes = Vec::new();
    npz::append(&mut header, &mut bytes, &texts(&["a", ""]));
    // Wider ones come later.
    npz::append(&mut header, &mut bytes, &texts(&["東京 1", "é"]));
    assert_eq!((header.width, bytes.len()), (4, 4 * 4 * 4));
    npz::write(std::fs::File::create(&path).unwrap(), [(&header, &bytes[..])]).unwrap();
    let all = npz::read(&path).unwrap();
    assert_eq!(all.get("x").unwrap(), &texts(&["a", "", "東京 1", "é"]));
    let headers = npz::headers(&path).unwrap();
    let blocks = npz::in_blocks(&path, &headers, 3, |blocks| blocks.collect::<Result<Vec<_>, _>>()).unwrap().unwrap();
    assert_eq!(blocks[1].get("x").unwrap(), &texts(&["é"]));
    // What is no character.
    bytes[..4].copy_from_slice(&0xd800_u32.to_le_bytes());
    npz::write(std::fs::File::create(&path).unwrap(), [(&header, &bytes[..])]).unwrap();
    assert!(npz::read(&path).unwrap_err().contains("no character"));
}
