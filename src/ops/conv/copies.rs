//! Copies of a block's input, with its padding, as windows read it.

use crate::{
    error::Result,
    kernels::{
        KernelSet,
        gemm::{Affine, Integer},
    },
    ops::conv::geometry::{Block, Geometry},
};

/// From a plane and a line of a block's copied input to the next.
pub(super) fn copied_strides(geometry: &Geometry, block: &Block) -> (usize, usize) {
    let line = geometry.reach(2, block.columns) * geometry.channels;
    (geometry.reach(1, block.lines) * line, line)
}

/// A line of a block's input: `ahead` positions of padding, then `count` of the input from `from` on, then padding.
struct Line {
    /// Which line of the copy it is.
    at: usize,
    ahead: usize,
    /// `None` in the padding above and below.
    from: Option<usize>,
    count: usize,
}

/// The lines of a block's input.
fn lines(geometry: &Geometry, block: &Block) -> impl Iterator<Item = Line> {
    let &Geometry { size, pads, strides, dilations, kernel: [depths, ..], .. } = geometry;
    let &Block { depth, line, column, .. } = block;
    let (rows, columns) = (geometry.reach(1, block.lines), geometry.reach(2, block.columns));
    let begin = column * strides[2];
    let ahead = pads[2].saturating_sub(begin).min(columns);
    let start = (begin + ahead).saturating_sub(pads[2]).min(size[2]);
    let count = (columns - ahead).min(size[2] - start);
    (0..depths * rows).map(move |at| {
        let plane = depth * strides[0] + at / rows * dilations[0];
        let plane = plane.checked_sub(pads[0]).filter(|&plane| plane < size[0]);
        let height = (line * strides[1] + at % rows).checked_sub(pads[1]).filter(|&height| height < size[1]);
        let from = plane.zip(height).map(|(plane, height)| (plane * size[1] + height) * size[2] + start);
        Line { at, ahead, from, count }
    })
}

/// The parts of an item with its channels last that a block's windows see.
pub(super) fn seen<'x>(geometry: &Geometry, block: &Block, x: &'x [f32]) -> impl Iterator<Item = &'x [f32]> {
    let channels = geometry.channels;
    lines(geometry, block).filter_map(move |line| Some(&x[line.from? * channels..][..line.count * channels]))
}

/// Copies a block's input, `zero` around it: `run` writes the channels of consecutive positions, from a position of the
/// input on.
pub(super) fn copy<T: Copy>(
    geometry: &Geometry,
    block: &Block,
    zero: T,
    to: &mut [T],
    run: impl Fn(usize, &mut [T]) -> Result<()>,
) -> Result<()> {
    let channels = geometry.channels;
    let size = geometry.reach(2, block.columns) * channels;
    for Line { at, ahead, from, count } in lines(geometry, block) {
        let to = &mut to[at * size..][..size];
        let Some(from) = from else {
            to.fill(zero);
            continue;
        };
        let (zeros, to) = to.split_at_mut(ahead * channels);
        let (to, behind) = to.split_at_mut(count * channels);
        zeros.fill(zero);
        behind.fill(zero);
        if !to.is_empty() {
            run(from, to)?;
        }
    }
    Ok(())
}

/// [`copy`] of numbers to integers.
pub(super) fn copy_quantized<T: Integer>(
    set: KernelSet,
    geometry: &Geometry,
    affine: Affine,
    x: &[f32],
    block: &Block,
    to: &mut [T],
) -> Result<()> {
    let mut zero = [T::zeroed()];
    affine.quantize(set, &[0.0], &mut zero)?;
    let channels = geometry.channels;
    copy(geometry, block, zero[0], to, |from, to| affine.quantize(set, &x[from * channels..][..to.len()], to))
}
