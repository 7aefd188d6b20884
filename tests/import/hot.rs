//! Sessions that are replaced while callers rely on their inputs and outputs.

use std::{fs, path::Path, sync::Arc};

use gristmill::{
    Device, Error, SessionOptions, Tensor, Tensors,
    bulk::{Bulk, Hot},
};

use crate::support::onnx_writer::*;

/// A model that applies one operator to rows of two numbers.
fn model(operator: &str, output: &str) -> Vec<u8> {
    let rows = |name| value(name, FLOAT, &["batch", "2"]);
    Draft::new().input(rows("x")).node(node(operator, "one", &["x"], &[output])).output(rows(output)).bytes()
}

#[test]
fn a_session_is_replaced_by_one_of_the_same_inputs_and_outputs() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let save = |name: &str, bytes: Vec<u8>| fs::write(place(name), bytes).unwrap();
    save("first.onnx", model("Neg", "y"));
    save("second.onnx", model("Abs", "y"));
    save("renamed.onnx", model("Abs", "z"));
    let hot = Hot::session(place("first.onnx"), &SessionOptions::on(Device::Cpu)).unwrap();
    let hot = Arc::new(hot);
    let bulk = Bulk::hot(hot.clone());
    let numbers = || {
        let item = Tensors::from([("x", Tensor::new([1, 2], &[1.5_f32, -2.5]).unwrap())]);
        let mut outputs = bulk.map([item]).next().unwrap().unwrap();
        outputs.take("y").unwrap().as_slice::<f32>().unwrap().to_vec()
    };
    assert_eq!(numbers(), [-1.5, 2.5]);
    assert_eq!(hot.reload(place("second.onnx")).unwrap(), 2);
    assert_eq!(numbers(), [1.5, 2.5]);
    let refused = |path: &Path| -> Error { hot.reload(path).unwrap_err() };
    let message = refused(&place("renamed.onnx")).to_string();
    assert!(message.contains("\"x\" f32[?, 2] -> \"z\" f32[?, 2]"), "{message}");
    assert!(message.contains("callers rely on `\"x\" f32[?, 2] -> \"y\" f32[?, 2]`"), "{message}");
    assert!(refused(&place("absent.onnx")).to_string().contains("absent.onnx"));
    assert_eq!((hot.version(), numbers()), (2, vec![1.5, 2.5]));
}
