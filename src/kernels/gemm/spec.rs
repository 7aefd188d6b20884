//! Specification of a packed matrix: kernel set, precision and sizes.

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        gemm::{
            factor::{Factors, Steps},
            integers::{Columns, pack_scaled},
            matrix::Matrix,
            pairs::pack_pairs,
            panels::pack,
            rows::Rows,
            tile,
        },
    },
    tensor::AlignedBytes,
};

/// Kernel set, precision and sizes of a packed matrix.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct PackSpec {
    pub(super) set: KernelSet,
    pub(super) factors: Factors,
    pub(super) k: usize,
    pub(super) n: usize,
    /// Elements of each segment of a row of A; zeros fill up the last step of a segment.
    segment: usize,
}

impl PackSpec {
    /// A `k x n` matrix for rows of A in segments of `segment` elements.
    pub(super) fn new(set: KernelSet, factors: Factors, k: usize, n: usize, segment: usize) -> Result<Self> {
        if k > 0 && (segment == 0 || !k.is_multiple_of(segment)) {
            return Err(Error::internal(format!("{k} rows packed in segments of {segment}")));
        }
        if factors.are_integers() && segment != k {
            return Err(Error::internal(format!("{k} rows of integers packed in segments of {segment}")));
        }
        Ok(Self { set, factors, k, n, segment })
    }

    /// Rows of a panel, with zeros up to a multiple of what the set multiplies at once.
    pub(super) fn depth(&self) -> usize {
        if self.k == 0 {
            return 0;
        }
        let steps = self.k / self.segment * self.segment.div_ceil(self.factors.step());
        match self.factors {
            Factors::F32 | Factors::Words => steps,
            Factors::Bf16 | Factors::Bytes => steps.next_multiple_of(self.set.steps_at_once()),
        }
    }

    /// 32-bit lanes of all panels.
    pub(super) fn len(&self) -> Option<usize> {
        self.n.checked_next_multiple_of(tile::width(self.set))?.checked_mul(self.depth())
    }

    /// The error for a length that overflows.
    pub(super) fn too_long(&self) -> Error {
        Error::limit(format!("a packed {} x {} matrix has too many numbers", self.k, self.n))
    }

    /// Memory for the panels, of zeros.
    pub(super) fn room(&self) -> Result<AlignedBytes> {
        let bytes = self.len().and_then(|len| len.checked_mul(size_of::<f32>())).ok_or_else(|| self.too_long())?;
        Ok(AlignedBytes::zeroed(bytes))
    }

    /// Fills `to` with the panels of `b`, which has passed [`Matrix::check`].
    pub(super) fn pack(&self, b: &Matrix<'_>, to: &mut [f32]) -> Columns {
        match self.factors {
            Factors::F32 => pack(self.set, b, to),
            Factors::Bf16 => pack_pairs(self.set, b, self.segment, self.depth(), to),
            Factors::Bytes | Factors::Words => return pack_scaled(self.set, self.factors, b, self.depth(), to),
        }
        Columns::default()
    }

    /// Fails unless the matrix fits `set` and `a`, whose rows are checked too.
    pub(super) fn check<T: Steps>(&self, set: KernelSet, a: &Rows<'_, T>) -> Result<()> {
        let Self { set: own, factors, k: own_k, segment: packed, .. } = *self;
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
