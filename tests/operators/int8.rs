//! Products in int8: every case of theirs, in every kernel set, against the oracle on rounded operands.

use std::cell::OnceCell;

use gristmill::{
    DType, Device, KernelSet, Precision, Session, SessionOptions, Tensor,
    testing::{
        op::{Case, CaseInput},
        ops::{self, conv::Conv, product::gemm::Gemm},
    },
};

use crate::oracle::{
    compare::{expected, expected_of, inputs_of},
    indices, windows,
};

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

/// Whether a convolution with constant weights of that shape is in int8: of enough channels, with parts of groups that are
/// whole steps of a product, without a maximum, and not by tiles, which are faster in f32 than products of 16 bits.
fn is_held(conv: &Conv, name: &str, weights: &[usize], kernel_set: KernelSet) -> bool {
    let is_of_words = ["portable", "avx2", "avx512"].contains(&kernel_set.name());
    let has_tiles = (name.starts_with("tiles") && name != "tiles, too small") || name == "many lines";
    let by_tiles = is_of_words && has_tiles;
    !by_tiles
        && !conv.global_max
        && weights[1] >= 16
        && (conv.groups == 1 || weights[1].is_multiple_of(if is_of_words { 2 } else { 4 }))
}

/// Replaces each filter of weights by what integers within -127 and 127 hold of it.
fn rounded_filters(weights: &Tensor) -> Tensor {
    let shape = weights.shape().to_vec();
    let lines = Tensor::new([shape[0], shape[1..].iter().product()], weights.as_slice::<f32>().unwrap()).unwrap();
    Tensor::new(shape, rounded(&lines, 0).as_slice::<f32>().unwrap()).unwrap()
}

/// Replaces the numbers at each item's elements `seen` by what 255 integers of one scale hold of them, 0 among them.
fn rounded_items(tensor: &Tensor, seen: impl Fn(&[usize]) -> bool) -> Tensor {
    let mut tensor = tensor.clone();
    let shape = tensor.shape().to_vec();
    let size = tensor.len() / shape[0];
    let places: Vec<usize> = indices(&shape[1..]).enumerate().filter(|(_, at)| seen(at)).map(|(at, _)| at).collect();
    for item in tensor.as_mut_slice::<f32>().unwrap().chunks_mut(size) {
        let own = || places.iter().map(|&at| item[at]);
        let [least, most] = [f32::min, f32::max].map(|end| f64::from(own().fold(0.0, end)));
        let (whole, span) = (own().all(f32::is_finite), most - least);
        for &at in &places {
            let integer = (item[at] * (254.0 / span) as f32).round_ties_even();
            item[at] = if whole { integer * (span / 254.0) as f32 } else { f32::NAN };
        }
    }
    tensor
}

