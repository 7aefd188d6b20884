//! Windows of a convolution in 8-bit integers: a block's input has one scale and one zero point.

use crate::{
    error::Result,
    kernels::gemm::{Affine, Factors, rounded_len},
    ops::conv::{
        Layout,
        copies::seen,
        geometry::{Block, Geometry},
        products::Products,
        windows::Windows,
    },
};

/// The windows of a block; `input` has room for its input, `scratch` for [`integers_scratch`].
pub(super) fn in_integers<'a>(
    products: &Products<'_>,
    factors: Factors,
    x: &[f32],
    block: &Block,
    input: &'a mut [f32],
    scratch: &'a mut [f32],
) -> Result<Windows<'a>> {
    let (set, geometry) = (products.set, products.geometry);
    let padded = geometry.filters.next_multiple_of(16);
    let (scales, scratch) = scratch.split_at_mut(padded);
    let (offsets, scratch) = scratch.split_at_mut(padded);
    let offsets: &mut [i32] = bytemuck::cast_slice_mut(offsets);
    let n = geometry.group_filters();
    let mut of_columns = |affine: Affine| -> Result<()> {
        (0..geometry.groups).try_for_each(|group| {
            let own = group * n..(group + 1) * n;
            affine.columns(products.groups.get(group), &mut scales[own.clone()], &mut offsets[own])
        })
    };
    match geometry.layout {
        Layout::ChannelsLast => {
            let affine = Affine::of(set, seen(geometry, block, x));
            of_columns(affine)?;
            Windows::copied_quantized(set, geometry, (factors, affine), (scales, offsets), x, block, input)
        }
        Layout::ChannelsFirst => {
            let windows = Windows::copied(set, geometry, x, block, input)?;
            let affine = windows.affine(set);
            of_columns(affine)?;
            windows.quantized(set, factors, affine, (scales, offsets), scratch)
        }
    }
}

/// The f32 scratch of [`in_integers`] for a block's input of `input` numbers.
pub(super) fn integers_scratch(geometry: &Geometry, factors: Factors, input: usize) -> Option<usize> {
    let scales = geometry.filters.checked_next_multiple_of(16)?.checked_mul(2)?;
    rounded_len(factors, 1, input).checked_add(scales)
}
