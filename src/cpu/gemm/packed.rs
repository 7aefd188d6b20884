//! The right operand, rearranged in panels as wide as a register tile.

use super::rows::Rows;
use super::tile;
use crate::cpu::KernelSet;
use crate::cpu::simd::{Kernel, Simd};
use crate::error::{Error, Result};
use crate::tensor::AlignedBytes;

/// How a K x N matrix lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// K rows of N numbers.
    RowMajor,
    /// N rows of K numbers, as the weights of a linear layer are stored.
    Transposed,
}

/// A K x N matrix seen in a slice: element `(k, j)` at `data[k * row_stride + j * column_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    /// What it lies in.
    pub data: &'a [f32],
    /// Rows.
    pub k: usize,
    /// Columns.
    pub n: usize,
    /// From a row to the next.
    pub row_stride: usize,
    /// From a column to the next.
    pub column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `k x n` numbers in one of the plain layouts.
    pub fn new(data: &'a [f32], k: usize, n: usize, layout: Layout) -> Self {
        let (row_stride, column_stride) = match layout {
            Layout::RowMajor => (n, 1),
            Layout::Transposed => (1, k),
        };
        Self { data, k, n, row_stride, column_stride }
    }

    fn check(&self) -> Result<()> {
        if self.k == 0 || self.n == 0 {
            return Ok(());
        }
        let row = (self.k - 1).checked_mul(self.row_stride);
        let column = (self.n - 1).checked_mul(self.column_stride);
        let last = row.zip(column).and_then(|(row, column)| row.checked_add(column));
        if last.is_none_or(|last| last >= self.data.len()) {
            let Self { data, k, n, row_stride, column_stride } = self;
            let len = data.len();
            return Err(Error::internal(format!(
                "a {k} x {n} matrix with strides {row_stride} and {column_stride} is not within {len} numbers"
            )));
        }
        Ok(())
    }
}

/// A constant K x N matrix, rearranged for one kernel set: panels of as many columns as a register tile has, each
/// panel K rows one after another, the last padded with zeros.
#[derive(Clone)]
pub struct Packed {
    set: KernelSet,
    data: AlignedBytes,
    k: usize,
    n: usize,
}

impl Packed {
    /// Packs `b`.
    ///
    /// # Errors
    ///
    /// `Internal` if `b` has not `k * n` numbers, `Limit` if the packed size overflows.
    pub fn new(set: KernelSet, b: &[f32], k: usize, n: usize, layout: Layout) -> Result<Self> {
        if k.checked_mul(n) != Some(b.len()) {
            return Err(Error::internal(format!("{} numbers packed as a {k} x {n} matrix", b.len())));
        }
        let bytes = panels_len(set, k, n).and_then(|len| len.checked_mul(size_of::<f32>()));
        let bytes = bytes.ok_or_else(|| Error::limit(format!("a packed {k} x {n} matrix has too many bytes")))?;
        let mut data = AlignedBytes::zeroed(bytes);
        pack(set, &Matrix::new(b, k, n, layout), bytemuck::cast_slice_mut(&mut data));
        Ok(Self { set, data, k, n })
    }

    /// Rows.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Columns.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Memory taken, the padding included.
    pub fn bytes(&self) -> usize {
        self.data.len()
    }

    /// The kernel set it is packed for.
    pub fn set(&self) -> KernelSet {
        self.set
    }
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Packed {{ {} x {}, {} }}", self.k, self.n, self.set)
    }
}

/// A packed matrix, borrowed from a [`Packed`] or from scratch memory.
#[derive(Clone, Copy)]
pub struct PackedRef<'a> {
    set: KernelSet,
    data: &'a [f32],
    k: usize,
    n: usize,
    width: usize,
}

impl<'a> From<&'a Packed> for PackedRef<'a> {
    fn from(packed: &'a Packed) -> Self {
        let Packed { set, ref data, k, n } = *packed;
        Self { set, data: bytemuck::cast_slice(data), k, n, width: tile::width(set) }
    }
}

impl PackedRef<'_> {
    /// Rows.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Columns.
    pub fn n(&self) -> usize {
        self.n
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn panels(&self) -> usize {
        self.n.div_ceil(self.width)
    }

    /// The first number of panel `panel`.
    pub(crate) fn panel(&self, panel: usize) -> *const f32 {
        self.data[panel * self.width * self.k..].as_ptr()
    }

    /// Fails unless it fits `set` and `a`, whose rows are checked too.
    pub(super) fn check(&self, set: KernelSet, a: &Rows<'_>) -> Result<()> {
        if self.set != set {
            return Err(Error::internal(format!("a matrix packed for {} used with {set}", self.set)));
        }
        let k = a.check()?;
        if k != self.k {
            return Err(Error::internal(format!("rows of {k} numbers times a matrix of {} rows", self.k)));
        }
        Ok(())
    }
}

