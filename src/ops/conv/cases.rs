//! Cases of `Conv`.

use crate::{
    kernels::Activation,
    op::{Case, Fill, case::with_specials},
    ops::{
        conv::{Conv, Layout},
        pool::window::Pads,
    },
};

pub(super) fn cases() -> Vec<Case> {
    let conv = |kernel: &[usize]| Conv::new(kernel.to_vec());
    let explicit = |pads: &[(usize, usize)]| Pads::Explicit(pads.to_vec());
    let last = |conv: Conv| Conv { layout: Layout::ChannelsLast, ..conv };
    let spread = Fill::Spread;
    let mut cases = vec![
        Case::new("one dimension", conv(&[5])).value(&[2, 7, 40], spread).constant(&[19, 7, 5], spread),
        Case::new("run-time weights", Conv { pads: explicit(&[(1, 1), (1, 1)]), ..conv(&[3, 3]) })
            .value(&[1, 3, 5, 5], spread)
            .value(&[4, 3, 3, 3], spread)
            .value(&[4], spread),
        Case::new("run-time depthwise", Conv { groups: 4, ..conv(&[3]) })
            .value(&[1, 4, 9], spread)
            .value(&[4, 1, 3], spread),
        Case::new("one tap", Conv { activation: Activation::Relu, ..conv(&[1, 1]) })
            .value(&[2, 9, 6, 7], spread)
            .constant(&[34, 9, 1, 1], spread)
            .constant(&[34], spread),
        Case::new("strided tap", Conv { strides: vec![2, 3], ..conv(&[1, 1]) })
            .value(&[2, 9, 6, 8], spread)
            .constant(&[5, 9, 1, 1], spread),
        Case::new(
            "three dimensions",
            Conv { strides: vec![1, 2, 1], pads: explicit(&[(1, 0), (1, 1), (0, 2)]), ..conv(&[2, 3, 2]) },
        )
        .value(&[2, 3, 4, 5, 6], spread)
        .constant(&[5, 3, 2, 3, 2], spread)
        .constant(&[5], spread),
        Case::new("wide line", Conv { pads: explicit(&[(2, 2)]), strides: vec![2], ..conv(&[5]) })
            .value(&[1, 2, 9001], spread)
            .constant(&[3, 2, 5], spread),
        Case::new("many lines", Conv { pads: explicit(&[(1, 1), (1, 1)]), ..conv(&[3, 3]) })
            .value(&[1, 33, 70, 9], spread)
            .constant(&[17, 33, 3, 3], spread),
        Case::new("empty batch", conv(&[3])).value(&[0, 2, 8], spread).constant(&[3, 2, 3], spread),
        Case::new("no channels", conv(&[3]))
            .value(&[2, 0, 5], spread)
            .constant(&[3, 0, 3], spread)
            .constant(&[3], spread),
    ];
    cases.extend(doubles());
    // All attributes at once, in both layouts, with and without the maximum.
    for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
        for global_max in [false, true] {
            let shape = |channels: usize, spatial: &[usize]| {
                let mut shape = vec![3];
                shape.extend_from_slice(spatial);
                shape.insert(if layout == Layout::ChannelsFirst { 1 } else { shape.len() }, channels);
                shape
            };
            let made = |name: &str, conv: Conv| {
                Case::new(format!("{name}, {layout:?}, global_max {global_max}"), Conv { layout, global_max, ..conv })
            };
            cases.extend([
                made(
                    "padded",
                    Conv {
                        pads: explicit(&[(2, 1), (0, 3)]),
                        strides: vec![2, 1],
                        dilations: vec![1, 2],
                        activation: Activation::Tanh,
                        ..conv(&[3, 3])
                    },
                )
                .value(&shape(5, &[9, 11]), spread)
                .constant(&[33, 5, 3, 3], spread)
                .constant(&[33], spread),
                made("same", Conv { pads: Pads::SameUpper, strides: vec![2, 2], ..conv(&[3, 2]) })
                    .value(&shape(4, &[7, 8]), spread)
                    .constant(&[6, 4, 3, 2], spread),
                made("same lower", Conv { pads: Pads::SameLower, ..conv(&[4]) })
                    .value(&shape(4, &[7]), spread)
                    .constant(&[6, 4, 4], spread),
                made(
                    "groups",
                    Conv {
                        groups: 3,
                        pads: explicit(&[(1, 1), (1, 1)]),
                        activation: Activation::Relu,
                        ..conv(&[3, 3])
                    },
                )
                .value(&shape(6, &[5, 9]), spread)
                .constant(&[12, 2, 3, 3], spread)
                .constant(&[12], spread),
                made(
                    "depthwise",
                    Conv {
                        groups: 37,
                        pads: explicit(&[(1, 1), (1, 1)]),
                        strides: vec![2, 1],
                        dilations: vec![1, 2],
                        activation: Activation::Relu,
                        ..conv(&[3, 3])
                    },
                )
                .value(&shape(37, &[6, 9]), spread)
                .constant(&[37, 1, 3, 3], spread)
                .constant(&[37], spread),
                made("depthwise, two each", Conv { groups: 5, ..conv(&[3]) })
                    .value(&shape(5, &[9]), spread)
                    .constant(&[10, 1, 3], spread),
            ]);
        }
    }
    cases.extend(tiled());
    cases.extend(many_channels());
    cases.push(
        Case::new("infinite position", last(conv(&[3])))
            .tensor(with_specials(&[3, 10, 4], 1))
            .constant(&[20, 4, 3], spread),
    );
    cases
}

