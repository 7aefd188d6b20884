//! The microkernel for AVX-512 in its own instructions: 9 to 14 rows by two vectors.
//!
//! The loop has as many sums as there are registers. The compiler, which sees four steps of K at
//! once, spends registers on rows of A that it reads ahead, and instructions on their addresses,
//! which take the place of multiplications. Here every third row has an address, and the two
//! behind it are one and two strides away. The sums are those of [`tile`](super::tile), in the same
//! order.

use crate::kernels::{
    KernelSet,
    gemm::{
        factor::{Factors, Steps},
        rows::Segment,
        tile::{Start, TileA, TileB, TileC},
    },
};

/// The rows that there are loops for; with fewer the compiler's are as fast.
const ROWS: std::ops::RangeInclusive<usize> = 9..=14;
/// Steps of K for which loading and storing the sums once more is worth it.
const SHORT: usize = 16;
/// Bytes of a step of K, of any factors.
const STEP_BYTES: usize = 4;

/// Whether [`multiply`] can compute such a tile.
#[inline(always)]
pub(super) fn fits<T: Steps>(set: KernelSet, rows: usize, a: &TileA<'_, T>, b: &TileB) -> bool {
    let has_instruction = match T::FACTORS {
        Factors::F32 => set.has_avx512(),
        Factors::Bf16 => set.has_avx512() && set.has_bf16(),
        Factors::Bytes => set.has_avx512() && set.has_vnni(),
        Factors::Words => false,
    };
    let is_whole = |segment: &Segment| segment.len.is_multiple_of(T::STEP) && segment.len / T::STEP >= SHORT;
    has_instruction && ROWS.contains(&rows) && b.columns > 16 && a.segments.iter().all(is_whole)
}

/// Computes a tile that [`fits`].
///
/// # Safety
/// As [`Tile::new`](super::tile::Tile::new).
pub(super) unsafe fn multiply<T: Steps>(rows: usize, mut k: usize, a: &TileA<'_, T>, b: &TileB, c: &TileC) {
    let (mut skip, mut from, mut stored) = (a.skip, b.data, matches!(c.start, Start::Stored));
    for segment in a.segments {
        let steps = (segment.len / T::STEP - skip).min(k);
        let strip = Strip {
            a: a.data.wrapping_add(segment.offset + skip * T::STEP).cast(),
            a_stride: a.stride * size_of::<T>(),
            b: from,
            b_stride: b.stride,
            c: c.data,
            c_stride: c.stride,
            steps,
            stored,
        };
        if steps > 0 {
            // SAFETY: a part of what the caller promises, by a set that has the instructions.
            unsafe {
                match T::FACTORS {
                    Factors::Bf16 => bf16::multiply(&strip, rows),
                    Factors::Bytes => bytes::multiply(&strip, rows),
                    _ => f32::multiply(&strip, rows),
                }
            }
        }
        from = from.wrapping_add(steps * b.stride);
        (skip, stored) = (0, stored || steps > 0);
        k -= steps;
        if k == 0 {
            break;
        }
    }
}

/// Rows of one segment.
struct Strip {
    a: *const u8,
    /// In bytes.
    a_stride: usize,
    b: *const f32,
    b_stride: usize,
    c: *mut f32,
    c_stride: usize,
    steps: usize,
    stored: bool,
}

/// One row of A times the row of B in `zmm0` and `zmm1`.
macro_rules! row {
    ($multiply:literal, $at:literal, $first:literal $second:literal $base:literal $index:literal) => {
        concat!(
            "vbroadcastss zmm2, [{",
            $base,
            "}",
            $index,
            " + ",
            $at,
            "]\n",
            $multiply,
            " zmm",
            $first,
            ", zmm2, zmm0\n",
            $multiply,
            " zmm",
            $second,
            ", zmm2, zmm1\n",
        )
    };
}

