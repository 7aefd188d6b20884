//! Products of integers as they are: exact sums, which wrap at 32 bits.

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        gemm::{
            epilogue::Epilogue,
            factor::Factors,
            integers::Integer,
            packed::{Packed, PackedRef},
            product::Product,
            rows::Rows,
        },
    },
};

/// A matrix of integers, packed for exact products.
#[derive(Clone, Debug)]
pub(crate) struct PackedIntegers(Packed);

impl PackedIntegers {
    /// Packs the `k x n` matrix whose elements `at` tells by row and column.
    ///
    /// They fit 8 bits where `set` multiplies bytes ([`Factors::integers`]), else 16.
    ///
    /// # Errors
    /// `Limit` if the packed size overflows.
    pub(crate) fn new(set: KernelSet, k: usize, n: usize, at: impl Fn(usize, usize) -> i16) -> Result<Self> {
        Packed::of_integers(set, Factors::integers(set), k, n, at).map(Self)
    }

    /// Memory used in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.0.bytes()
    }

    /// Writes the sums of products to `c`, of as many rows as `a` has, dense.
    ///
    /// # Errors
    /// `Internal` if a length or the type of A does not fit.
    pub(crate) fn multiply<T: Integer>(&self, a: &Rows<'_, T>, c: &mut [i32]) -> Result<()> {
        let b = PackedRef::from(&self.0);
        let n = b.n();
        if a.rows.checked_mul(n) != Some(c.len()) {
            return Err(Error::internal(format!("{} sums of {} x {n} products", c.len(), a.rows)));
        }
        let epilogue = Epilogue::default();
        Product::exact(self.0.set(), a, b, &epilogue, bytemuck::cast_slice_mut::<i32, f32>(c), n)?.compute();
        Ok(())
    }
}
