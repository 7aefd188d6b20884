//! Matrix products `C = A B` of f32 or bf16, with f32 sums, or of integers with scales; with an epilogue.
//!
//! A is read in place by rows ([`Rows`]); B is packed once ([`Packed`]) in panels as wide as a
//! register tile; C is stored as f32, or rounded to bf16 last. The epilogue is applied while a tile
//! of C is in cache. Every element of C is one chain of multiply-adds over ascending K, whatever
//! the number of rows and the row's position in a tile, so a row's result depends on that row and
//! on B alone.
//!
//! The loops, from the outside: blocks of rows, so that C and A stay in the second-level cache;
//! blocks of panels, so that those of B do; blocks of K, so that a tile's rows of A stay in the
//! first-level cache; tiles of rows; panels.

mod affine;
mod blocks;
mod dense;
mod epilogue;
mod exact;
mod factor;
mod integers;
mod matrix;
mod multiply;
mod packed;
mod pairs;
mod panels;
mod product;
mod round;
mod rounded_pairs;
mod rows;
mod scratch;
mod spans;
mod spec;
mod stored;
mod sums;
pub(crate) mod tile;
#[cfg(target_arch = "x86_64")]
mod tile512;
#[cfg(target_arch = "x86_64")]
mod tiles;

pub(crate) use affine::Affine;
pub use dense::gemm_dynamic;
pub(crate) use dense::{gemm_dense, rounded, rounded_len};
pub use epilogue::Epilogue;
pub(crate) use exact::PackedIntegers;
pub use factor::{Factor, Factors};
pub(crate) use factor::{FromF32, Steps};
pub(crate) use integers::{Integer, MOST_PRODUCTS, Quantized, quantized};
pub use matrix::{Layout, Matrix};
pub use multiply::{gemm, gemm_max};
pub use packed::{Packed, PackedRef};
pub use rows::{Rows, Segment};
pub use scratch::{pack_into, pack_len};
pub(crate) use scratch::{pack_into_as, pack_len_as, pack_rounded_into};
pub(crate) use spans::Spans;
pub use stored::Stored;
pub use sums::Sums;
