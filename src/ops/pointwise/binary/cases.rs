//! Cases of `Binary`, by the element types that each function takes.

use crate::{
    op::{Case, Fill},
    ops::pointwise::binary::function::{Binary, BinaryFunction as F},
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
    let case = |name: &str| Case::new(name, Binary { function });
    match function {
        F::And | F::Or | F::Xor => return logical(function),
        F::Mod { .. } => return modulo(),
        F::BitShift { .. } | F::BitwiseAnd | F::BitwiseOr | F::BitwiseXor => {
            let (a, b) = (tensor(&[2, 2], &[1u8, 255, 170, 16]), tensor(&[2], &[3u8, 9]));
            let wide = tensor(&[3], &[u64::MAX, 1, 12]);
            let mut cases = vec![case("u8").tensor(a).tensor(b)];
            cases.push(case("u64").tensor(wide).tensor(Tensor::scalar(5u64)));
            cases.push(case("u32").tensor(tensor(&[3], &[1u32, u32::MAX, 12])).tensor(tensor(&[3], &[31u32, 4, 32])));
            if let F::BitShift { .. } = function {
                let right = Binary { function: F::BitShift { left: false } };
                let (a, b) =
                    (tensor(&[6], &[-8i32, 4, -1, -9, i32::MIN, 7]), tensor(&[6], &[1i32, -32, 100, -1, 31, 32]));
                cases.push(case("signed").tensor(a.clone()).tensor(b.clone()));
                cases.push(Case::new("signed, right", right).tensor(a).tensor(b));
                cases.push(
                    Case::new("right", right).tensor(tensor(&[3], &[16u32, 4, 1])).tensor(tensor(&[3], &[1u32, 2, 40])),
                );
            }
            if !matches!(function, F::BitShift { .. }) {
                let (a, b) = (tensor(&[2, 2], &[-1i64, 6, i64::from(i32::MIN), 9]), tensor(&[2], &[3i64, -5]));
                cases.push(case("i64").tensor(a).tensor(b));
            }
            return cases;
        }
        _ => {}
    }
    let first = if function == F::Pow { Fill::Positive } else { Fill::Spread };
    let mut cases = vec![
        case("ragged").value(&[3, 37], first).value(&[3, 37], Fill::Spread),
        case("scalar").value(&[3, 17], first).value(&[], Fill::Spread),
        case("rows").value(&[2, 3, 19], first).constant(&[19], Fill::Spread),
        case("columns").value(&[4, 5], first).value(&[4, 1], Fill::Spread),
        case("both constant").constant(&[4], first).constant(&[4], Fill::Spread),
        case("hostile").value(&[7, 41], Fill::Hostile).value(&[7, 41], Fill::Hostile),
        case("hostile rows").value(&[7, 41], Fill::Hostile).value(&[41], Fill::Hostile),
        case("empty").value(&[0, 3], first).value(&[3], Fill::Spread),
        case("f64").tensor(tensor(&[3], &[1.5f64, 2.25, 0.5])).tensor(tensor(&[3], &[2.0f64, -0.5, 0.125])),
        case("i64").tensor(tensor(&[2, 3], &[7i64, -7, i64::MAX, i64::MIN, 0, 9])).tensor(tensor(&[3], &[2i64, 3, 1])),
        case("i32").tensor(tensor(&[4], &[7i32, -7, i32::MIN, 3])).tensor(tensor(&[4], &[2i32, 3, -1, 3])),
        case("u8").tensor(tensor(&[4], &[7u8, 200, 255, 3])).tensor(tensor(&[4], &[2u8, 100, 255, 3])),
    ];
    if function != F::PRelu {
        cases.push(case("scalar first").value(&[], first).value(&[3, 17], Fill::Spread));
        cases.push(case("row first").value(&[5], first).value(&[2, 3, 5], Fill::Spread));
        cases.push(case("outer").value(&[4, 1], first).value(&[1, 5], Fill::Spread));
        cases.push(case("middle").value(&[2, 1, 3], first).value(&[4, 1], Fill::Spread));
    }
    match function {
        F::Equal => {
            let (a, b) = (truths(&[3], &[true, false, true]), truths(&[1], &[true]));
            cases.push(case("truths").tensor(a).tensor(b));
        }
        F::Pow => {
            cases.push(case("f32 of i64").value(&[3], Fill::Spread).tensor(tensor(&[3], &[2i64, -1, 3])));
            cases.push(case("i32 of f32").tensor(tensor(&[3], &[3i32, -2, 5])).tensor(tensor(&[1], &[2f32])));
        }
        _ if function.is_variadic() => {
            cases.push(case("alone").value(&[2, 3], Fill::Hostile));
            cases.push(
                case("three").value(&[4, 1], Fill::Spread).value(&[3], Fill::Spread).value(&[2, 1, 1], Fill::Spread),
            );
            cases.push(
                case("four")
                    .value(&[5], Fill::Hostile)
                    .value(&[5], Fill::Hostile)
                    .value(&[5], Fill::Spread)
                    .value(&[5], Fill::Spread),
            );
        }
        _ => {}
    }
    cases
}

fn logical(function: F) -> Vec<Case> {
    let case = |name: &str| Case::new(name, Binary { function });
    let all = || truths(&[4], &[true, true, false, false]);
    vec![
        case("all pairs").tensor(all()).tensor(truths(&[4], &[true, false, true, false])),
        case("outer").tensor(all()).tensor(truths(&[3, 1], &[true, false, true])),
        case("empty").tensor(truths(&[0], &[])).tensor(truths(&[1], &[true])),
    ]
}

fn modulo() -> Vec<Case> {
    let down = || Case::new("rounded down", Binary { function: F::Mod { truncated: false } });
    let cut = |name: &str| Case::new(name, Binary { function: F::Mod { truncated: true } });
    let (a, b) = ([-7i64, 7, -7, 7, i64::MIN, 6], [3i64, 3, -3, -3, -1, 3]);
    vec![
        down().tensor(tensor(&[6], &a)).tensor(tensor(&[6], &b)),
        down().tensor(tensor(&[3], &[200u8, 7, 0])).tensor(tensor(&[], &[9u8])),
        cut("cut").tensor(tensor(&[6], &a)).tensor(tensor(&[6], &b)),
        down().value(&[3, 7], Fill::Spread).value(&[3, 7], Fill::Spread),
        down().value(&[5, 7], Fill::Hostile).value(&[5, 7], Fill::Hostile),
        cut("f32").value(&[3, 7], Fill::Spread).value(&[7], Fill::Positive),
        cut("hostile").value(&[5, 7], Fill::Hostile).value(&[5, 7], Fill::Hostile),
    ]
}
