//! Constant right sides of products, packed into parts that fit a binding.

use std::sync::Arc;

use crate::{
    backend::gpu::{
        kernels::{held::Held, product::Tile},
        operand::WeightId,
        request::GpuRequest,
    },
    error::Result,
    op::Packing,
};

/// Packed weights of a product.
pub(super) struct PackedProduct {
    pub held: Held,
    pub parts: Arc<[WeightId]>,
    /// Columns of each part except the last.
    pub columns: usize,
}

/// Packs a constant right side `k x n`, `None` unless it is constant.
pub(super) fn take(request: &GpuRequest<'_>, tile: Tile, (k, n): (usize, usize)) -> Result<Option<PackedProduct>> {
    let Some(tensor) = request.constant(1) else { return Ok(None) };
    let held = Held::of(request.format, tensor.as_slice::<f32>()?.iter().copied());
    let columns = tile.columns_of_part(request, held, k)?;
    let parts = request.take_weight(1, Packing { name: "product", parameter: columns as u64 }, |tensor| {
        let values = tensor.as_slice::<f32>()?;
        Ok(pack(tile, held, (k, n), columns, |row, column| values[row * n + column]))
    })?;
    Ok(parts.map(|parts| PackedProduct { held, parts, columns }))
}

/// Packs weights in parts of `columns` columns.
pub(super) fn pack(
    tile: Tile,
    held: Held,
    (k, n): (usize, usize),
    columns: usize,
    at: impl Fn(usize, usize) -> f32,
) -> Vec<Vec<u8>> {
    let part = |first: usize| tile.pack(held, k, columns.min(n - first), |row, column| at(row, first + column));
    (0..n).step_by(columns).map(part).collect()
}
