//! The outer loops of a product, and its split over workers.

use std::ops::Range;

use crate::{
    kernels::{
        gemm::{
            factor::Factor,
            product::{Maximum, Product},
            spans::Spans,
            stored::Stored,
        },
        norm::NormRows,
    },
    threads::split,
};

impl<T: Factor, C: Stored> Product<'_, T, C> {
    /// Computes C, split over the workers that this thread may use.
    pub(in crate::kernels::gemm) fn compute(self) {
        let (rows, panels) = (self.a.rows, self.b.panels());
        if rows == 0 || panels == 0 {
            return;
        }
        let parts = split::parts(self.operations());
        // The side with more tiles is split.
        if parts < 2 || panels < 2 || rows / self.blocks.tile_rows >= panels {
            // SAFETY: `each` gives every row to one call.
            split::each(0..rows, parts, &|rows| unsafe { self.run(rows, 0..panels) });
        } else {
            // SAFETY: `each` gives every panel to one call. None of them gets all panels, so none
            // normalizes rows.
            split::each(0..panels, parts, &|panels| unsafe { self.run(0..rows, panels) });
            // SAFETY: `each` gives every row to one call, and the products are complete.
            split::each(0..rows, parts, &|rows| unsafe { self.normalize(rows) });
        }
    }

    /// Number of multiplications and additions.
    fn operations(&self) -> usize {
        self.a.rows.saturating_mul(self.b.n()).saturating_mul(self.b.k()).saturating_mul(2)
    }

    /// Computes a part of C, and its layer norm if the part has whole rows.
    ///
    /// # Safety
    /// The part is within C, and no other thread uses it meanwhile.
    unsafe fn run(&self, rows: Range<usize>, panels: Range<usize>) {
        for block in Spans::new(rows.clone(), self.blocks.rows) {
            for panels in Spans::new(panels.clone(), self.blocks.panels) {
                // SAFETY: a part of the caller's part.
                unsafe { self.block(block.clone(), panels) };
            }
            if panels == (0..self.b.panels()) {
                // SAFETY: whole rows of the caller's part.
                unsafe { self.normalize(block) };
            }
        }
    }

    /// Computes a block of C without its layer norm.
    ///
    /// # Safety
    /// As [`Self::run`].
    unsafe fn block(&self, rows: Range<usize>, panels: Range<usize>) {
        #[cfg(target_arch = "x86_64")]
        if let Some(tiles) = self.tiles() {
            // SAFETY: the contract is the same.
            return unsafe { self.block_by_tiles(&tiles, rows, panels) };
        }
        // SAFETY: the contract is the same.
        unsafe { self.block_by_vectors(rows, panels) }
    }

    /// Applies the layer norm, if any, to rows of C.
    ///
    /// # Safety
    /// The rows are within C, and no other thread uses them meanwhile.
    unsafe fn normalize(&self, rows: Range<usize>) {
        if let Some(norm) = self.epilogue.layer_norm
            && let Some(c) = C::sums(self.c)
        {
            let data = c.wrapping_add(rows.start * self.c_stride);
            // SAFETY: rows of the caller's part; the epilogue is checked.
            self.set.run(unsafe { NormRows::new(data, rows.len(), self.c_stride, norm) });
        }
    }
}

impl<T: Factor> Maximum<'_, T> {
    /// Computes the largest of each column, split over the workers that this thread may use.
    pub(in crate::kernels::gemm) fn compute(self) {
        let product = self.0;
        let parts = split::parts(product.operations());
        split::each(0..product.b.panels(), parts, &|panels: Range<usize>| {
            #[cfg(target_arch = "x86_64")]
            if let Some(tiles) = product.tiles()
                // SAFETY: `each` gives every panel to one call; a `Maximum` has one row of results.
                && unsafe { product.max_by_tiles(&tiles, panels.clone()) }
            {
                return;
            }
            // SAFETY: as above.
            unsafe { product.max_by_vectors(panels) }
        });
    }
}
