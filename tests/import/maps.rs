//! Inputs that are maps, as rows; the right values are ONNX Runtime's.

use gristmill::{Device, Model, SessionOptions, Tensor, Tensors};

use crate::support::onnx_writer::*;

const STRING: i64 = 8;

/// `y = OP(x)` of a map from keys to values of these types.
fn draft(op: &str, key: i64, element: i64, to: i64, attributes: &[Message]) -> Draft {
    let scalar = Message::new().message(1, &Message::new().int(1, element));
    let map = Message::new().message(5, &Message::new().int(1, key).message(2, &scalar));
    let own = node(op, "op", &["x"], &["y"]).messages(5, attributes).text(7, "ai.onnx.ml");
    Draft::new().input(Message::new().text(1, "x").message(2, &map)).node(own).output(value("y", to, &["", ""]))
}

fn run(draft: &Draft, keys: Tensor, values: Tensor) -> Result<Tensor, String> {
    let model = Model::from_bytes(&draft.bytes()).map_err(|error| error.to_string())?;
    let session = model.session(&SessionOptions::on(Device::Cpu)).map_err(|error| error.to_string())?;
    let results = session.run(&Tensors::from([("x.keys", keys), ("x.values", values)]));
    results.map_err(|error| error.to_string()).map(|results| results.get("y").unwrap().clone())
}

fn strings(all: &[&str]) -> Tensor {
    Tensor::from_strings([all.len()], all).unwrap()
}

fn integers(all: &[i64]) -> Tensor {
    Tensor::new([all.len()], all).unwrap()
}

fn floats(all: &[f32]) -> Tensor {
    Tensor::new([all.len()], all).unwrap()
}

fn row(tensor: Tensor) -> Result<Tensor, String> {
    let columns = tensor.len();
    Ok(tensor.reshape([1, columns]).unwrap())
}

fn text(name: &str, value: &str) -> Message {
    Message::new().text(1, name).int(20, 3).bytes(4, value)
}

fn texts(name: &str, values: &[&str]) -> Message {
    values.iter().fold(Message::new().text(1, name).int(20, 8), |own, value| own.bytes(9, value))
}

#[test]
fn a_map_has_a_column_for_each_word_of_the_vocabulary() {
    let words = texts("string_vocabulary", &["c", "b", "a", "a"]);
    let draft = draft("DictVectorizer", STRING, FLOAT, FLOAT, &[words]);
    let given = |keys: &[&str], values: &[f32]| run(&draft, strings(keys), floats(values));
    assert_eq!(given(&["a", "c", "zz"], &[1.5, 2.0, 7.0]), row(floats(&[2.0, 0.0, 1.5, 1.5])));
    assert_eq!(given(&[], &[]), row(floats(&[0.0; 4])));
    assert!(given(&["a", "a"], &[1.0, 2.0]).unwrap_err().contains("the key a stands in the map twice"));
    assert!(given(&["a", "b"], &[1.0]).is_err());
    let notes = Model::from_bytes(&draft.bytes()).unwrap().notes().join("\n");
    assert!(notes.contains("input `x`, a map, is given as `x.keys` and `x.values`"), "{notes}");
}

#[test]
fn a_map_of_numbers_has_a_column_for_each_number() {
    let numbers = || ints("int64_vocabulary", &[5, 2, 1]);
    let of_floats = draft("DictVectorizer", INT64, FLOAT, FLOAT, &[numbers()]);
    assert_eq!(run(&of_floats, integers(&[1, 5]), floats(&[1.0, 2.0])), row(floats(&[2.0, 0.0, 1.0])));
    let of_strings = draft("DictVectorizer", INT64, STRING, STRING, &[numbers()]);
    assert_eq!(run(&of_strings, integers(&[1, 5]), strings(&["x", "y"])), row(strings(&["y", "", "x"])));
}

#[test]
fn values_of_a_map_are_cast_in_the_order_of_their_keys() {
    let dense = |element, to, name| draft("CastMap", INT64, element, to, &[text("cast_to", name)]);
    let (keys, values) = (integers(&[3, 1, -7]), floats(&[1.5, -2.5, 9.0]));
    let floats_out = run(&dense(FLOAT, FLOAT, "TO_FLOAT"), keys.clone(), values.clone());
    assert_eq!(floats_out, row(floats(&[9.0, -2.5, 1.5])));
    assert_eq!(run(&dense(FLOAT, INT64, "TO_INT64"), keys.clone(), values), row(integers(&[9, -2, 1])));
    let words = strings(&["12", "-4", "7"]);
    assert_eq!(run(&dense(STRING, INT64, "TO_INT64"), keys, words), row(integers(&[7, -4, 12])));
    assert!(Model::from_bytes(&dense(FLOAT, STRING, "TO_STRING").bytes()).is_err());
}

#[test]
fn values_of_a_sparse_map_stand_where_their_keys_say() {
    let sparse = |element, to, name| {
        let attributes = [text("cast_to", name), text("map_form", "SPARSE"), int("max_map", 6)];
        draft("CastMap", INT64, element, to, &attributes)
    };
    let of_floats = sparse(FLOAT, FLOAT, "TO_FLOAT");
    let due = row(floats(&[0.0, 2.25, 0.0, 1.5, 0.0, 0.0]));
    assert_eq!(run(&of_floats, integers(&[3, 1, 9]), floats(&[1.5, 2.25, 7.0])), due);
    assert!(
        run(&of_floats, integers(&[-3]), floats(&[1.0])).unwrap_err().contains("the key -3 of the map is negative")
    );
    let of_strings = sparse(STRING, STRING, "TO_STRING");
    let due = row(strings(&["0.f", "b", "0.f", "a", "0.f", "0.f"]));
    assert_eq!(run(&of_strings, integers(&[3, 1]), strings(&["a", "b"])), due);
}

#[test]
fn a_map_is_read_by_nothing_else() {
    let mut other = draft("DictVectorizer", INT64, FLOAT, FLOAT, &[ints("int64_vocabulary", &[1])]);
    other.nodes[0] = node("Identity", "op", &["x"], &["y"]);
    let error = Model::from_bytes(&other.bytes()).unwrap_err().to_string();
    assert!(error.contains("a map is no operand of it"), "{error}");
    let both = draft("DictVectorizer", INT64, FLOAT, FLOAT, &[ints("int64_vocabulary", &[1])]);
    let both = both.input(value("x.keys", INT64, &["n"]));
    assert!(Model::from_bytes(&both.bytes()).is_err());
    let unlike = draft("DictVectorizer", STRING, FLOAT, FLOAT, &[ints("int64_vocabulary", &[1])]);
    assert!(Model::from_bytes(&unlike.bytes()).is_err());
}