/// Of as many channels as products in int8 take, with parts of windows of whole steps and others.
fn many_channels() -> Vec<Case> {
    let mut cases = Vec::new();
    for (layout, global_max) in
        [(Layout::ChannelsFirst, false), (Layout::ChannelsLast, false), (Layout::ChannelsLast, true)]
    {
        let pads = Pads::Explicit(vec![(1, 1), (0, 2)]);
        let conv =
            |kernel: &[usize]| Conv { layout, global_max, activation: Activation::Relu, ..Conv::new(kernel.to_vec()) };
        let padded = Conv { pads, ..conv(&[3, 3]) };
        let mut push = |name: &str, conv: Conv, spatial: &[usize], weights: &[usize]| {
            let mut x = vec![2];
            x.extend_from_slice(spatial);
            x.insert(if layout == Layout::ChannelsFirst { 1 } else { x.len() }, weights[1] * conv.groups);
            let name = format!("channels, {name}, {layout:?}, global_max {global_max}");
            let case = Case::new(name, conv).value(&x, Fill::Spread).constant(weights, Fill::Spread);
            cases.push(case.constant(&weights[..1], Fill::Spread));
        };
        push("one tap", conv(&[1, 1]), &[5, 7], &[19, 18, 1, 1]);
        push("strided tap", Conv { strides: vec![2, 2], ..conv(&[1, 1]) }, &[5, 7], &[19, 18, 1, 1]);
        push("taps of a group", Conv { groups: 2, ..conv(&[1]) }, &[9], &[8, 20, 1]);
        push("whole parts", padded.clone(), &[7, 8], &[17, 20, 3, 3]);
        push("copied parts", padded.clone(), &[7, 8], &[9, 18, 3, 3]);
        push("long lines, copied parts", Conv { strides: vec![2, 1], ..padded.clone() }, &[5, 41], &[9, 17, 3, 3]);
        push("many lines and columns", padded.clone(), &[11, 70], &[5, 16, 3, 3]);
        push("lines of copied parts", conv(&[2, 2]), &[3, 59], &[5, 17, 2, 2]);
        push("dilated", Conv { dilations: vec![1, 2], ..padded.clone() }, &[6, 9], &[9, 16, 3, 3]);
        push("groups", Conv { groups: 2, ..padded.clone() }, &[6, 9], &[10, 16, 3, 3]);
        push("groups of parts", Conv { groups: 2, ..padded }, &[6, 9], &[10, 18, 3, 3]);
        push("in place", conv(&[3]), &[12], &[5, 16, 3]);
        push("in space", Conv { strides: vec![1, 1, 2], ..conv(&[2, 2, 3]) }, &[3, 4, 7], &[5, 16, 2, 2, 3]);
    }
    cases.push(
        Case::new("channels, not finite", Conv { layout: Layout::ChannelsLast, ..Conv::new(vec![1, 3]) })
            .tensor(with_specials(&[4, 3, 5, 16], 0))
            .constant(&[6, 16, 1, 3], Fill::Spread),
    );
    cases
}

/// Of 3 x 3 taps and as many channels as go by Winograd's algorithm.
fn tiled() -> Vec<Case> {
    let case = |name: &str, pads: &[(usize, usize)], activation| {
        let pads = Pads::Explicit(pads.to_vec());
        let conv = Conv { pads, activation, layout: Layout::ChannelsLast, ..Conv::new(vec![3, 3]) };
        Case::new(format!("tiles, {name}"), conv)
    };
    let spread = Fill::Spread;
    vec![
        case("padded", &[(1, 1), (1, 1)], Activation::Relu)
            .value(&[2, 13, 22, 17], spread)
            .constant(&[33, 17, 3, 3], spread)
            .constant(&[33], spread),
        case("unequal pads", &[(2, 0), (0, 3)], Activation::None)
            .value(&[1, 12, 18, 16], spread)
            .constant(&[16, 16, 3, 3], spread),
        case("no pads", &[(0, 0), (0, 0)], Activation::Silu)
            .value(&[1, 18, 11, 24], spread)
            .constant(&[40, 24, 3, 3], spread),
        case("not finite", &[(1, 1), (1, 1)], Activation::None)
            .tensor(with_specials(&[2, 16, 16, 16], 1))
            .constant(&[16, 16, 3, 3], spread),
        case("too small", &[(1, 1), (1, 1)], Activation::None)
            .value(&[3, 2, 5, 16], spread)
            .constant(&[16, 16, 3, 3], spread),
    ]
}

/// Of f64.
fn doubles() -> Vec<Case> {
    let pads = Pads::Explicit(vec![(2, 1), (0, 3)]);
    let padded = Conv { pads, strides: vec![2, 1], dilations: vec![1, 2], groups: 2, ..Conv::new(vec![3, 3]) };
    let space = Conv { pads: Pads::SameLower, strides: vec![1, 2, 3], ..Conv::new(vec![2, 1, 3]) };
    vec![
        Case::new("f64", padded.clone()).doubles(&[2, 6, 9, 11]).doubles(&[4, 3, 3, 3]).doubles(&[4]),
        Case::new("f64 in space", space).doubles(&[1, 2, 3, 4, 7]).doubles(&[3, 2, 2, 1, 3]),
        Case::new("f64, empty batch", Conv::new(vec![3])).doubles(&[0, 2, 8]).doubles(&[3, 2, 3]),
        Case::new("f64, no channels", Conv::new(vec![3])).doubles(&[2, 0, 5]).doubles(&[3, 0, 3]).doubles(&[3]),
        Case::new(
            "f64, only padding",
            Conv { dilations: vec![5], pads: Pads::Explicit(vec![(8, 8)]), ..Conv::new(vec![3]) },
        )
        .doubles(&[1, 1, 2])
        .doubles(&[1, 1, 3]),
    ]
}
