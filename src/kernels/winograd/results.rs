//! Products at the points to results.

use std::ops::Range;

use crate::{
    error::{Error, Result},
    kernels::{
        Activation, KernelSet,
        simd::{
            Kernel, Pointwise, Simd,
            reduce::{load_or, load_some, store_some},
            with_pointwise,
        },
        winograd::{FAR, NEAR, PATCH, POINTS, TILE, end, pitch},
    },
};

/// How the products of tiles become results.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Results<'a> {
    /// Lines and columns of the results, of which the last tiles may cover fewer than [`TILE`].
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// Numbers of each result.
    pub(crate) filters: usize,
    /// Tiles in a line of them.
    pub(crate) across: usize,
    /// Added to each sum.
    pub(crate) bias: Option<&'a [f32]>,
    /// Applied to each sum.
    pub(crate) activation: Activation,
}

/// Transforms the products of some tiles into `to`, which is `[height, width, filters]`.
///
/// Returns whether all sums, before bias and activation, are finite. A number in a patch that is not
/// finite reaches every result of the tile that depends on it and may reach others.
///
/// # Errors
/// `Internal` if a length does not fit.
pub(crate) fn transform_products(
    set: KernelSet,
    results: &Results<'_>,
    tiles: Range<usize>,
    products: &[f32],
    to: &mut [f32],
) -> Result<bool> {
    let &Results { height, width, filters, across, bias, activation } = results;
    let numbers = height.checked_mul(width).and_then(|positions| positions.checked_mul(filters));
    let fits = numbers == Some(to.len())
        && across == width.div_ceil(TILE)
        && across.checked_mul(height.div_ceil(TILE)).is_some_and(|all| tiles.end <= all)
        && end(tiles.len(), filters).is_some_and(|end| end <= products.len())
        && bias.is_none_or(|bias| bias.len() == filters);
    if !fits {
        let (count, len, room) = (tiles.len(), products.len(), to.len());
        return Err(Error::internal(format!(
            "{count} tiles of {height} x {width} x {filters} in {len} numbers to {room}"
        )));
    }
    let bias = bias.map(<[f32]>::as_ptr);
    let mut finite = true;
    for (index, tile) in tiles.enumerate() {
        let (line, column) = (tile / across * TILE, tile % across * TILE);
        let from = products[index * pitch(filters)..][..POINTS * filters].as_ptr();
        let to = to[(line * width + column) * filters..].as_mut_ptr();
        let (lines, columns) = (TILE.min(height - line), TILE.min(width - column));
        let (filters, line) = (filters, width * filters);
        with_pointwise!(activation, f => {
            // SAFETY: the slice has all points; the tile's lines and columns are within `to`, as was checked.
            finite &= set.run(unsafe { Tile::new(f, Place { from, bias, to, line, lines, columns, filters }) });
        });
    }
    Ok(finite)
}

/// Operands of the kernel, by address.
#[derive(Clone, Copy)]
struct Place {
    from: *const f32,
    bias: Option<*const f32>,
    to: *mut f32,
    /// From a line of results to the next.
    line: usize,
    lines: usize,
    columns: usize,
    filters: usize,
}

/// The kernel of one tile.
struct Tile<F> {
    f: F,
    place: Place,
}

impl<F> Tile<F> {
    /// # Safety
    /// [`POINTS`] rows of `filters` numbers are readable at `from`, and one at the bias; `columns` rows of `filters`
    /// numbers are writable in each of `lines` lines at `to`; both are at most [`TILE`].
    #[inline(always)]
    unsafe fn new(f: F, place: Place) -> Self {
        Self { f, place }
    }
}

impl<F: Pointwise> Kernel for Tile<F> {
    type Output = bool;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> bool {
        let Self { f, place } = self;
        // Zero times a number that is not finite is NaN.
        let mut zeros = s.splat(0.0);
        let mut at = 0;
        // SAFETY: `new` requires all points and results; `at + count <= filters`.
        unsafe {
            while at + S::LANES <= place.filters {
                zeros = transform(s, &f, &place, at, S::LANES, zeros);
                at += S::LANES;
            }
            if at < place.filters {
                zeros = transform(s, &f, &place, at, place.filters - at, zeros);
            }
        }
        s.sum(zeros) == 0.0
    }
}

/// Transforms `count <= LANES` filters from `at` on; returns `zeros` plus zero times each sum.
///
/// # Safety
/// `count` numbers from `at` on are readable at each point and writable at each result.
#[inline(always)]
unsafe fn transform<S: Simd, F: Pointwise>(
    s: S,
    f: &F,
    place: &Place,
    at: usize,
    count: usize,
    mut zeros: S::F,
) -> S::F {
    let &Place { from, bias, to, line, lines, columns, filters } = place;
    let zero = s.splat(0.0);
    let mut half = [[zero; PATCH]; TILE];
    // SAFETY: the caller promises all points and results.
    unsafe {
        for column in 0..PATCH {
            let mut own = [zero; PATCH];
            for (row, own) in own.iter_mut().enumerate() {
                *own = load_some(s, from.add((row * PATCH + column) * filters), at, count);
            }
            for (half, sum) in half.iter_mut().zip(sums(s, own)) {
                half[column] = sum;
            }
        }
        // Added to any number it changes nothing.
        let bias = bias.map_or(s.splat(-0.0), |bias| load_or(s, bias, at, count, zero));
        for (row, half) in half.into_iter().enumerate().take(lines) {
            for (column, sum) in sums(s, half).into_iter().enumerate() {
                if column < columns {
                    zeros = s.fma(sum, zero, zeros);
                    store_some(s, to.add(row * line + column * filters), at, count, f.apply(s, s.add(sum, bias)));
                }
            }
        }
    }
    zeros
}

/// Products at the points of an axis to four sums: each point's powers times its product.
#[inline(always)]
fn sums<S: Simd>(s: S, m: [S::F; PATCH]) -> [S::F; TILE] {
    let power = |x: f64, n: i32| x.powi(n) as f32;
    let (near, far) = (s.splat(power(NEAR, 1)), s.splat(power(FAR, 1)));
    let (near_2, far_2) = (s.splat(power(NEAR, 2)), s.splat(power(FAR, 2)));
    let (near_3, far_3) = (s.splat(power(NEAR, 3)), s.splat(power(FAR, 3)));
    let (even_near, odd_near) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
    let (even_far, odd_far) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
    [
        s.add(m[0], s.add(even_near, even_far)),
        s.fma(odd_far, far, s.mul(odd_near, near)),
        s.fma(even_far, far_2, s.mul(even_near, near_2)),
        s.fma(odd_far, far_3, s.fma(odd_near, near_3, m[5])),
    ]
}
