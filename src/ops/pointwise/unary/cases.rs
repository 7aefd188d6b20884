//! Cases of `Unary`, by the element types that each function takes.

use crate::{
    op::{Case, Fill},
    ops::pointwise::unary::function::{Unary, UnaryFunction as F},
    tensor::{Element, Tensor},
};

fn tensor<T: Element>(shape: &[usize], values: &[T]) -> Tensor {
    Tensor::new(shape, values).expect("a case's values fit its shape")
}

fn truths(shape: &[usize], values: &[bool]) -> Tensor {
    Tensor::from_bools(shape, values).expect("a case's values fit its shape")
}

/// The cases of one function.
pub(super) fn of(function: F) -> Vec<Case> {
    let case = |name: &str| Case::new(name, Unary { function });
    match function {
        F::Not => {
            return vec![
                case("truths").tensor(truths(&[3], &[true, false, true])),
                case("empty").tensor(truths(&[0], &[])),
            ];
        }
        F::BitwiseNot => {
            return vec![
                case("i64").tensor(tensor(&[2, 2], &[0i64, -1, i64::MIN, 77])),
                case("u8").tensor(tensor(&[3], &[0u8, 255, 7])),
                case("i32").tensor(tensor(&[3], &[0i32, i32::MIN, 7])),
            ];
        }
        _ => {}
    }
    let mut cases = vec![
        case("ragged").value(&[3, 37], Fill::Spread),
        case("hostile").value(&[7, 41], Fill::Hostile),
        case("large").value(&[33], Fill::Large),
        case("scalar").value(&[], Fill::Positive),
        case("empty").value(&[0, 4], Fill::Spread),
        case("f64").tensor(tensor(&[5], &[-1.5f64, -0.25, 0.5, 0.75, 3.5])),
    ];
    if matches!(function, F::Abs | F::Clip { .. } | F::Neg | F::Relu | F::Sign) {
        cases.push(case("i64").tensor(tensor(&[5], &[i64::MIN, -7, 0, 3, i64::MAX])));
        cases.push(case("i8").tensor(tensor(&[2, 2], &[-128i8, -1, 0, 127])));
        cases.push(case("i32").tensor(tensor(&[2, 2], &[i32::MIN, -1, 0, 77])));
        cases.push(case("small i64").tensor(tensor(&[3], &[-5i64, 0, 77])));
    }
    if matches!(function, F::Clip { .. }) {
        let numbers = tensor(&[4], &[i64::MIN, -2, 5, i64::MAX]);
        let least = || Tensor::scalar(i64::MIN + 1);
        cases.push(case("operands").value(&[5, 3], Fill::Spread).value(&[], Fill::Spread).value(&[], Fill::Positive));
        cases.push(case("only a greatest").value(&[5, 3], Fill::Spread).absent().constant(&[], Fill::Positive));
        cases.push(case("i64 operands").tensor(numbers.clone()).tensor(least()).tensor(Tensor::scalar(4i64)));
        cases.push(case("crossed").tensor(numbers).tensor(Tensor::scalar(4i64)).constant_tensor(least()));
    }
    cases
}
