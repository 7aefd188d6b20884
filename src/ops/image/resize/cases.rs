//! Cases of `Resize`.

use crate::{
    op::{Case, Fill},
    ops::image::resize::{Aspect, Change, Coordinates, Mode, Nearest, Resize},
    shape::Dim,
    tensor::Tensor,
};

pub(super) fn cases() -> Vec<Case> {
    let keep = || Change::Keep;
    let size = |size: usize| Change::Size(Dim::from(size));
    let cubic = Mode::Cubic { coefficient: -0.75 };
    let mut cases = Vec::new();
    for coordinates in [
        Coordinates::HalfPixel,
        Coordinates::HalfPixelSymmetric,
        Coordinates::HalfPixelUnlessOne,
        Coordinates::AlignCorners,
        Coordinates::Asymmetric,
        Coordinates::HalfPixelForNearest,
    ] {
        for (mode, nearest) in [
            (Mode::Nearest, Nearest::RoundDown),
            (Mode::Nearest, Nearest::RoundUp),
            (Mode::Nearest, Nearest::Floor),
            (Mode::Nearest, Nearest::Ceil),
            (Mode::Linear, Nearest::Floor),
            (cubic, Nearest::Floor),
        ] {
            let own = |changes| Resize { coordinates, nearest, ..Resize::new(mode, changes) };
            let name = |what: &str| format!("{what}, {mode:?}, {nearest:?}, {coordinates:?}");
            cases.push(
                Case::new(name("up"), own(vec![keep(), keep(), Change::Scale(2.5), size(9)]))
                    .value(&[2, 3, 5, 4], Fill::Spread),
            );
            cases.push(
                Case::new(name("down"), own(vec![keep(), size(3), Change::Scale(0.6)]))
                    .value(&[2, 11, 7], Fill::Spread),
            );
            cases.push(Case::new(name("to one"), own(vec![keep(), size(1)])).value(&[3, 6], Fill::Spread));
            let whole = Resize { whole_lengths: true, ..own(vec![keep(), Change::Scale(1.7), Change::Scale(0.6)]) };
            cases.push(Case::new(name("whole lengths"), whole).value(&[2, 4, 7], Fill::Spread));
        }
    }
    let halves = [2, 5].map(|size| vec![keep(), Change::Size(Dim::from(size)), Change::Scale(0.5), keep()]);
    for (changes, mode) in halves.into_iter().zip([Mode::Linear, cubic]) {
        let averaged = Resize { antialias: true, ..Resize::new(mode, changes.clone()) };
        let bordered = Resize { exclude_outside: true, ..Resize::new(mode, changes) };
        cases.push(Case::new(format!("antialias, {mode:?}"), averaged).value(&[2, 9, 12, 2], Fill::Spread));
        cases.push(Case::new(format!("exclude outside, {mode:?}"), bordered).value(&[2, 3, 8, 1], Fill::Spread));
    }
    for aspect in [Aspect::NotLarger, Aspect::NotSmaller] {
        let op = Resize { aspect, ..Resize::new(Mode::Linear, vec![keep(), size(7), size(8)]) };
        cases.push(Case::new(format!("{aspect:?}"), op).value(&[2, 3, 4], Fill::Spread));
    }
    for mode in [Mode::Nearest, Mode::Linear, cubic] {
        let crop = Resize {
            coordinates: Coordinates::Crop,
            region: vec![2, 1],
            outside: 9.5,
            ..Resize::new(mode, vec![keep(), size(4), size(5)])
        };
        let region = Tensor::new([4], &[0.4f32, 0.3, 1.2, 0.7]).expect("four numbers");
        cases.push(Case::new(format!("crop, {mode:?}"), crop).value(&[2, 5, 7], Fill::Spread).tensor(region));
    }
    let doubled = || Resize {
        coordinates: Coordinates::Asymmetric,
        ..Resize::new(Mode::Nearest, vec![Change::Scale(2.0), keep()])
    };
    cases.push(Case::new("integers", doubled()).integers(&[2, 2], &[5, 6, -7, 8]));
    // By factors whose weights f32 has, so that no rounding decides between two integers.
    let lines = [
        ("planes", vec![keep(), size(6), Change::Scale(0.5)], vec![2, 3, 4]),
        ("channels last", vec![size(4), size(4), size(3)], vec![2, 2, 3]),
        ("one axis", vec![keep(), Change::Scale(2.0), keep()], vec![2, 3, 2]),
    ];
    for (name, changes, shape) in lines {
        let numbers: Vec<i8> = (0..shape.iter().product::<usize>()).map(|at| (at as i8).wrapping_mul(83)).collect();
        let bytes: Vec<u8> = numbers.iter().map(|number| *number as u8).collect();
        let op = || Resize::new(Mode::Linear, changes.clone());
        let tensor = Tensor::new(shape.clone(), &numbers).expect("as many numbers as the shape has");
        cases.push(Case::new(format!("integers on lines, {name}"), op()).tensor(tensor));
        let tensor = Tensor::new(shape, &bytes).expect("as many numbers as the shape has");
        cases.push(Case::new(format!("bytes on lines, {name}"), op()).tensor(tensor));
    }
    cases.push(Case::new("empty", doubled()).value(&[0, 5], Fill::Spread));
    cases
}
