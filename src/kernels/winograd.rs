//! Convolutions of 3 x 3 taps by Winograd's algorithm: tiles of 4 x 4 results, each from a patch of 6 x 6 positions.
//!
//! A patch and a filter are transformed to 36 points, multiplied there, and the products are
//! transformed to the 16 results: 36 multiplications for each channel and filter instead of 144
//! (Lavin and Gray, Fast Algorithms for Convolutional Neural Networks). The products of a point
//! over all tiles, channels and filters are a matrix product.
//!
//! The points of each axis are 0, ±3/4, ±3/2 and infinity. All constants but those of the filters
//! are exact in f32, and errors are about twice those of plain sums, while the usual points 0, ±1, ±2
//! give ten times as much (Barabasz, Anderson, Soodhalter and Gregg, Error Analysis and Improving the
//! Accuracy of Winograd Convolution for Deep Neural Networks).

mod filters;
mod patches;
mod results;
#[cfg(test)]
mod tests;

pub(crate) use filters::transform_filters;
pub(crate) use patches::{Image, transform_patches};
pub(crate) use results::{Results, transform_products};

/// Results along each side of a tile.
pub(crate) const TILE: usize = 4;
/// Positions along each side of the patch that a tile reads.
pub(crate) const PATCH: usize = TILE + 2;
/// Points at which a patch and a filter are multiplied.
pub(crate) const POINTS: usize = PATCH * PATCH;

/// The inner finite points are `±NEAR`, the outer ones `±FAR`.
const NEAR: f64 = 0.75;
const FAR: f64 = 1.5;

/// Numbers from the points of a tile to those of the next, of `channels` each.
///
/// A cache line apart from a multiple of the page, so that tiles do not compete for the same lines.
pub(crate) fn pitch(channels: usize) -> usize {
    POINTS.saturating_mul(channels).saturating_add(16)
}

/// The largest end of `count` tiles with a `pitch` in between.
fn end(count: usize, channels: usize) -> Option<usize> {
    let points = channels.checked_mul(POINTS)?;
    count.saturating_sub(1).checked_mul(pitch(channels))?.checked_add(points)
}
