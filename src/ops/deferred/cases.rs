//! Operands that say sizes, known only in the run.

use crate::{
    op::{Attribute, Case, Fill},
    ops::deferred::Deferred,
    tensor::Tensor,
};

pub(super) fn cases() -> Vec<Case> {
    let of = |op: &str, attributes: &[(&str, i64)], outputs: usize| {
        let attributes: Vec<_> = attributes.iter().map(|&(name, value)| (name, Attribute::Int(value))).collect();
        Case::new(op, Deferred::new(op, &attributes, outputs))
    };
    let one = |op: &str| of(op, &[], 1);
    let list = |case: Case, values: &[i64]| case.integers(&[values.len()], values);
    let number = |case: Case, value: i64| case.tensor(Tensor::scalar(value));
    let floats = |case: Case, values: &[f32]| case.tensor(Tensor::new([values.len()], values).expect("a list"));
    let twos = |name: &'static str| (name, Attribute::Ints(vec![2, 2]));
    let pair = |case: Case| case.tensor(Tensor::new([2], &[-1f32, 2.0]).expect("two values"));
    vec![
        list(one("Reshape").value(&[2, 3, 4], Fill::Hostile), &[0, -1, 2]),
        list(one("Reshape").value(&[0, 5], Fill::Spread), &[-1, 5]),
        list(list(one("Slice").value(&[5, 4], Fill::Spread), &[1]), &[-1]),
        list(list(list(list(one("Slice").value(&[3, 7], Fill::Spread), &[-1]), &[i64::MIN]), &[1]), &[-2]),
        list(list(list(one("Slice").value(&[3, 7], Fill::Spread), &[5]), &[2]), &[1]),
        list(one("Pad").value(&[2, 3], Fill::Spread), &[1, 0, 0, 2]),
        list(one("Pad").value(&[2, 3], Fill::Spread), &[0, 1, 0, -1]).tensor(Tensor::scalar(7f32)),
        list(list(one("Pad").value(&[2, 3], Fill::Spread), &[1, 2]).absent(), &[1]),
        list(one("Expand").value(&[2, 1, 3], Fill::Spread), &[4, 1]),
        list(one("Expand").value(&[3], Fill::Spread), &[2, 3]),
        list(one("Tile").value(&[2, 3], Fill::Spread), &[2, 0]),
        list(one("Tile").value(&[2, 3], Fill::Spread), &[1, 3]),
        list(one("ConstantOfShape"), &[2, 3]),
        pair(number(one("OneHot").integers(&[2, 3], &[0, 1, 2, -1, 3, 9]), 4)),
        list(of("TopK", &[("axis", 0)], 2).value(&[5, 3], Fill::Spread), &[2]),
        list(of("Split", &[("axis", 1)], 3).value(&[2, 6], Fill::Spread), &[1, 0, 5]),
        number(number(number(one("Range"), -2), 9), 4),
        one("Range").tensor(Tensor::scalar(1f32)).tensor(Tensor::scalar(0f32)).tensor(Tensor::scalar(-0.25f32)),
        list(one("Squeeze").value(&[1, 3, 1], Fill::Spread), &[-1]),
        list(one("Unsqueeze").value(&[2, 3], Fill::Spread), &[0, 3]),
        list(one("ReduceSum").value(&[2, 3, 4], Fill::Spread), &[1]),
        list(of("ReduceMax", &[("keepdims", 0)], 1).value(&[2, 3, 4], Fill::Spread), &[0, -1]),
        number(one("CumSum").value(&[3, 4], Fill::Spread), 1),
        list(one("CenterCropPad").value(&[3, 4], Fill::Spread), &[2, 6]),
        list(one("AffineGrid").value(&[1, 2, 3], Fill::Spread), &[1, 3, 2, 4]),
        number(one("HannWindow"), 6),
        number(one("Trilu").value(&[3, 4], Fill::Spread), -1),
        list(
            Case::new("MaxUnpool", Deferred::new("MaxUnpool", &[twos("kernel_shape"), twos("strides")], 1))
                .value(&[1, 1, 2, 2], Fill::Spread)
                .integers(&[1, 1, 2, 2], &[5, 7, 13, 15]),
            &[1, 1, 5, 5],
        ),
        number(one("CumProd").value(&[3, 4], Fill::Spread), 1),
        list(list(one("Col2Im").value(&[1, 4, 6], Fill::Spread), &[3, 4]), &[2, 2]),
        list(one("Resize").value(&[1, 2, 3, 4], Fill::Spread).absent().absent(), &[1, 2, 6, 2]),
        floats(one("Resize").value(&[3, 4], Fill::Spread).absent(), &[1.0, 1.5]),
        floats(one("Upsample").value(&[2, 3], Fill::Spread), &[2.0, 1.0]),
        number(of("DFT", &[("axis", 0)], 1).value(&[6, 2], Fill::Spread), 4),
        number(one("STFT").value(&[2, 9, 1], Fill::Spread), 2).absent().tensor(Tensor::scalar(4i64)),
        number(number(number(one("MelWeightMatrix"), 3), 16), 8000)
            .tensor(Tensor::scalar(100f32))
            .tensor(Tensor::scalar(3000f32)),
    ]
}
