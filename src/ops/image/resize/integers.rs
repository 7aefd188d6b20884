//! Integers between two samples: all axes at once, in f32, truncated.

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::number::Number,
    ops::image::resize::{Change, Coordinates, Mode, Resize, taps::Taps},
    shape::Dim,
    tensor::{DType, View, ViewMut},
};

impl Resize {
    /// Whether it computes such integers between samples, with these sizes of its result: as ONNX Runtime, along two axes
    /// at most.
    pub(super) fn samples_integers(&self, input: &Fact, sizes: &[Dim]) -> bool {
        let moves = |((change, from), to): ((&Change, &Dim), &Dim)| match change {
            Change::Keep => false,
            Change::Scale(scale) => *scale != 1.0,
            Change::Size(_) => from != to,
        };
        let axes = self.changes.iter().zip(input.shape.dims()).zip(sizes).filter(|&each| moves(each)).count();
        let plain = !self.antialias && !self.exclude_outside && self.coordinates != Coordinates::Crop;
        let known = matches!(input.dtype, DType::U8 | DType::I8 | DType::I32);
        self.mode == Mode::Linear && plain && axes <= 2 && known
    }
}

/// Resizes along at most two axes.
///
/// Each element is the sum of its samples in the order of their places, in f32, towards zero, as ONNX's reference and ONNX
/// Runtime have it: rounding decides between two integers where the exact sum is one.
pub(super) fn linear<T: Number>(taps: &[Option<Taps>], input: View<'_>, output: &mut ViewMut<'_>) -> Result<()> {
    let changed: Vec<_> = taps.iter().enumerate().filter_map(|(axis, taps)| Some((axis, taps.as_ref()?))).collect();
    let (first, second, rows, columns) = match *changed {
        [] => {
            output.bytes.copy_from_slice(input.bytes);
            return Ok(());
        }
        // The one axis behind an outermost one of size 1.
        [(axis, columns)] => (None, axis, None, columns),
        [(first, rows), (second, columns)] => (Some(first), second, Some(rows), columns),
        _ => return Err(Error::internal("integers resized along three axes were not refused")),
    };
    let count = |axes: std::ops::Range<usize>| input.shape[axes].iter().product::<usize>();
    let (height, to_height) = first.map_or((1, 1), |axis| (input.shape[axis], output.shape[axis]));
    let (width, to_width) = (input.shape[second], output.shape[second]);
    let between = count(first.map_or(0, |axis| axis + 1)..second);
    let inner = count(second + 1..input.shape.len());
    let from = input.slice::<T>()?;
    for (index, to) in output.slice::<T>()?.chunks_exact_mut(inner).enumerate() {
        let (x, index) = (index % to_width, index / to_width);
        let (middle, index) = (index % between, index / between);
        let (y, block) = (index % to_height, index / to_height);
        for (place, to) in to.iter_mut().enumerate() {
            let mut sum = 0.0f32;
            for &(row, row_weight) in rows.map_or([(0, 1.0)].as_slice(), |rows| rows.of(y)) {
                for &(column, weight) in columns.of(x) {
                    let at = ((block * height + row) * between + middle) * width + column;
                    sum += weight as f32 * row_weight as f32 * from[at * inner + place].wide() as f32;
                }
            }
            *to = T::narrow(f64::from(sum));
        }
    }
    Ok(())
}
