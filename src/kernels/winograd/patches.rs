//! Patches of an image at the points.

use std::ops::Range;

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        simd::{
            Kernel, Simd,
            reduce::{load_some, store_some},
        },
        winograd::{FAR, NEAR, PATCH, POINTS, TILE, end, pitch},
    },
};

/// An image `[height, width, channels]` with zeros around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Image<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
    /// Lines of zeros above the image, and columns left of it.
    pub(crate) pads: [usize; 2],
    /// Tiles in a line of them.
    pub(crate) across: usize,
}

impl Image<'_> {
    /// The first line and column of a tile's patch, of the image within its zeros.
    fn corner(&self, tile: usize) -> [usize; 2] {
        [tile / self.across * TILE, tile % self.across * TILE]
    }

    /// Where a tile's patch begins in the data, if it is within the image.
    fn inside(&self, tile: usize) -> Option<usize> {
        let [line, column] = self.corner(tile);
        let (line, column) = (line.checked_sub(self.pads[0])?, column.checked_sub(self.pads[1])?);
        let inside = line + PATCH <= self.height && column + PATCH <= self.width;
        inside.then(|| (line * self.width + column) * self.channels)
    }

    /// Copies a tile's patch with the zeros in it.
    fn copy(&self, tile: usize, to: &mut [f32]) {
        let Self { data, width, channels, .. } = *self;
        let [line, column] = self.corner(tile);
        let ahead = self.pads[1].saturating_sub(column).min(PATCH);
        let start = (column + ahead).saturating_sub(self.pads[1]).min(width);
        let count = (PATCH - ahead).min(width - start);
        for (row, to) in to.chunks_exact_mut(PATCH * channels).enumerate() {
            let Some(line) = (line + row).checked_sub(self.pads[0]).filter(|&line| line < self.height) else {
                to.fill(0.0);
                continue;
            };
            let (zeros, to) = to.split_at_mut(ahead * channels);
            let (to, behind) = to.split_at_mut(count * channels);
            zeros.fill(0.0);
            behind.fill(0.0);
            to.copy_from_slice(&data[(line * width + start) * channels..][..count * channels]);
        }
    }
}

/// Transforms the patches of some tiles; `patch` is room for one of them.
///
/// A tile has [`POINTS`] rows of a number for each channel in `to`, and is [`pitch`] from the next.
///
/// # Errors
/// `Internal` if a length does not fit.
pub(crate) fn transform_patches(
    set: KernelSet,
    image: &Image<'_>,
    tiles: Range<usize>,
    patch: &mut [f32],
    to: &mut [f32],
) -> Result<()> {
    let &Image { data, height, width, channels, across, .. } = image;
    let numbers = height.checked_mul(width).and_then(|positions| positions.checked_mul(channels));
    let fits = numbers == Some(data.len())
        && (across > 0 && channels > 0)
        && patch.len() == POINTS * channels
        && end(tiles.len(), channels).is_some_and(|end| end <= to.len());
    if !fits {
        let (count, len, room) = (tiles.len(), data.len(), to.len());
        return Err(Error::internal(format!(
            "{count} patches of {height} x {width} x {channels} in {len} numbers to {room}"
        )));
    }
    for (index, tile) in tiles.enumerate() {
        let (from, line) = match image.inside(tile) {
            Some(start) => (data[start..].as_ptr(), width * channels),
            None => {
                image.copy(tile, patch);
                (patch.as_ptr(), PATCH * channels)
            }
        };
        let to = to[index * pitch(channels)..][..POINTS * channels].as_mut_ptr();
        // SAFETY: six lines of six positions are within the image or the copy; the slice has all points.
        set.run(unsafe { Patch::new(from, line, channels, to) });
    }
    Ok(())
}

/// The kernel of one patch.
struct Patch {
    from: *const f32,
    line: usize,
    channels: usize,
    to: *mut f32,
}

impl Patch {
    /// # Safety
    /// Six positions of `channels` numbers are readable in each of six lines at `from`, `line` apart, and
    /// [`POINTS`] rows of `channels` numbers are writable at `to`.
    #[inline(always)]
    unsafe fn new(from: *const f32, line: usize, channels: usize, to: *mut f32) -> Self {
        Self { from, line, channels, to }
    }
}

impl Kernel for Patch {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { from, line, channels, to } = self;
        let mut at = 0;
        // SAFETY: `new` requires all lines and points; `at + count <= channels`.
        unsafe {
            while at + S::LANES <= channels {
                transform(s, from.add(at), line, channels, S::LANES, to.add(at));
                at += S::LANES;
            }
            if at < channels {
                transform(s, from.add(at), line, channels, channels - at, to.add(at));
            }
        }
    }
}

/// Transforms `count <= LANES` channels of a patch.
///
/// # Safety
/// `count` numbers are readable at each position and writable at each point.
#[inline(always)]
unsafe fn transform<S: Simd>(s: S, from: *const f32, line: usize, channels: usize, count: usize, to: *mut f32) {
    let mut half = [[s.splat(0.0); PATCH]; PATCH];
    // SAFETY: the caller promises all positions and points.
    unsafe {
        for column in 0..PATCH {
            let mut own = [s.splat(0.0); PATCH];
            for (row, own) in own.iter_mut().enumerate() {
                *own = load_some(s, from.add(row * line + column * channels), 0, count);
            }
            for (half, point) in half.iter_mut().zip(points(s, own)) {
                half[column] = point;
            }
        }
        for (row, half) in half.into_iter().enumerate() {
            for (column, point) in points(s, half).into_iter().enumerate() {
                store_some(s, to.add((row * PATCH + column) * channels), 0, count, point);
            }
        }
    }
}

/// Six numbers of a line at the points of an axis: the coefficients of `x (x^2 - NEAR^2) (x^2 - FAR^2)` without the factor
/// of each point.
#[inline(always)]
fn points<S: Simd>(s: S, d: [S::F; PATCH]) -> [S::F; PATCH] {
    const NEAR_2: f64 = NEAR * NEAR;
    const FAR_2: f64 = FAR * FAR;
    let number = |x: f64| x as f32;
    let (both, sum) = (s.splat(number(NEAR_2 * FAR_2)), s.splat(number(-NEAR_2 - FAR_2)));
    let (less_near, less_far) = (s.splat(number(-NEAR_2)), s.splat(number(-FAR_2)));
    let (near, far) = (s.splat(number(NEAR)), s.splat(number(FAR)));
    let (even_near, odd_near) = (s.fma(d[2], less_far, d[4]), s.mul(s.fma(d[1], less_far, d[3]), near));
    let (even_far, odd_far) = (s.fma(d[2], less_near, d[4]), s.mul(s.fma(d[1], less_near, d[3]), far));
    [
        s.fma(d[0], both, s.fma(d[2], sum, d[4])),
        s.add(even_near, odd_near),
        s.sub(even_near, odd_near),
        s.add(even_far, odd_far),
        s.sub(even_far, odd_far),
        s.fma(d[1], both, s.fma(d[3], sum, d[5])),
    ]
}