/// One step of K, which is `$at` bytes behind the addresses of A; B is prefetched eight rows ahead.
macro_rules! step {
    ($multiply:literal, $at:literal, $($first:literal $second:literal $base:literal $index:literal,)*) => {
        concat!(
            "vmovups zmm0, [{b}]\n",
            "vmovups zmm1, [{b} + 64]\n",
            "prefetcht0 [{b} + {b_stride} * 8]\n",
            "prefetcht0 [{b} + {b_stride} * 8 + 64]\n",
            "add {b}, {b_stride}\n",
            $(row!($multiply, $at, $first $second $base $index),)*
        )
    };
}

/// `$name` computes a row of C for each pair of registers, of the address and the strides behind it.
macro_rules! rows {
    ($multiply:literal $features:literal $name:ident: $($first:literal $second:literal $base:literal $index:literal,)*) => {
        /// # Safety
        /// As [`multiply`], for as many rows.
        #[target_feature(enable = $features)]
        unsafe fn $name(strip: &Strip) {
            let &Strip { a, a_stride, b, b_stride, c, c_stride, steps, stored } = strip;
            // One register tells both; a strip has no more steps than a slice has numbers.
            let steps = if stored { -steps.cast_signed() } else { steps.cast_signed() };
            // SAFETY: the caller promises all that is read and written. An address past the rows
            // is not read.
            unsafe {
                asm!(
                    "test {steps}, {steps}",
                    "jns 2f",
                    "neg {steps}",
                    $(concat!(
                        "vmovups zmm", $first, ", [{c}]\n",
                        "vmovups zmm", $second, ", [{c} + 64]\n",
                        "add {c}, {c_stride}",
                    ),)*
                    "jmp 3f",
                    "2:",
                    $(concat!(
                        "vpxord zmm", $first, ", zmm", $first, ", zmm", $first, "\n",
                        "vpxord zmm", $second, ", zmm", $second, ", zmm", $second,
                    ),)*
                    "3:",
                    "sub {steps}, 4",
                    "jb 5f",
                    "4:",
                    step!($multiply, 0, $($first $second $base $index,)*),
                    step!($multiply, 4, $($first $second $base $index,)*),
                    step!($multiply, 8, $($first $second $base $index,)*),
                    step!($multiply, 12, $($first $second $base $index,)*),
                    "add {a0}, 16",
                    "add {a3}, 16",
                    "add {a6}, 16",
                    "add {a9}, 16",
                    "add {a12}, 16",
                    "sub {steps}, 4",
                    "jae 4b",
                    "5:",
                    "add {steps}, 4",
                    "jz 7f",
                    "6:",
                    step!($multiply, 0, $($first $second $base $index,)*),
                    "add {a0}, 4",
                    "add {a3}, 4",
                    "add {a6}, 4",
                    "add {a9}, 4",
                    "add {a12}, 4",
                    "dec {steps}",
                    "jnz 6b",
                    "7:",
                    $(concat!(
                        "vmovups [{to}], zmm", $first, "\n",
                        "vmovups [{to} + 64], zmm", $second, "\n",
                        "add {to}, {c_stride}",
                    ),)*
                    a0 = inout(reg) a => _,
                    a3 = inout(reg) a.wrapping_add(3 * a_stride) => _,
                    a6 = inout(reg) a.wrapping_add(6 * a_stride) => _,
                    a9 = inout(reg) a.wrapping_add(9 * a_stride) => _,
                    a12 = inout(reg) a.wrapping_add(12 * a_stride) => _,
                    s = in(reg) a_stride,
                    b = inout(reg) b => _,
                    b_stride = in(reg) b_stride * STEP_BYTES,
                    c = inout(reg) c => _,
                    to = inout(reg) c => _,
                    c_stride = in(reg) c_stride * STEP_BYTES,
                    steps = inout(reg) steps => _,
                    out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm4") _, out("zmm5") _, out("zmm6") _,
                    out("zmm7") _, out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _, out("zmm12") _,
                    out("zmm13") _, out("zmm14") _, out("zmm15") _, out("zmm16") _, out("zmm17") _, out("zmm18") _,
                    out("zmm19") _, out("zmm20") _, out("zmm21") _, out("zmm22") _, out("zmm23") _, out("zmm24") _,
                    out("zmm25") _, out("zmm26") _, out("zmm27") _, out("zmm28") _, out("zmm29") _, out("zmm30") _,
                    out("zmm31") _,
                    options(nostack),
                );
            }
        }
    };
}

