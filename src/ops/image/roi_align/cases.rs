//! Cases of `RoiAlign`.

use crate::{
    op::{Case, Fill},
    ops::image::roi_align::RoiAlign,
    tensor::Tensor,
};

pub(super) fn cases() -> Vec<Case> {
    let base = RoiAlign { rows: 3, columns: 2, sampling: 2, scale: 1.0, half_pixel: true, max: false };
    // Inside, past the edges, of no size, and the wrong way round.
    let edges = [0.5f32, 0.25, 4.0, 3.5, -3.0, -2.0, 9.0, 8.0, 2.0, 2.0, 2.0, 2.0, 4.0, 3.0, 1.0, 0.5];
    let regions = Tensor::new([4, 4], &edges).expect("four regions");
    let doubles = Tensor::new([1, 4], &[0.5f64, 0.25, 2.0, 1.5]).expect("a region");
    let image = Tensor::new([1, 1, 2, 3], &[1f64, 2.0, 3.0, 4.0, 5.0, 6.5]).expect("an image");
    let case = |name: &str, op: RoiAlign| {
        Case::new(name, op).value(&[2, 3, 5, 6], Fill::Spread).tensor(regions.clone()).integers(&[4], &[0, 1, 1, 0])
    };
    vec![
        case("means", base),
        case("largest", RoiAlign { max: true, ..base }),
        case("as many points as pixels", RoiAlign { sampling: 0, ..base }),
        case("largest of as many", RoiAlign { sampling: 0, max: true, ..base }),
        case("old", RoiAlign { half_pixel: false, sampling: 0, scale: 0.5, ..base }),
        Case::new("f64", base).tensor(image).tensor(doubles).integers(&[1], &[0]),
        Case::new("no regions", base)
            .value(&[1, 2, 3, 3], Fill::Spread)
            .value(&[0, 4], Fill::Spread)
            .integers(&[0], &[]),
    ]
}
