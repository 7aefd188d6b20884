//! Filters at the points.

use crate::{
    error::{Error, Result},
    kernels::winograd::{FAR, NEAR, PATCH, POINTS},
};

/// The three taps of a line to the points of an axis: each point's powers over the product of its
/// distances to the other finite points.
fn matrix() -> [[f64; 3]; PATCH] {
    let finite = [0.0, NEAR, -NEAR, FAR, -FAR];
    let mut matrix = [[0.0, 0.0, 1.0]; PATCH];
    for (own, row) in finite.iter().zip(&mut matrix) {
        let distances: f64 = finite.iter().filter(|other| *other != own).map(|other| own - other).product();
        *row = [1.0, *own, own * own].map(|power| power / distances);
    }
    matrix
}

/// Transforms `filters` filters `[channels, 3, 3]`; `None` if a number at a point is not finite.
///
/// The result is a matrix `[channels, filters]` for each point.
///
/// # Errors
/// `Internal` if `weights` has another length, `Limit` if the result's overflows.
pub(crate) fn transform_filters(weights: &[f32], channels: usize, filters: usize) -> Result<Option<Vec<f32>>> {
    let pairs = channels.checked_mul(filters);
    let sizes = pairs.and_then(|pairs| Some((pairs, pairs.checked_mul(9)?, pairs.checked_mul(POINTS)?)));
    let (pairs, taps, points) =
        sizes.ok_or_else(|| Error::limit(format!("{filters} filters of {channels} channels at {POINTS} points")))?;
    if taps != weights.len() {
        let len = weights.len();
        return Err(Error::internal(format!("{len} numbers in {filters} filters of {channels} channels and 9 taps")));
    }
    let matrix = matrix();
    let mut to = vec![0.0; points];
    for (pair, taps) in weights.chunks_exact(9).enumerate() {
        let at = pair % channels * filters + pair / channels;
        for (row, own) in matrix.iter().enumerate() {
            // The lines' taps at a point of the vertical axis.
            let line: [f64; 3] =
                std::array::from_fn(|column| (0..3).map(|tap| own[tap] * f64::from(taps[3 * tap + column])).sum());
            for (column, across) in matrix.iter().enumerate() {
                let sum: f64 = line.iter().zip(across).map(|(tap, factor)| tap * factor).sum();
                to[(row * PATCH + column) * pairs + at] = sum as f32;
            }
        }
    }
    Ok(to.iter().all(|number| number.is_finite()).then_some(to))
}