/// The loops of one instruction, which adds the products of a step in `zmm2` and each lane to the sums.
macro_rules! loops {
    ($factors:ident: $multiply:literal, $features:literal) => {
        mod $factors {
            use std::arch::asm;

            use super::{STEP_BYTES, Strip};

            /// # Safety
            /// The processor has the instructions; `steps` steps of `rows` rows of A are readable,
            /// and as many rows of two vectors of B, and `rows` rows of two vectors of C are
            /// readable and writable.
            pub(super) unsafe fn multiply(strip: &Strip, rows: usize) {
                // SAFETY: the contract is the same.
                unsafe {
                    match rows {
                        9 => rows_9(strip),
                        10 => rows_10(strip),
                        11 => rows_11(strip),
                        12 => rows_12(strip),
                        13 => rows_13(strip),
                        14 => rows_14(strip),
                        rows => unreachable!("a loop for {rows} rows"),
                    }
                }
            }

            rows!($multiply $features rows_9: 4 5 "a0" "", 6 7 "a0" " + {s}", 8 9 "a0" " + {s} * 2", 10 11 "a3" "", 12 13 "a3" " + {s}", 14 15 "a3" " + {s} * 2", 16 17 "a6" "", 18 19 "a6" " + {s}", 20 21 "a6" " + {s} * 2",);
            rows!($multiply $features rows_10: 4 5 "a0" "", 6 7 "a0" " + {s}", 8 9 "a0" " + {s} * 2", 10 11 "a3" "", 12 13 "a3" " + {s}", 14 15 "a3" " + {s} * 2", 16 17 "a6" "", 18 19 "a6" " + {s}", 20 21 "a6" " + {s} * 2", 22 23 "a9" "",);
            rows!($multiply $features rows_11: 4 5 "a0" "", 6 7 "a0" " + {s}", 8 9 "a0" " + {s} * 2", 10 11 "a3" "", 12 13 "a3" " + {s}", 14 15 "a3" " + {s} * 2", 16 17 "a6" "", 18 19 "a6" " + {s}", 20 21 "a6" " + {s} * 2", 22 23 "a9" "", 24 25 "a9" " + {s}",);
            rows!($multiply $features rows_12: 4 5 "a0" "", 6 7 "a0" " + {s}", 8 9 "a0" " + {s} * 2", 10 11 "a3" "", 12 13 "a3" " + {s}", 14 15 "a3" " + {s} * 2", 16 17 "a6" "", 18 19 "a6" " + {s}", 20 21 "a6" " + {s} * 2", 22 23 "a9" "", 24 25 "a9" " + {s}", 26 27 "a9" " + {s} * 2",);
            rows!($multiply $features rows_13: 4 5 "a0" "", 6 7 "a0" " + {s}", 8 9 "a0" " + {s} * 2", 10 11 "a3" "", 12 13 "a3" " + {s}", 14 15 "a3" " + {s} * 2", 16 17 "a6" "", 18 19 "a6" " + {s}", 20 21 "a6" " + {s} * 2", 22 23 "a9" "", 24 25 "a9" " + {s}", 26 27 "a9" " + {s} * 2", 28 29 "a12" "",);
            rows!($multiply $features rows_14: 4 5 "a0" "", 6 7 "a0" " + {s}", 8 9 "a0" " + {s} * 2", 10 11 "a3" "", 12 13 "a3" " + {s}", 14 15 "a3" " + {s} * 2", 16 17 "a6" "", 18 19 "a6" " + {s}", 20 21 "a6" " + {s} * 2", 22 23 "a9" "", 24 25 "a9" " + {s}", 26 27 "a9" " + {s} * 2", 28 29 "a12" "", 30 31 "a12" " + {s}",);
        }
    };
}

loops!(f32: "vfmadd231ps", "avx512f");
loops!(bf16: "vdpbf16ps", "avx512f,avx512bf16");
loops!(bytes: "vpdpbusd", "avx512f,avx512vnni");
