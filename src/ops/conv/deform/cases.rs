//! Cases of `DeformConv`.

use crate::{
    op::{Case, Fill},
    ops::{conv::deform::DeformConv, pool::window::Pads},
    tensor::{DType, Tensor},
};

pub(super) fn cases() -> Vec<Case> {
    let base = DeformConv {
        kernel: vec![2, 3],
        strides: vec![1, 1],
        dilations: vec![1, 1],
        pads: Pads::Explicit(vec![(0, 0), (0, 0)]),
        groups: 1,
        offset_groups: 1,
    };
    let padded = DeformConv {
        pads: Pads::Explicit(vec![(1, 0), (1, 2)]),
        strides: vec![2, 1],
        dilations: vec![1, 2],
        ..base.clone()
    };
    let grouped = DeformConv { groups: 2, offset_groups: 2, ..base.clone() };
    let double = |shape: &[usize], step: f64| {
        let mut tensor = Tensor::zeros(DType::F64, shape).expect("a small tensor");
        let numbers = tensor.as_mut_slice::<f64>().expect("made as f64");
        numbers.iter_mut().enumerate().for_each(|(at, to)| *to = (at as f64 * step).sin());
        tensor
    };
    vec![
        Case::new("images", base.clone())
            .value(&[2, 3, 4, 5], Fill::Spread)
            .constant(&[4, 3, 2, 3], Fill::Spread)
            .value(&[2, 12, 3, 3], Fill::Spread),
        Case::new("bias and mask", padded)
            .value(&[1, 2, 5, 4], Fill::Spread)
            .constant(&[3, 2, 2, 3], Fill::Spread)
            .value(&[1, 12, 3, 3], Fill::Spread)
            .constant(&[3], Fill::Spread)
            .value(&[1, 6, 3, 3], Fill::Positive),
        Case::new("groups", grouped)
            .value(&[1, 4, 3, 4], Fill::Spread)
            .constant(&[2, 2, 2, 3], Fill::Spread)
            .value(&[1, 24, 2, 2], Fill::Spread)
            .absent()
            .value(&[1, 12, 2, 2], Fill::Spread),
        Case::new("far away", base.clone())
            .value(&[1, 1, 3, 4], Fill::Spread)
            .constant(&[1, 1, 2, 3], Fill::Spread)
            .value(&[1, 12, 2, 2], Fill::Large),
        Case::new("f64", base.clone())
            .tensor(double(&[1, 1, 3, 4], 0.7))
            .tensor(double(&[1, 1, 2, 3], 1.3))
            .tensor(double(&[1, 12, 2, 2], 2.1)),
        Case::new("empty", base)
            .value(&[0, 1, 3, 4], Fill::Spread)
            .constant(&[1, 1, 2, 3], Fill::Spread)
            .value(&[0, 12, 2, 2], Fill::Spread),
    ]
}
