//! The right operand, rearranged in panels as wide as a register tile.

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        gemm::{
            factor::{Factors, Steps},
            pairs::{pack_pairs, pack_rounded_pairs},
            rows::Rows,
            tile,
        },
        simd::{Kernel, Simd},
    },
    tensor::AlignedBytes,
};
use half::bf16;

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
pub struct Matrix<'a, X = f32> {
    /// What it lies in.
    pub data: &'a [X],
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
}

impl<X> Matrix<'_, X> {
    pub(super) fn check(&self) -> Result<()> {
        if self.k == 0 || self.n == 0 {
            return Ok(());
        }
        let row = (self.k - 1).checked_mul(self.row_stride);
        let column = (self.n - 1).checked_mul(self.column_stride);
        let last = row.zip(column).and_then(|(row, column)| row.checked_add(column));
        if last.is_none_or(|last| last >= self.data.len()) {
            let Self { k, n, row_stride, column_stride, .. } = self;
            let len = self.data.len();
            return Err(Error::internal(format!(
                "a {k} x {n} matrix with strides {row_stride} and {column_stride} is not within {len} numbers"
            )));
        }
        Ok(())
    }
}

/// What a packed matrix is packed for, and its sizes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Form {
    set: KernelSet,
    factors: Factors,
    k: usize,
    n: usize,
    /// Numbers of each segment of a row of A; those of the last step of one are followed by zeros.
    segment: usize,
}

impl Form {
    fn new(set: KernelSet, factors: Factors, k: usize, n: usize, segment: usize) -> Result<Self> {
        if k > 0 && (segment == 0 || !k.is_multiple_of(segment)) {
            return Err(Error::internal(format!("{k} rows packed in segments of {segment}")));
        }
        Ok(Self { set, factors, k, n, segment })
    }

    /// Rows of a panel; where the set multiplies many at once, zeros follow to a multiple of those.
    fn depth(&self) -> usize {
        if self.k == 0 {
            return 0;
        }
        let steps = self.k / self.segment * self.segment.div_ceil(self.factors.step());
        match self.factors {
            Factors::F32 => steps,
            Factors::Bf16 => steps.next_multiple_of(self.set.bf16_pairs()),
        }
    }

    /// 32-bit lanes of all panels.
    fn len(&self) -> Option<usize> {
        self.n.checked_next_multiple_of(tile::width(self.set))?.checked_mul(self.depth())
    }

    fn too_long(&self) -> Error {
        Error::limit(format!("a packed {} x {} matrix has too many numbers", self.k, self.n))
    }

    /// Fills `to` with the panels of the checked matrix `b`.
    fn pack(&self, b: &Matrix<'_>, to: &mut [f32]) {
        match self.factors {
            Factors::F32 => pack(self.set, b, to),
            Factors::Bf16 => pack_pairs(self.set, b, self.segment, self.depth(), to),
        }
    }
}

/// A constant K x N matrix, rearranged for one kernel set: panels of as many columns as a register tile has, each
/// panel K rows one after another, the last padded with zeros. A panel of bf16 has half as many rows, of pairs.
#[derive(Clone)]
pub struct Packed {
    form: Form,
    data: AlignedBytes,
}

impl Packed {
    /// Packs `b` as f32.
    ///
    /// # Errors
    ///
    /// `Internal` if `b` has not `k * n` numbers, `Limit` if the packed size overflows.
    pub fn new(set: KernelSet, b: &[f32], k: usize, n: usize, layout: Layout) -> Result<Self> {
        if k.checked_mul(n) != Some(b.len()) {
            return Err(Error::internal(format!("{} numbers packed as a {k} x {n} matrix", b.len())));
        }
        Self::with_factors(set, Factors::F32, &Matrix::new(b, k, n, layout), k)
    }

    /// Packs `b` in the form of `factors`, for rows of A that are made of segments of so many numbers each, or, where
    /// that is an even number, of other even lengths.
    ///
    /// # Errors
    ///
    /// `Internal` if `b` leaves its data or is no whole number of segments, `Limit` if the packed size overflows.
    pub fn with_factors(set: KernelSet, factors: Factors, b: &Matrix<'_>, segment: usize) -> Result<Self> {
        b.check()?;
        let form = Form::new(set, factors, b.k, b.n, segment)?;
        let bytes = form.len().and_then(|len| len.checked_mul(size_of::<f32>())).ok_or_else(|| form.too_long())?;
        let mut data = AlignedBytes::zeroed(bytes);
        form.pack(b, bytemuck::cast_slice_mut(&mut data));
        Ok(Self { form, data })
    }

    /// Rows.
    pub fn k(&self) -> usize {
        self.form.k
    }

    /// Columns.
    pub fn n(&self) -> usize {
        self.form.n
    }

    /// The form of its numbers.
    pub fn factors(&self) -> Factors {
        self.form.factors
    }

    /// Memory taken, the padding included.
    pub fn bytes(&self) -> usize {
        self.data.len()
    }

    /// The kernel set it is packed for.
    pub fn set(&self) -> KernelSet {
        self.form.set
    }
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Form { set, factors, k, n, .. } = self.form;
        write!(f, "Packed {{ {k} x {n}, {factors:?}, {set} }}")
    }
}

