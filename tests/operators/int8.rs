//! Products in int8: every case of theirs, in every kernel set, against the oracle on rounded operands.

use gristmill::{
    Device, KernelSet, Precision, Session, SessionOptions, Tensor,
    testing::{
        op::{Case, CaseInput},
        ops::{self, product::gemm::Gemm},
    },
};

use crate::oracle::compare::{expected, expected_of, inputs_of};

/// The axis of an operand that a product sums over, counted from the last one; `None` for other operands.
fn summed_axis(case: &Case, operand: usize) -> Option<usize> {
    let turned = |is_turned: bool| usize::from(is_turned);
    match (case.op.downcast_ref::<Gemm>(), operand) {
        (Some(gemm), 0) => Some(turned(gemm.trans_a)),
        (Some(gemm), 1) => Some(1 - turned(gemm.trans_b)),
        (None, 0) => Some(0),
        (None, 1) => Some(1),
        _ => None,
    }
}

/// Replaces each line along an axis, counted from the last one, by what integers within -127 and 127 hold of it.
fn rounded(tensor: &Tensor, axis: usize) -> Tensor {
    let mut tensor = tensor.clone();
    let shape = tensor.shape().to_vec();
    let axis = shape.len() - 1 - axis.min(shape.len() - 1);
    let (len, step) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
    let values = tensor.as_mut_slice::<f32>().unwrap();
    for first in (0..values.len()).filter(|at| (at / step).is_multiple_of(len)) {
        let line = (0..len).map(|at| first + at * step);
        let largest = line
            .clone()
            .fold(0.0_f32, |largest, at| if values[at].is_nan() { f32::NAN } else { largest.max(values[at].abs()) });
        let whole = line.clone().all(|at| values[at].is_finite());
        for at in line {
            let integer = if largest == 0.0 { 0.0 } else { (values[at] * (127.0 / largest)).round_ties_even() };
            values[at] = if whole { integer * (largest / 127.0) } else { f32::NAN };
        }
    }
    tensor
}

#[test]
fn every_product_in_int8_agrees_with_the_oracle_on_rounded_operands() {
    let (mut failures, mut differ) = (Vec::new(), 0);
    for def in ops::all().iter().filter(|def| ["Linear", "Gemm", "MatMul"].contains(&def.name)) {
        for case in &(def.cases)() {
            let is_constant = matches!(case.inputs[1], CaseInput::Constant(_));
            let exact = expected(case);
            let want = expected_of(case, |index, tensor| match summed_axis(case, index) {
                Some(axis) if is_constant && !tensor.is_empty() => rounded(tensor, axis),
                _ => tensor.clone(),
            });
            for kernel_set in KernelSet::available_int8() {
                let options = SessionOptions::on(Device::Cpu).kernel_set(kernel_set).precision(Precision::Int8);
                let session = Session::load(case.graph().unwrap(), &options).unwrap();
                let got = session.run(&inputs_of(case)).unwrap();
                for (((_, got), want), exact) in got.iter().zip(&want).zip(&exact) {
                    let what = format!("{} `{}` on {kernel_set}", def.name, case.name);
                    let (got, want) = (got.as_slice::<f32>().unwrap(), want.as_slice::<f32>().unwrap());
                    differ += usize::from(got != exact.as_slice::<f32>().unwrap());
                    let finite = want.iter().filter(|value| value.is_finite());
                    let scale = finite.fold(0f32, |largest, value| largest.max(value.abs()));
                    assert_eq!(got.len(), want.len());
                    for (index, (&got, &want)) in got.iter().zip(want).enumerate() {
                        let is_near =
                            if want.is_nan() { got.is_nan() } else { (got - want).abs() <= 1e-5 + 1e-4 * scale };
                        if !(is_near || got == want) {
                            failures.push(format!("{what}: element {index} is {got:e} instead of {want:e}"));
                        }
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(differ > 10, "the products are of integers indeed");
}
