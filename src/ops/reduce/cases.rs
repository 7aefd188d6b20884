//! Cases of `Reduce`.

use crate::{
    op::{Case, Fill},
    ops::reduce::{Reduce, ReduceFunction as F},
    tensor::{Element, Tensor},
};

/// The cases of one function.
pub(super) fn of(function: F) -> Vec<Case> {
    fn tensor<T: Element>(shape: &[usize], values: &[T]) -> Tensor {
        Tensor::new(shape, values).expect("a case's values fit its shape")
    }
    let case = |name: &str, axes: Option<&[i64]>, keep_dims: bool| {
        Case::new(name, Reduce { function, axes: axes.map(<[i64]>::to_vec), keep_dims })
    };
    // The relative error of a logarithm of a sum near 0 is unbounded.
    let fill = if function == F::LogSum { Fill::Positive } else { Fill::Spread };
    let mut cases = vec![
        case("rows", Some(&[-1]), true).value(&[3, 77], fill),
        case("long rows", Some(&[1]), false).value(&[2, 1000], fill),
        case("columns", Some(&[0]), false).value(&[13, 21], fill),
        case("middle", Some(&[1]), true).value(&[2, 7, 19], fill),
        case("both ends", Some(&[0, 2]), false).value(&[3, 5, 7], fill),
        case("last two", Some(&[-1, -2]), true).value(&[2, 3, 4, 5], fill),
        case("all", None, false).value(&[3, 4, 5], fill),
        case("all kept", None, true).value(&[6, 7], fill),
        case("no axes", Some(&[]), true).value(&[5], Fill::Positive),
        case("a scalar", None, true).value(&[], Fill::Positive),
        case("no results", Some(&[1]), false).value(&[0, 5], fill),
        case("nothing to reduce", Some(&[1]), false).value(&[3, 0], fill),
        case("f64", Some(&[0]), false).tensor(tensor(&[2, 2], &[1.5f64, 0.25, 2.0, 8.0])),
    ];
    if !matches!(function, F::L2 | F::LogSum | F::LogSumExp) {
        cases.push(case("i64", Some(&[1]), false).tensor(tensor(&[2, 3], &[1i64, -5, 3, 1 << 40, 7, -9])));
        cases.push(case("i32", Some(&[0]), true).tensor(tensor(&[3, 2], &[1i32, -5, 3, 100_000, 7, -9])));
    }
    // A product that overflows on the way depends on the order.
    if function != F::Prod {
        cases.push(case("hostile", Some(&[1]), false).value(&[41, 9], Fill::Hostile));
    }
    if matches!(function, F::Max | F::Min) {
        let truths = Tensor::from_bools([2, 2], &[true, false, false, false]).expect("four truths");
        cases.push(case("truths", Some(&[1]), false).tensor(truths));
    }
    cases
}