/// A convolution of what integers hold of its operands. Windows of one tap that lie one after another have a scale each;
/// else all of up to 8 lines and 56 columns have one.
fn convolution(case: &Case, conv: &Conv) -> Vec<Tensor> {
    let (taps, rank) = (conv.kernel.iter().product::<usize>(), conv.kernel.len());
    let (channels, first) = conv.axes();
    if taps == 1 && conv.strides.iter().all(|&stride| stride == 1) {
        return expected_of(case, |index, tensor| match index {
            0 => rounded(tensor, rank + 1 - channels),
            1 => rounded_filters(tensor),
            _ => tensor.clone(),
        });
    }
    let CaseInput::Value(x) = &case.inputs[0] else { unreachable!() };
    let window = conv.window();
    let axes: Vec<_> = (0..rank).map(|axis| windows::windows(&window, axis, x.shape()[first + axis])).collect();
    // A block's sizes along each axis: lines, columns, and one of depth.
    let together: Vec<usize> = (0..rank)
        .map(|axis| match rank - 1 - axis {
            0 => axes[axis].0.div_ceil(axes[axis].0.div_ceil(56)),
            1 => 8,
            _ => 1,
        })
        .collect();
    let counts: Vec<usize> = (0..rank).map(|axis| axes[axis].0.div_ceil(together[axis])).collect();
    let block_of = |at: &[usize]| -> Vec<usize> { (0..rank).map(|axis| at[first + axis] / together[axis]).collect() };
    let mut whole: Option<Tensor> = None;
    for block in indices(&counts) {
        let seen = |at: &[usize]| {
            (0..rank).all(|axis| {
                let (count, before, _) = axes[axis];
                let (start, stride) = (block[axis] * together[axis], conv.strides[axis]);
                let last = (start + together[axis]).min(count) - 1;
                let at = at[first - 1 + axis] + before;
                at >= start * stride && at <= last * stride + (conv.kernel[axis] - 1) * conv.dilations[axis]
            })
        };
        let own = expected_of(case, |index, tensor| match index {
            0 => rounded_items(tensor, seen),
            1 => rounded_filters(tensor),
            _ => tensor.clone(),
        });
        let whole = whole.get_or_insert_with(|| own[0].clone());
        let shape = whole.shape().to_vec();
        let numbers = whole.as_mut_slice::<f32>().unwrap();
        for (at, own) in indices(&shape).zip(own[0].as_slice::<f32>().unwrap()).enumerate() {
            if block_of(&own.0) == block {
                numbers[at] = *own.1;
            }
        }
    }
    vec![whole.unwrap()]
}

#[test]
fn every_product_in_int8_agrees_with_the_oracle_on_rounded_operands() {
    let (mut failures, mut differ) = (Vec::new(), [0; 2]);
    for def in ops::all().iter().filter(|def| ["Linear", "Gemm", "MatMul", "Conv"].contains(&def.name)) {
        let is_of_f32 = |case: &&Case| match &case.inputs[0] {
            CaseInput::Value(x) => x.dtype() == DType::F32,
            _ => true,
        };
        for case in (def.cases)().iter().filter(is_of_f32) {
            let constant = match &case.inputs[1] {
                CaseInput::Constant(weights) => Some(weights),
                _ => None,
            };
            let conv = case.op.downcast_ref::<Conv>();
            let exact = expected(case);
            // Of a convolution in int8, or of any other product.
            let want_of = |is_held: bool| {
                if let Some(conv) = conv.filter(|_| is_held && constant.is_some()) {
                    return convolution(case, conv);
                }
                expected_of(case, |index, tensor| match (constant, conv) {
                    (Some(_), None) if !tensor.is_empty() => {
                        summed_axis(case, index).map_or_else(|| tensor.clone(), |axis| rounded(tensor, axis))
                    }
                    _ => tensor.clone(),
                })
            };
            let wants: [OnceCell<Vec<Tensor>>; 2] = Default::default();
            for kernel_set in KernelSet::available_int8() {
                let options = SessionOptions::on(Device::Cpu).kernel_set(kernel_set).precision(Precision::Int8);
                let session = Session::load(case.graph().unwrap(), &options).unwrap();
                let is_held = conv
                    .zip(constant)
                    .is_none_or(|(conv, weights)| is_held(conv, &case.name, weights.shape(), kernel_set));
                if !is_held && kernel_set.has_bf16() {
                    // It is in bf16.
                    continue;
                }
                let want = wants[usize::from(is_held)].get_or_init(|| want_of(is_held));
                let got = session.run(&inputs_of(case)).unwrap();
                for (((_, got), want), exact) in got.iter().zip(want).zip(&exact) {
                    let what = format!("{} `{}` on {kernel_set}", def.name, case.name);
                    let (got, want) = (got.as_slice::<f32>().unwrap(), want.as_slice::<f32>().unwrap());
                    differ[usize::from(conv.is_some())] += usize::from(got != exact.as_slice::<f32>().unwrap());
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
    assert!(differ.iter().all(|&count| count > 10), "the products are of integers indeed: {differ:?}");
}
