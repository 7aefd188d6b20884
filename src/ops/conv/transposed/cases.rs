//! Cases of `ConvTranspose`.

use crate::{
    op::{Case, Fill},
    ops::{conv::transposed::ConvTranspose, pool::window::Pads},
};

pub(super) fn cases() -> Vec<Case> {
    let of = |kernel: &[usize]| ConvTranspose::new(kernel.to_vec());
    let explicit = |pads: &[(usize, usize)]| Pads::Explicit(pads.to_vec());
    let spread = Fill::Spread;
    let doubled = |pads| ConvTranspose { strides: vec![2, 2], pads, ..of(&[3, 4]) };
    vec![
        Case::new("line", of(&[3])).value(&[2, 5, 7], spread).constant(&[5, 4, 3], spread),
        Case::new(
            "plane",
            ConvTranspose {
                strides: vec![2, 3],
                pads: explicit(&[(1, 0), (2, 1)]),
                output_padding: vec![1, 0],
                dilations: vec![2, 1],
                ..of(&[3, 2])
            },
        )
        .value(&[2, 3, 5, 4], spread)
        .constant(&[3, 7, 3, 2], spread)
        .constant(&[7], spread),
        Case::new("space", ConvTranspose { strides: vec![1, 2, 1], ..of(&[2, 1, 3]) })
            .value(&[1, 2, 3, 2, 4], spread)
            .constant(&[2, 3, 2, 1, 3], spread),
        Case::new("run-time weights", ConvTranspose { groups: 2, ..of(&[2, 2]) })
            .value(&[2, 4, 3, 3], spread)
            .value(&[4, 3, 2, 2], spread)
            .value(&[6], spread),
        Case::new("depthwise", ConvTranspose { groups: 5, strides: vec![2], ..of(&[4]) })
            .value(&[1, 5, 6], spread)
            .constant(&[5, 1, 4], spread),
        Case::new("same upper", doubled(Pads::SameUpper)).value(&[1, 2, 4, 3], spread).constant(&[2, 3, 3, 4], spread),
        Case::new("same lower", doubled(Pads::SameLower)).value(&[1, 2, 4, 3], spread).constant(&[2, 3, 3, 4], spread),
        Case::new("asked size", ConvTranspose { output_shape: Some(vec![8, 9]), ..doubled(explicit(&[(0, 0); 2])) })
            .value(&[1, 2, 4, 3], spread)
            .constant(&[2, 3, 3, 4], spread),
        Case::new("many positions", of(&[3, 3])).value(&[1, 9, 60, 60], spread).constant(&[9, 8, 3, 3], spread),
        Case::new("empty batch", of(&[3])).value(&[0, 2, 8], spread).constant(&[2, 3, 3], spread),
        Case::new("no channels", of(&[3]))
            .value(&[2, 0, 4], spread)
            .constant(&[0, 3, 3], spread)
            .constant(&[3], spread),
        Case::new("f64", ConvTranspose { groups: 2, strides: vec![2, 3], dilations: vec![1, 2], ..of(&[3, 2]) })
            .doubles(&[2, 4, 3, 4])
            .doubles(&[4, 3, 3, 2])
            .doubles(&[6]),
        Case::new("f64, cut", doubled(explicit(&[(1, 0), (2, 1)]))).doubles(&[1, 2, 4, 3]).doubles(&[2, 3, 3, 4]),
        Case::new("f64, empty batch", of(&[3])).doubles(&[0, 2, 8]).doubles(&[2, 3, 3]),
    ]
}
