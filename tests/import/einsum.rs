//! `Einsum` of f32, which becomes products of matrices, against that of f64, which does not.

use gristmill::{Device, Model, SessionOptions, Tensor, Tensors};

use crate::support::onnx_writer::*;

const DOUBLE: i64 = 11;

/// What the file says of the sizes of operands.
#[derive(Clone, Copy, Debug)]
enum Sizes {
    /// Sizes of one number go by one name, so that they are known to be equal.
    Named,
    /// Each has a name of its own.
    Unlike,
    /// Numbers, and one operand is a constant.
    Constant(usize),
}

/// The result of an equation.
fn result(equation: &str, dtype: i64, operands: &[Tensor], sizes: Sizes) -> Tensor {
    let names: Vec<String> = (0..operands.len()).map(|index| format!("x{index}")).collect();
    let of = Message::new().text(1, "equation").int(20, 3).text(4, equation);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut draft = Draft::new().node(node("Einsum", "sum", &names, &["y"]).message(5, &of));
    let mut inputs = Tensors::new();
    for (index, (name, operand)) in names.iter().zip(operands).enumerate() {
        if matches!(sizes, Sizes::Constant(own) if own == index) {
            let dims: Vec<i64> = operand.shape().iter().map(|&size| size as i64).collect();
            draft = draft.initializer(tensor(name, dtype, &dims).bytes(9, operand.bytes()));
            continue;
        }
        let dim = |(axis, size): (usize, &usize)| match sizes {
            Sizes::Named => format!("d{size}"),
            Sizes::Unlike => format!("{name}.{axis}"),
            Sizes::Constant(_) => size.to_string(),
        };
        let dims: Vec<String> = operand.shape().iter().enumerate().map(dim).collect();
        draft = draft.input(value(name, dtype, &dims.iter().map(String::as_str).collect::<Vec<_>>()));
        inputs.insert(*name, operand.clone());
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
        let forms = [Sizes::Named, Sizes::Unlike, Sizes::Constant(0), Sizes::Constant(terms.len() - 1)];
        forms.into_iter().for_each(|sizes| agrees(equation, &shapes, sizes));
    }
}

#[test]
fn an_axis_of_one_element_goes_with_any() {
    let shapes = [[1, 3, 4].to_vec(), [2, 1, 5].to_vec()];
    for equation in ["bqc,bcw->bqw", "bqc,bcw->qw", "bqc,bdw->bqw"] {
        for sizes in [Sizes::Named, Sizes::Unlike, Sizes::Constant(0), Sizes::Constant(1)] {
            agrees(equation, &shapes, sizes);
        }
    }
}

/// Checks the result of f32 against that of f64.
fn agrees(equation: &str, shapes: &[Vec<usize>], sizes: Sizes) {
    let wide: Vec<Vec<f64>> = shapes.iter().enumerate().map(|(seed, shape)| numbers(shape, seed)).collect();
    let doubles: Vec<Tensor> =
        shapes.iter().zip(&wide).map(|(shape, wide)| Tensor::new(shape.clone(), wide).unwrap()).collect();
    let narrow = |wide: &Vec<f64>| wide.iter().map(|&x| x as f32).collect::<Vec<_>>();
    let singles: Vec<Tensor> =
        shapes.iter().zip(&wide).map(|(shape, wide)| Tensor::new(shape.clone(), &narrow(wide)).unwrap()).collect();
    let (got, want) = (result(equation, FLOAT, &singles, sizes), result(equation, DOUBLE, &doubles, Sizes::Unlike));
    assert_eq!(got.shape(), want.shape(), "{equation}");
    for (got, want) in got.as_slice::<f32>().unwrap().iter().zip(want.as_slice::<f64>().unwrap()) {
        assert!((f64::from(*got) - want).abs() < 1e-4, "{equation}, {sizes:?}: {got} instead of {want}");
    }
}
