//! Every operator of the list, on every case, in every kernel set, against the oracle.

use gristmill::{
    DType, Device, KernelSet, Precision, Session, SessionOptions, Tensor,
    testing::{
        op::{Accuracy, Case, CpuState},
        ops,
    },
};
use rayon::prelude::*;

use crate::oracle::compare::{Tolerance, difference, expected, expected_of, inputs_of};

fn run(case: &Case, kernel_set: KernelSet) -> Vec<Tensor> {
    run_in(case, SessionOptions::on(Device::Cpu).kernel_set(kernel_set))
}

fn run_in(case: &Case, options: SessionOptions) -> Vec<Tensor> {
    let graph = case.graph().unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let session = Session::load(graph, &options).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let outputs = session.run(&inputs_of(case)).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    outputs.iter().map(|(_, tensor)| tensor.clone()).collect()
}

#[test]
fn every_case_agrees_with_the_oracle() {
    let failures = ops::all().into_par_iter().flat_map_iter(|def| {
        let mut failures = Vec::new();
        let cases = (def.cases)();
        let values = matches!(def.cpu, CpuState::Values(_)) || def.name == "SequenceMap";
        assert!(values || !cases.is_empty(), "{} has no cases", def.name);
        if let CpuState::Folded = def.cpu {
            return failures;
        }
        for case in &cases {
            assert_eq!(case.op.def().name, def.name, "a case of {} is of another operator", def.name);
            let want = expected(case);
            for kernel_set in KernelSet::available() {
                let got = run(case, kernel_set);
                assert_eq!(got.len(), want.len(), "{} {}: number of results", def.name, case.name);
                for (got, want) in got.iter().zip(&want) {
                    if let Some(what) = difference(got, want, Tolerance::of(def.accuracy)) {
                        failures.push(format!("{} `{}` on {}: {what}", def.name, case.name, kernel_set.name()));
                    }
                }
            }
        }
        failures
    });
    let failures: Vec<String> = failures.collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The operands of the operator that are factors of a product that may be of bf16.
fn factors(name: &str) -> &'static [usize] {
    match name {
        "Linear" | "LinearInPlace" | "Gemm" | "MatMul" | "Conv" => &[0, 1],
        "PackedAttention" => &[0],
        "Attention" | "Experts" | "HeadsLastAttention" => &[0, 1, 2],
        "DisentangledAttention" => &[0, 1, 2, 3],
        // The input, and the weights of one tap.
        "ConvChain" => &[0, 1, 5],
        _ => &[],
    }
}

/// How `got` differs from what the oracle makes of rounded operands by more than weights rounded after a factor, or
/// rounded weights of attention, explain.
fn difference_in_bf16(got: &Tensor, want: &Tensor) -> Option<String> {
    let (got, want) = (got.as_slice::<f32>().unwrap(), want.as_slice::<f32>().unwrap());
    let scale = want.iter().filter(|value| value.is_finite()).fold(0f32, |max, value| max.max(value.abs()));
    got.iter().zip(want).enumerate().find_map(|(index, (&got, &want))| {
        let near = match want.is_finite() {
            true => (got - want).abs() <= 1e-5 + 4e-3 * scale,
            false => got == want || (got.is_nan() && want.is_nan()),
        };
        (!near).then(|| format!("element {index} is {got:e} instead of {want:e}"))
    })
}

#[test]
fn every_case_in_bf16_agrees_with_the_oracle() {
    let (mut failures, mut rounded) = (Vec::new(), std::collections::HashSet::new());
    for def in ops::all() {
        if let CpuState::Folded = def.cpu {
            continue;
        }
        for case in &(def.cases)() {
            let want = expected(case);
            let want_rounded = expected_of(case, |index, tensor| {
                let mut tensor = tensor.clone();
                if factors(def.name).contains(&index) && tensor.dtype() == DType::F32 {
                    let values = tensor.as_mut_slice::<f32>().unwrap();
                    values.iter_mut().for_each(|x| *x = half::bf16::from_f32(*x).to_f32());
                }
                tensor
            });
            for kernel_set in KernelSet::available_bf16() {
                let options = SessionOptions::on(Device::Cpu).kernel_set(kernel_set).precision(Precision::Bf16);
                for ((got, want), want_rounded) in run_in(case, options).iter().zip(&want).zip(&want_rounded) {
                    let Some(what) = difference(got, want, Tolerance::of(def.accuracy)) else { continue };
                    let what =
                        if !factors(def.name).is_empty() { difference_in_bf16(got, want_rounded) } else { Some(what) };
                    match what {
                        Some(what) => failures.push(format!("{} `{}` on {kernel_set}: {what}", def.name, case.name)),
                        None => _ = rounded.insert(def.name),
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    // The products are of bf16 indeed.
    for name in ["Linear", "LinearInPlace", "Gemm", "MatMul", "Conv", "ConvChain"] {
        assert!(rounded.contains(name), "{name} is as exact as in f32");
    }
}

#[test]
fn the_harness_rejects_a_wrong_kernel() {
    // The results of one operator are held against the oracle of another, and one bit of a right result is flipped.
    let def = ops::all().iter().find(|def| def.name == "Transpose").expect("Transpose is in the list");
    let case = &(def.cases)()[0];
    let want = expected(case);
    let got = run(case, KernelSet::detect());
    assert_eq!(difference(&got[0], &want[0], Tolerance::of(def.accuracy)), None);
    let mut wrong = got[0].clone();
    let last = wrong.len() - 1;
    let slot = &mut wrong.as_mut_slice::<f32>().unwrap()[last];
    *slot = f32::from_bits(slot.to_bits() ^ 1);
    assert!(difference(&wrong, &want[0], Tolerance::of(Accuracy::Exact)).is_some());
    *slot_of(&mut wrong, last) *= 1.001;
    assert!(difference(&wrong, &want[0], Tolerance::of(Accuracy::Pointwise)).is_some());
    *slot_of(&mut wrong, last) = f32::NAN;
    assert!(difference(&wrong, &want[0], Tolerance::of(Accuracy::Reduction)).is_some());
}

fn slot_of(tensor: &mut Tensor, index: usize) -> &mut f32 {
    &mut tensor.as_mut_slice::<f32>().unwrap()[index]
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = ops::all().iter().map(|def| def.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ops::all().len());
}