/// Numbers of scratch that [`pack_into`] needs for a `k x n` matrix.
///
/// # Errors
///
/// `Limit` if that overflows.
pub fn pack_len(set: KernelSet, k: usize, n: usize) -> Result<usize> {
    let len = panels_len(set, k, n).and_then(|len| len.checked_add(ALIGNMENT - 1));
    len.ok_or_else(|| Error::limit(format!("a packed {k} x {n} matrix has too many numbers")))
}

/// Numbers in a cache line: where panels start.
const ALIGNMENT: usize = 16;

/// Packs `b` at the start of `scratch`.
///
/// # Errors
///
/// `Internal` if `b` leaves its data or `scratch` is shorter than [`pack_len`].
pub fn pack_into<'s>(set: KernelSet, b: &Matrix<'_>, scratch: &'s mut [f32]) -> Result<PackedRef<'s>> {
    b.check()?;
    let (need, have) = (pack_len(set, b.k, b.n)?, scratch.len());
    if have < need {
        return Err(Error::internal(format!("{have} numbers of scratch where {need} are needed")));
    }
    let skip = scratch.as_ptr().align_offset(64).min(ALIGNMENT - 1);
    let width = tile::width(set);
    let data = &mut scratch[skip..][..need - (ALIGNMENT - 1)];
    pack(set, b, data);
    Ok(PackedRef { set, data, k: b.k, n: b.n, width })
}

fn panels_len(set: KernelSet, k: usize, n: usize) -> Option<usize> {
    n.checked_next_multiple_of(tile::width(set))?.checked_mul(k)
}

/// Fills `to` with the panels of the checked matrix `b`.
fn pack(set: KernelSet, b: &Matrix<'_>, to: &mut [f32]) {
    if b.k == 0 || b.n == 0 {
        return;
    }
    let width = tile::width(set);
    for (panel, to) in to.chunks_exact_mut(width * b.k).enumerate() {
        let first = panel * width;
        let columns = width.min(b.n - first);
        let from = &b.data[first * b.column_stride..];
        if b.column_stride == 1 {
            for (k, to) in to.chunks_exact_mut(width).enumerate() {
                let (to, padding) = to.split_at_mut(columns);
                to.copy_from_slice(&from[k * b.row_stride..][..columns]);
                padding.fill(0.0);
            }
        } else if b.row_stride == 1 {
            // The last element needed is the last one that `check` has found within the data.
            debug_assert!((columns - 1) * b.column_stride + b.k <= from.len());
            set.run(Transpose { from: from.as_ptr(), stride: b.column_stride, columns, k: b.k, to: to.as_mut_ptr() });
        } else {
            for (k, to) in to.chunks_exact_mut(width).enumerate() {
                for (column, to) in to.iter_mut().enumerate() {
                    *to = if column < columns { from[k * b.row_stride + column * b.column_stride] } else { 0.0 };
                }
            }
        }
    }
}

/// Fills a panel from columns that each lie together, `stride` apart; what lacks to the panel's width is zeros.
///
/// Whoever makes one vouches for `columns` runs of `k` numbers at `from` and a panel of `k` rows at `to`.
struct Transpose {
    from: *const f32,
    stride: usize,
    columns: usize,
    k: usize,
    to: *mut f32,
}

impl Kernel for Transpose {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { from, stride, columns, k, to } = self;
        let width = tile::VECTORS * S::LANES;
        // SAFETY: `row < k` and `column < columns`, for which the maker vouches.
        unsafe {
            for vector in 0..tile::VECTORS {
                let first = (vector * S::LANES).min(columns);
                let rows = (columns - first).min(S::LANES);
                let (from, to) = (from.add(first * stride), to.add(vector * S::LANES));
                let mut row = 0;
                while row + S::LANES <= k {
                    s.transpose(from.add(row), stride, rows, to.add(row * width), width);
                    row += S::LANES;
                }
                for row in row..k {
                    for column in 0..S::LANES {
                        let x = if column < rows { *from.add(column * stride + row) } else { 0.0 };
                        *to.add(row * width + column) = x;
                    }
                }
            }
        }
    }
}
