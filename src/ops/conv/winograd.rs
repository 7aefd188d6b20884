//! Where convolutions go by Winograd's algorithm, and the loop over their tiles.
//!
//! The choice is made by sizes alone: those of the filters at load, those of an image in each run. An
//! item with a number that is not finite in a sum is computed again by plain products, because a tile
//! spreads it to results that do not depend on it.

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        gemm::{Epilogue, Packed, Rows, Segment, gemm, tile},
        winograd::{Image, POINTS, Results, TILE, pitch, transform_patches, transform_products},
    },
    ops::conv::{Conv, Layout, bands::in_bands, geometry::Geometry},
    shape::Shape,
    threads::split,
};

/// Numbers of the patches and products of the tiles that are computed together: they stay in the L2 cache.
const BLOCK_NUMBERS: usize = 96 << 10;
/// Fewer channels or filters take longer to transform than is saved.
const LEAST_CHANNELS: usize = 16;
/// The most channels times filters. Filters at the points take four times as many numbers as their taps; more of them
/// leave the caches, and to read them takes longer than is saved.
const MOST_PAIRS: usize = 64 << 10;
/// Products of fewer tiles do not fill the registers.
const LEAST_TILES: usize = 8;

impl Conv {
    /// Whether filters of `shape` are to be transformed at load, for an input of shape `image`.
    pub(super) fn suits_tiles(&self, shape: &[usize], image: &Shape) -> bool {
        let plain = self.kernel == [3, 3] && self.strides == [1, 1] && self.dilations == [1, 1] && self.groups == 1;
        let &[filters, channels, ..] = shape else { return false };
        let sizes = filters.min(channels) >= LEAST_CHANNELS && filters.saturating_mul(channels) <= MOST_PAIRS;
        // The number of results along an axis whose size is known at load.
        let results = |axis: usize| {
            let size = usize::try_from(image.dims().get(axis + 1)?.as_fixed()?).ok()?;
            let (before, behind) = self.window().pads_at(axis, size);
            Some(size.checked_add(before)?.checked_add(behind)?.saturating_sub(2))
        };
        let last = self.layout == Layout::ChannelsLast && !self.global_max;
        plain && sizes && last && results(0).zip(results(1)).is_none_or(|(height, width)| covers(height, width))
    }
}

/// Whether tiles of an image of results are many, and at least half full.
fn covers(height: usize, width: usize) -> bool {
    let tiles = height.div_ceil(TILE).saturating_mul(width.div_ceil(TILE));
    tiles >= LEAST_TILES && height.saturating_mul(width) >= tiles.saturating_mul(TILE * TILE / 2)
}

/// The tiles of an item, and those that are computed together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiles {
    down: usize,
    pub(super) across: usize,
    together: usize,
    /// Scratch of the patches, the products and one patch.
    sizes: [usize; 3],
}

impl Tiles {
    /// The tiles of an image, if it is large enough for them.
    pub(super) fn new(set: KernelSet, geometry: &Geometry) -> Option<Self> {
        let [_, height, width] = geometry.out;
        if !covers(height, width) {
            return None;
        }
        let (down, across) = (height.div_ceil(TILE), width.div_ceil(TILE));
        let (patches, products) = (pitch(geometry.channels), pitch(geometry.filters));
        let rows = tile::rows::<f32>(set);
        let together = BLOCK_NUMBERS / patches.checked_add(products)?;
        let together = (together / rows * rows).max(2 * rows).min(down.checked_mul(across)?);
        let line = |count: usize| count.checked_next_multiple_of(16);
        let sizes = [
            line(together.checked_mul(patches)?)?,
            line(together.checked_mul(products)?)?,
            line(geometry.channels.checked_mul(POINTS)?)?,
        ];
        Some(Self { down, across, together, sizes })
    }

    /// The f32 scratch of one worker.
    fn part_scratch(&self) -> Option<usize> {
        self.sizes.iter().try_fold(0_usize, |sum, &size| sum.checked_add(size))
    }

    /// The f32 scratch of all workers that an item is split over.
    pub(super) fn scratch(&self) -> Option<usize> {
        self.part_scratch()?.checked_mul(split::workers().min(self.down).max(1))
    }
}

/// What the tiles of an item read, besides its image.
pub(super) struct Points<'a> {
    pub(super) set: KernelSet,
    pub(super) geometry: &'a Geometry,
    /// The filters at each point.
    pub(super) filters: &'a [Packed],
    pub(super) results: Results<'a>,
    pub(super) tiles: Tiles,
}

impl Points<'_> {
    /// Computes an item; false if a sum is not finite.
    pub(super) fn item(&self, x: &[f32], output: &mut [f32], scratch: &mut [f32]) -> Result<bool> {
        let Tiles { down, across, .. } = self.tiles;
        let Some(own) = self.tiles.part_scratch().filter(|&own| own > 0 && own <= scratch.len()) else {
            return Err(Error::internal(format!("{} numbers of scratch for tiles of 3 x 3 taps", scratch.len())));
        };
        let geometry = self.geometry;
        let operations = [down, across, 2 * POINTS, geometry.channels, geometry.filters];
        let operations = operations.into_iter().fold(1, usize::saturating_mul);
        let parts = split::parts(operations).min(scratch.len() / own).min(down).max(1);
        let line = geometry.out[2] * geometry.filters * TILE;
        let part = |first, output: &mut [f32], scratch: &mut [f32]| self.part(x, first, output, scratch);
        let results = in_bands(parts, [down, line, own], output, scratch, &part);
        results.into_iter().try_fold(true, |all, result| Ok(result? && all))
    }

    /// Computes the lines of tiles from `first` on that `output` has room for.
    fn part(&self, x: &[f32], first: usize, output: &mut [f32], scratch: &mut [f32]) -> Result<bool> {
        let Self { set, geometry, filters, results, tiles } = *self;
        let Tiles { across, together, sizes, .. } = tiles;
        let &Geometry { channels, size: [_, height, width], pads: [_, top, left], .. } = geometry;
        let image = Image { data: x, height, width, channels, pads: [top, left], across };
        let lines = output.len() / (results.width * results.filters);
        // Tiles are counted from the part's first one in `results`, from the image's in `image`.
        let (results, skipped) = (Results { height: lines, ..results }, first * across);
        let (patches, scratch) = scratch.split_at_mut(sizes[0]);
        let (products, patch) = scratch.split_at_mut(sizes[1]);
        let patch = &mut patch[..channels * POINTS];
        let count = lines.div_ceil(TILE) * across;
        for start in (0..count).step_by(together) {
            let tiles = start..count.min(start + together);
            transform_patches(set, &image, tiles.start + skipped..tiles.end + skipped, patch, patches)?;
            let segments = [Segment { offset: 0, len: channels }];
            for (point, filters) in filters.iter().enumerate() {
                let data = &patches[point * channels..];
                let rows = Rows { data, rows: tiles.len(), stride: pitch(channels), segments: &segments };
                let to = &mut products[point * results.filters..];
                gemm(set, &rows, filters, &Epilogue::default(), to, pitch(results.filters))?;
            }
            if !transform_products(set, &results, tiles, products, output)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
