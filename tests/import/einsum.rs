//! `Einsum` of f32, which becomes products of matrices, against that of f64, which does not.

use gristmill::{Device, Model, SessionOptions, Tensor, Tensors};

use crate::support::onnx_writer::*;

const DOUBLE: i64 = 11;

/// The result of an equation; sizes are open unless there is a constant operand.
fn result(equation: &str, dtype: i64, operands: &[Tensor], constant: Option<usize>) -> Tensor {
    let names: Vec<String> = (0..operands.len()).map(|index| format!("x{index}")).collect();
    let of = Message::new().text(1, "equation").int(20, 3).text(4, equation);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut draft = Draft::new().node(node("Einsum", "sum", &names, &["y"]).message(5, &of));
    let mut inputs = Tensors::new();
    for (index, (name, operand)) in names.iter().zip(operands).enumerate() {
        let dims: Vec<i64> = operand.shape().iter().map(|&size| size as i64).collect();
        if constant == Some(index) {
            draft = draft.initializer(tensor(name, dtype, &dims).bytes(9, operand.bytes()));
        } else {
            // Sizes of one number go by one name, so that they are known to be equal.
            let open = if constant.is_none() { "d" } else { "" };
            let dims: Vec<String> = dims.iter().map(|size| format!("{open}{size}")).collect();
            draft = draft.input(value(name, dtype, &dims.iter().map(String::as_str).collect::<Vec<_>>()));
            inputs.insert(*name, operand.clone());
        }
    }
    let rank = equation.split_once("->").map_or(0, |(_, result)| result.len());
    let model = Model::from_bytes(&draft.output(value("y", dtype, &vec![""; rank])).bytes());
    let session = model.and_then(|model| model.session(&SessionOptions::on(Device::Cpu)));
    let outputs = session.unwrap_or_else(|error| panic!("{equation}: {error}")).run(&inputs).unwrap();
    outputs.get("y").unwrap().clone()
}

/// Numbers from -1 to 1 that depend on their position.
fn numbers(shape: &[usize], seed: usize) -> Vec<f64> {
    (0..shape.iter().product()).map(|at: usize| f64::from(((at * 7 + seed * 3) as f32).sin())).collect()
}

#[test]
fn products_are_the_sums_that_the_equation_names() {
    // Every label has a size of its own.
    let size = |label: char| 2 + label as usize % 5;
    let equations = [
        "ab->ba",
        "ab->ab",
        "ab->b",
        "ab->",
        "ab,bc->ac",
        "ab,cb->ca",
        "abc,bcd->ad",
        "abc,ce->abe",
        "ab,b->a",
        "b,ab->a",
        "a,a->",
        "a,b->ba",
        "ab,ab->ab",
        "ab,ab->a",
        "abc,ac->abc",
        "cab,dac->adb",
        "abcd,aecd->aecb",
        "abcd,aed->acbe",
        "ab,bc,cd->ad",
        "ab,cd,bd->ac",
        "ab,c->b",
        "ab,ac,ad->abcd",
        "abc,abg,ace->age",
        "ab,,b->a",
    ];
    for equation in equations {
        let terms: Vec<&str> = equation.split_once("->").unwrap().0.split(',').collect();
        let shapes: Vec<Vec<usize>> = terms.iter().map(|term| term.chars().map(size).collect()).collect();
        let wide: Vec<Vec<f64>> = shapes.iter().enumerate().map(|(seed, shape)| numbers(shape, seed)).collect();
        let doubles: Vec<Tensor> =
            shapes.iter().zip(&wide).map(|(shape, wide)| Tensor::new(shape.clone(), wide).unwrap()).collect();
        let narrow = |wide: &Vec<f64>| wide.iter().map(|&x| x as f32).collect::<Vec<_>>();
        let singles: Vec<Tensor> =
            shapes.iter().zip(&wide).map(|(shape, wide)| Tensor::new(shape.clone(), &narrow(wide)).unwrap()).collect();
        let want = result(equation, DOUBLE, &doubles, None);
        for constant in [None, Some(0), Some(terms.len() - 1)] {
            let got = result(equation, FLOAT, &singles, constant);
            assert_eq!(got.shape(), want.shape(), "{equation}");
            let pairs = got.as_slice::<f32>().unwrap().iter().zip(want.as_slice::<f64>().unwrap());
            for (got, want) in pairs {
                assert!((f64::from(*got) - want).abs() < 1e-4, "{equation}, {constant:?}: {got} instead of {want}");
            }
        }
    }
}
