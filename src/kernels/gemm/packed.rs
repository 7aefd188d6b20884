//! The right operand, rearranged in panels as wide as a register tile.

use std::fmt;

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        gemm::{
            factor::{Factors, Steps},
            integers::{Columns, MOST_PRODUCTS, pack_lanes},
            matrix::{Layout, Matrix},
            rows::Rows,
            spec::PackSpec,
            tile,
        },
    },
    tensor::AlignedBytes,
};

/// A constant K x N matrix, rearranged for one kernel set.
///
/// It is cut into panels of as many columns as a register tile has. A panel is K rows, one after
/// another; the last panel is padded with zeros. A panel of bf16 has half as many rows, of pairs.
#[derive(Clone)]
pub struct Packed {
    spec: PackSpec,
    data: AlignedBytes,
    columns: Columns,
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

    /// Packs `b` in the precision of `factors`, for rows of A in segments of `segment` numbers.
    ///
    /// If `segment` is even, rows of A may have segments of other even lengths. Those of integers have
    /// one segment of at most 65,536 numbers.
    ///
    /// # Errors
    ///
    /// `Internal` if `b` leaves its data or is no whole number of segments, `Limit` if the packed
    /// size overflows.
    pub fn with_factors(set: KernelSet, factors: Factors, b: &Matrix<'_>, segment: usize) -> Result<Self> {
        b.check()?;
        if factors.are_integers() && b.k > MOST_PRODUCTS {
            return Err(Error::internal(format!("sums of {} products of integers", b.k)));
        }
        let spec = PackSpec::new(set, factors, b.k, b.n, segment)?;
        let mut data = spec.room()?;
        let columns = spec.pack(b, bytemuck::cast_slice_mut(&mut data));
        Ok(Self { spec, data, columns })
    }

    /// Packs integers that have no scales.
    pub(super) fn of_integers(
        set: KernelSet,
        factors: Factors,
        k: usize,
        n: usize,
        at: impl Fn(usize, usize) -> i16,
    ) -> Result<Self> {
        let spec = PackSpec::new(set, factors, k, n, k)?;
        let mut data = spec.room()?;
        pack_lanes(set, factors, [k, n], spec.depth(), bytemuck::cast_slice_mut(&mut data), |k, j| at(k, j).into());
        Ok(Self { spec, data, columns: Columns::default() })
    }

    /// Number of rows.
    pub fn k(&self) -> usize {
        self.spec.k
    }

    /// Number of columns.
    pub fn n(&self) -> usize {
        self.spec.n
    }

    /// The precision it is packed in.
    pub fn factors(&self) -> Factors {
        self.spec.factors
    }

    /// Memory used in bytes, padding included.
    pub fn bytes(&self) -> usize {
        self.data.len() + self.columns.bytes()
    }

    /// The kernel set it is packed for.
    pub fn set(&self) -> KernelSet {
        self.spec.set
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&PackedRef::from(self), f)
    }
}

/// A packed matrix, borrowed from a [`Packed`] or from scratch memory.
#[derive(Clone, Copy)]
pub struct PackedRef<'a> {
    spec: PackSpec,
    data: &'a [f32],
    depth: usize,
    width: usize,
    /// The scales and the offsets of columns of integers.
    columns: (&'a [f32], &'a [i32]),
}

impl<'a> From<&'a Packed> for PackedRef<'a> {
    fn from(packed: &'a Packed) -> Self {
        let columns = (packed.columns.scales.as_slice(), packed.columns.offsets.as_slice());
        Self { columns, ..Self::new(packed.spec, bytemuck::cast_slice(&packed.data)) }
    }
}

impl<'a> PackedRef<'a> {
    /// The packed matrix that `data` holds.
    ///
    /// # Panics
    /// If `data` is not as long as `spec` requires.
    pub(super) fn new(spec: PackSpec, data: &'a [f32]) -> Self {
        let this = Self { spec, data, depth: spec.depth(), width: tile::width(spec.set), columns: Default::default() };
        assert_eq!(data.len(), this.panels() * this.width * this.depth, "numbers of a packed matrix");
        this
    }

    /// Number of rows.
    pub fn k(&self) -> usize {
        self.spec.k
    }

    /// Number of columns.
    pub fn n(&self) -> usize {
        self.spec.n
    }

    /// The precision it is packed in.
    pub fn factors(&self) -> Factors {
        self.spec.factors
    }

    /// Whether it is packed for `set`.
    pub(crate) fn is_for(&self, set: KernelSet) -> bool {
        self.spec.set == set
    }

    /// Rows of a panel.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// Columns of a panel.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Number of panels.
    pub(crate) fn panels(&self) -> usize {
        self.n().div_ceil(self.width)
    }

    /// The scales and the offsets of columns of integers, as many as there are columns.
    pub(super) fn columns(&self) -> (&'a [f32], &'a [i32]) {
        self.columns
    }

    /// The address of panel `panel`: `depth` rows of `width` lanes.
    pub(crate) fn panel(&self, panel: usize) -> *const f32 {
        self.data[panel * self.width * self.depth..].as_ptr()
    }

    /// Fails unless it fits `set` and `a`, whose rows are checked too.
    pub(super) fn check<T: Steps>(&self, set: KernelSet, a: &Rows<'_, T>) -> Result<()> {
        if T::FACTORS.are_integers() && self.is_exact() && self.n() > 0 {
            return Err(Error::internal("columns of integers have no scales"));
        }
        self.spec.check(set, a)
    }

    /// As [`check`](Self::check), of a matrix of integers without scales.
    pub(super) fn check_exact<T: Steps>(&self, set: KernelSet, a: &Rows<'_, T>) -> Result<()> {
        if !T::FACTORS.are_integers() || !self.is_exact() {
            return Err(Error::internal("an exact product of numbers with scales"));
        }
        self.spec.check(set, a)
    }

    /// Whether its columns have no scales.
    pub(super) fn is_exact(&self) -> bool {
        self.columns.0.is_empty()
    }
}

impl fmt::Debug for PackedRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PackSpec { set, factors, k, n, .. } = self.spec;
        write!(f, "Packed {{ {k} x {n}, {factors:?}, {set} }}")
    }
}