/// A packed matrix, borrowed from a [`Packed`] or from scratch memory.
#[derive(Clone, Copy)]
pub struct PackedRef<'a> {
    form: Form,
    data: &'a [f32],
    depth: usize,
    width: usize,
}

impl<'a> From<&'a Packed> for PackedRef<'a> {
    fn from(packed: &'a Packed) -> Self {
        Self::new(packed.form, bytemuck::cast_slice(&packed.data))
    }
}

impl<'a> PackedRef<'a> {
    fn new(form: Form, data: &'a [f32]) -> Self {
        Self { form, data, depth: form.depth(), width: tile::width(form.set) }
    }

    /// Rows.
    pub fn k(&self) -> usize {
        self.form.k
    }

    /// Columns.
    pub fn n(&self) -> usize {
        self.form.n
    }

    /// The form of its numbers.
    pub fn factors(&self) -> Factors {
        self.form.factors
    }

    /// Rows of a panel.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn panels(&self) -> usize {
        self.n().div_ceil(self.width)
    }

    /// The start of panel `panel`.
    pub(crate) fn panel(&self, panel: usize) -> *const f32 {
        self.data[panel * self.width * self.depth..].as_ptr()
    }

    /// Fails unless it fits `set` and `a`, whose rows are checked too.
    pub(super) fn check<T: Steps>(&self, set: KernelSet, a: &Rows<'_, T>) -> Result<()> {
        let Form { set: own, factors, k: own_k, segment: packed, .. } = self.form;
        if own != set || factors != T::FACTORS {
            return Err(Error::internal(format!(
                "a matrix packed as {factors:?} for {own} used with {set} and {:?}",
                T::FACTORS
            )));
        }
        let k = a.check()?;
        if k != own_k {
            return Err(Error::internal(format!("rows of {k} numbers times a matrix of {own_k} rows")));
        }
        let whole = |len: usize| len.is_multiple_of(T::STEP);
        if a.segments.iter().any(|own| own.len != packed && !(whole(own.len) && whole(packed))) {
            let segments = a.segments;
            return Err(Error::internal(format!("segments {segments:?} times a matrix packed for those of {packed}")));
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
    pack_len_as(set, Factors::F32, k, n)
}

/// As [`pack_len`], for [`pack_into_as`].
///
/// # Errors
///
/// As there.
pub(crate) fn pack_len_as(set: KernelSet, factors: Factors, k: usize, n: usize) -> Result<usize> {
    let form = Form::new(set, factors, k, n, k)?;
    form.len().and_then(|len| len.checked_add(ALIGNMENT - 1)).ok_or_else(|| form.too_long())
}

/// Numbers in a cache line: where panels start.
const ALIGNMENT: usize = 16;

/// Packs `b` as f32 at the start of `scratch`.
///
/// # Errors
///
/// `Internal` if `b` leaves its data or `scratch` is shorter than [`pack_len`].
pub fn pack_into<'s>(set: KernelSet, b: &Matrix<'_>, scratch: &'s mut [f32]) -> Result<PackedRef<'s>> {
    pack_into_as(set, Factors::F32, b, scratch)
}

/// As [`pack_into`], in the form of `factors`; rows of A are of one segment, or of even ones.
///
/// # Errors
///
/// As there, of [`pack_len_as`].
pub(crate) fn pack_into_as<'s>(
    set: KernelSet,
    factors: Factors,
    b: &Matrix<'_>,
    scratch: &'s mut [f32],
) -> Result<PackedRef<'s>> {
    b.check()?;
    let (form, data) = room(set, factors, b.k, b.n, scratch)?;
    form.pack(b, data);
    Ok(PackedRef::new(form, data))
}

/// As [`pack_into_as`] in the form of bf16, of numbers that are rounded already.
///
/// # Errors
///
/// As there.
pub(crate) fn pack_rounded_into<'s>(
    set: KernelSet,
    b: &Matrix<'_, bf16>,
    scratch: &'s mut [f32],
) -> Result<PackedRef<'s>> {
    b.check()?;
    let (form, data) = room(set, Factors::Bf16, b.k, b.n, scratch)?;
    pack_rounded_pairs(set, b, form.depth(), data);
    Ok(PackedRef::new(form, data))
}

/// The part of `scratch` that a packed `k x n` matrix takes.
fn room(set: KernelSet, factors: Factors, k: usize, n: usize, scratch: &mut [f32]) -> Result<(Form, &mut [f32])> {
    let (need, have) = (pack_len_as(set, factors, k, n)?, scratch.len());
    if have < need {
        return Err(Error::internal(format!("{have} numbers of scratch where {need} are needed")));
    }
    let skip = scratch.as_ptr().align_offset(64).min(ALIGNMENT - 1);
    Ok((Form::new(set, factors, k, n, k)?, &mut scratch[skip..][..need - (ALIGNMENT - 1)]))
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
pub(super) struct Transpose {
    pub(super) from: *const f32,
    pub(super) stride: usize,
    pub(super) columns: usize,
    pub(super) k: usize,
    pub(super) to: *mut f32,
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
                // Behind the last column nothing is read.
                let (from, to) = (from.wrapping_add(first * stride), to.add(vector * S::LANES));
                let mut row = 0;
                while row + S::LANES <= k {
                    s.transpose(from.wrapping_add(row), stride, rows, to.add(row * width), width);
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
