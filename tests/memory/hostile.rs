//! Small files that ask for much memory do not get it. Its process is its own, so that the peak is.

use std::fs;

use gristmill::{Device, Model, SessionOptions};

use crate::support::{onnx_writer::*, process::alone};

/// Lets the peak start again from what the process holds now, where the system can.
fn reset_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// The most memory that the process has held, in bytes.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

fn repeated(field: u64, count: usize, message: &Message) -> Message {
    let one = Message::new().message(field, message);
    Message(one.0.repeat(count))
}

#[test]
fn small_files_take_little_memory() {
    if !alone(module_path!(), "small_files_take_little_memory", &[]) {
        return;
    }
    const MANY: usize = 2_000_000;
    let empty = Message::new();
    let graph = |more: Message| Message(Draft::graph(&small()).0.into_iter().chain(more.0).collect());
    let model = |graph: &Message| {
        let opset = Message::new().int(2, 17);
        Message::new().int(1, 8).message(7, graph).message(8, &opset)
    };
    let in_graph = |more: Message| model(&graph(more));
    let in_node = |more: Message| {
        let turn = node("Transpose", "many", &["x"], &["q"]);
        in_graph(Message::new().message(1, &Message(turn.0.into_iter().chain(more.0).collect())))
    };
    let in_model = |more: Message| Message(model(&small().graph()).0.into_iter().chain(more.0).collect());
    let in_tensor = |more: Message| {
        let claim = tensor("claim", FLOAT, &[]);
        in_graph(Message::new().message(5, &Message(claim.0.into_iter().chain(more.0).collect())))
    };
    let turned = node("Transpose", "", &["x"], &[]);
    let chain = (0..200_000).fold(Draft::graph(&small()), |own, index| {
        let (from, to) = (if index == 0 { "shape".to_owned() } else { format!("{index}") }, format!("{}", index + 1));
        own.message(1, &node("Reshape", "", &[&from, "shape1"], &[&to]))
    });
    let chain = chain.message(5, &integers("shape1", &[1], &[1]));
    let same = (0..100_000).fold(Draft::graph(&small()), |own, index| {
        let (from, to) = (if index == 0 { "many".to_owned() } else { format!("{index}") }, format!("{}", index + 1));
        own.message(1, &node("Identity", "", &[&from], &[&to]))
    });
    let same = same.message(5, &tensor("many", INT64, &[1024]).bytes(9, vec![1; 8192]));
    let files = [
        ("empty nodes", in_graph(repeated(1, MANY, &empty))),
        ("nodes without outputs", in_graph(repeated(1, MANY / 10, &turned))),
        ("empty tensors", in_graph(repeated(5, MANY, &empty))),
        ("empty inputs", in_graph(repeated(11, MANY, &empty))),
        ("empty outputs", in_graph(repeated(12, MANY, &empty))),
        ("empty inner values", in_graph(repeated(13, MANY, &empty))),
        ("empty operands", in_node(repeated(1, MANY, &empty))),
        ("empty results", in_node(repeated(2, MANY, &empty))),
        ("empty attributes", in_node(repeated(5, MANY, &empty))),
        ("integers", in_node(Message::new().message(5, &Message::new().text(1, "perm").bytes(8, vec![0; MANY])))),
        ("empty strings", in_node(Message::new().message(5, &repeated(9, MANY, &empty)))),
        ("empty operator sets", in_model(repeated(8, MANY, &empty))),
        ("empty functions", in_model(repeated(25, MANY, &empty))),
        ("dimensions", in_tensor(Message::new().bytes(1, vec![1; MANY]))),
        ("external keys", in_tensor(repeated(13, MANY, &empty))),
        ("a claim", in_tensor(Message::new().int(1, 1 << 37).bytes(9, vec![0; 100]))),
        ("a claim of integers", in_graph(Message::new().message(5, &tensor("c", INT64, &[1 << 37]).packed(7, &[1])))),
        ("a long chain", model(&chain)),
        ("a long chain of many integers", model(&same)),
    ];
    for (what, file) in files {
        let bytes = file.0;
        reset_peak();
        let before = peak();
        let result = Model::from_bytes(&bytes).and_then(|model| model.session(&SessionOptions::on(Device::Cpu)));
        let text = match &result {
            Ok(_) => "opened".to_owned(),
            Err(error) => error.to_string().chars().take(120).collect(),
        };
        let more = (peak() - before) >> 20;
        println!("{what}: {} MB, {more} MB more at the peak: {text}", bytes.len() >> 20);
        assert!(more < 200, "{what} took {more} MB");
    }
}
