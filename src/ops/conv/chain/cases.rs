//! Cases of `ConvChain`.

use crate::{
    kernels::Activation,
    op::{Case, CaseInput, Fill, case::with_specials},
    ops::{
        conv::{Conv, Layout, chain::ConvChain},
        pool::window::Pads,
    },
};

/// Sizes of a case: those of the input, then the channels of the depthwise convolution and of the result.
struct Sizes {
    x: [usize; 4],
    inner: usize,
    filters: usize,
}

fn last(kernel: [usize; 2]) -> Conv {
    Conv { layout: Layout::ChannelsLast, ..Conv::new(kernel.to_vec()) }
}

/// A depthwise convolution with as much padding on all sides.
fn depthwise(inner: usize, kernel: usize, stride: usize, pad: usize) -> Conv {
    let pads = Pads::Explicit(vec![(pad, pad); 2]);
    let activation = Activation::Relu;
    Conv { groups: inner, strides: vec![stride; 2], pads, activation, ..last([kernel; 2]) }
}

/// A chain with both convolutions around the depthwise one.
fn whole(depthwise: Conv) -> ConvChain {
    let before = Conv { activation: Activation::Silu, ..last([1, 1]) };
    ConvChain { before: Some(before), depthwise, behind: Some(last([1, 1])) }
}

/// The operands of a chain but a summand; every weight has a bias.
fn case(name: &str, op: ConvChain, sizes: &Sizes) -> Case {
    let &Sizes { x, inner, filters } = sizes;
    let (has_before, has_behind) = (op.before.is_some(), op.behind.is_some());
    let kernel = op.depthwise.kernel.clone();
    let stage = |case: Case, is_there: bool, weights: [usize; 4]| {
        if is_there {
            case.constant(&weights, Fill::Spread).constant(&weights[..1], Fill::Spread)
        } else {
            case.absent().absent()
        }
    };
    let case = stage(Case::new(name, op).value(&x, Fill::Spread), has_before, [inner, x[3], 1, 1]);
    let case = stage(case, true, [inner, 1, kernel[0], kernel[1]]);
    if has_behind { stage(case, true, [filters, inner, 1, 1]) } else { case }
}

pub(super) fn cases() -> Vec<Case> {
    let sizes = |x: [usize; 4], inner: usize, filters: usize| Sizes { x, inner, filters };
    let uneven = Pads::Explicit(vec![(2, 0), (0, 3)]);
    let dilated = Conv { dilations: vec![2, 3], pads: uneven, ..depthwise(17, 3, 1, 0) };
    let same = Conv { pads: Pads::SameUpper, ..depthwise(20, 5, 2, 0) };
    let skipping = Conv { strides: vec![4, 2], ..depthwise(9, 2, 1, 0) };
    let mut without_bias = case("no bias", whole(depthwise(8, 3, 1, 1)), &sizes([1, 6, 30, 3], 8, 5));
    for at in [2, 4, 6] {
        without_bias.inputs[at] = CaseInput::Absent;
    }
    let mut special = case("not finite", whole(depthwise(16, 3, 1, 1)), &sizes([3, 9, 31, 4], 16, 7));
    special.inputs[0] = CaseInput::Value(with_specials(&[3, 9, 31, 4], 1));
    vec![
        case("wide", whole(depthwise(33, 3, 1, 1)), &sizes([2, 19, 70, 7], 33, 24)),
        case("wide, many lines", whole(depthwise(96, 3, 2, 1)), &sizes([1, 60, 90, 5], 96, 18)),
        case("narrow", whole(depthwise(40, 5, 1, 2)), &sizes([2, 9, 7, 12], 40, 10)),
        case("narrow, many lines", whole(depthwise(300, 3, 1, 1)), &sizes([1, 40, 12, 3], 300, 5)),
        case("summand", whole(depthwise(24, 3, 1, 1)), &sizes([2, 12, 33, 6], 24, 6))
            .value(&[2, 12, 33, 6], Fill::Spread),
        case("summand, narrow", whole(depthwise(24, 3, 1, 1)), &sizes([2, 5, 4, 6], 24, 6))
            .value(&[2, 5, 4, 6], Fill::Spread),
        case("dilated, uneven pads", whole(dilated), &sizes([1, 14, 35, 4], 17, 6)),
        case("padded as needed", whole(same), &sizes([1, 21, 29, 4], 20, 6)),
        case("windows side by side", whole(depthwise(11, 3, 3, 1)), &sizes([1, 20, 32, 4], 11, 6)),
        case("lines that no window reads", whole(skipping), &sizes([1, 23, 31, 4], 9, 6)),
        case(
            "nothing before",
            ConvChain { before: None, ..whole(depthwise(19, 3, 1, 1)) },
            &sizes([2, 11, 40, 19], 19, 8),
        ),
        case(
            "nothing behind",
            ConvChain { behind: None, ..whole(depthwise(19, 5, 2, 2)) },
            &sizes([2, 11, 40, 3], 19, 19),
        ),
        case(
            "nothing around",
            ConvChain { before: None, behind: None, ..whole(depthwise(5, 3, 1, 1)) },
            &sizes([1, 4, 6, 5], 5, 5),
        ),
        case("one position", whole(depthwise(6, 3, 1, 1)), &sizes([1, 1, 1, 2], 6, 3)),
        case("empty batch", whole(depthwise(6, 3, 1, 1)), &sizes([0, 5, 6, 2], 6, 3)),
        without_bias,
        special,
    ]
}
