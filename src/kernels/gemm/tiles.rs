//! AMX tiles: the microkernel for bf16 and bytes, two by two tiles of 16 x 16 sums.
//!
//! An instruction multiplies 16 rows of 32 numbers by 32 rows of 16 numbers, or of 64 bytes by 64
//! rows. K is padded with zeros to whole instructions on both sides, so that an infinity is never
//! multiplied by a number past the end.

use std::arch::asm;

use crate::kernels::{
    KernelSet,
    amx::{Amx, amx},
    gemm::factor::{Factors, Steps},
    simd::portable::dot_lane,
};

/// Rows of A that are taken at once.
pub(super) const ROWS: usize = 32;
/// Columns of a panel of B.
pub(super) const COLUMNS: usize = 32;
/// Steps of K in one instruction; panels have a multiple of it in rows ([`KernelSet::steps_at_once`]).
pub(super) const STEPS: usize = 16;

/// The permission to use the tiles; they are configured while it lives.
pub(super) struct Tiles {
    emulated: bool,
}

/// Operand of `ldtilecfg`: the palette, and the bytes of a row and the rows of each tile.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// All eight tiles, of 16 rows of 64 bytes.
static WHOLE: Config = {
    let (mut row_bytes, mut rows) = ([0; 16], [0; 16]);
    let mut tile = 0;
    while tile < 8 {
        (row_bytes[tile], rows[tile]) = (64, 16);
        tile += 1;
    }
    Config { palette: 1, start_row: 0, reserved: [0; 14], row_bytes, rows }
};

/// Prefetches eight lines of B; those of two steps ahead arrive in time. A line past the end of B is
/// no access.
macro_rules! eight_lines {
    ($from:literal) => {
        concat!(
            "prefetcht0 [{b} + ",
            $from,
            "]\n",
            "prefetcht0 [{b} + ",
            $from,
            " + 64]\n",
            "prefetcht0 [{b} + ",
            $from,
            " + 128]\n",
            "prefetcht0 [{b} + ",
            $from,
            " + 192]\n",
            "prefetcht0 [{b} + ",
            $from,
            " + 256]\n",
            "prefetcht0 [{b} + ",
            $from,
            " + 320]\n",
            "prefetcht0 [{b} + ",
            $from,
            " + 384]\n",
            "prefetcht0 [{b} + ",
            $from,
            " + 448]",
        )
    };
}

impl Tiles {
    /// Configures the tiles of this thread, if the set has them.
    pub(super) fn new(set: KernelSet) -> Option<Self> {
        if !set.has_amx() {
            return None;
        }
        let emulated = cfg!(test) && amx() != Amx::Ready;
        if !emulated {
            // SAFETY: a set with tiles exists only if the processor has them and the system permits
            // them.
            unsafe {
                asm!("ldtilecfg [{}]", in(reg) &WHOLE, options(nostack, readonly, preserves_flags));
            }
        }
        Some(Self { emulated })
    }

    /// Computes `c` (32 x 32) plus `a` times `b`; `c` counts as zero unless `stored`.
    ///
    /// `a` is 32 rows of `16 * count` steps of bf16 or bytes, `a_stride` elements apart, `b` is `16 *
    /// count` rows of 32 steps.
    ///
    /// # Safety
    /// `a` and `b` are readable, `c` is readable and writable, and `count` is not 0.
    #[expect(clippy::too_many_arguments, reason = "three operands, two of them with a stride")]
    pub(super) unsafe fn multiply<T: Steps>(
        &self,
        a: *const T,
        a_stride: usize,
        b: *const f32,
        c: *mut f32,
        c_stride: usize,
        count: usize,
        stored: bool,
    ) {
        if self.emulated {
            // SAFETY: the contract is the same.
            return unsafe { emulate(a, a_stride, b, c, c_stride, count, stored) };
        }
        let (a, a_stride, c, c_stride) = (a.cast::<u8>(), a_stride * size_of::<T>(), c.cast::<u8>(), c_stride * 4);
        macro_rules! multiply {
            ($multiply:literal) => {
            asm!(
                "test {stored}, {stored}",
                "jz 3f",
                "tileloadd tmm0, [{c} + {c_stride}]",
                "tileloadd tmm1, [{c} + {c_stride} + 64]",
                "tileloadd tmm2, [{c_low} + {c_stride}]",
                "tileloadd tmm3, [{c_low} + {c_stride} + 64]",
                "jmp 2f",
                "3:",
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "tileloadd tmm4, [{a} + {a_stride}]",
                "tileloaddt1 tmm6, [{b} + {b_stride}]",
                eight_lines!(4096),
                concat!($multiply, " tmm0, tmm4, tmm6"),
                "tileloaddt1 tmm7, [{b} + {b_stride} + 64]",
                eight_lines!(4608),
                concat!($multiply, " tmm1, tmm4, tmm7"),
                "tileloadd tmm5, [{a_low} + {a_stride}]",
                eight_lines!(5120),
                concat!($multiply, " tmm2, tmm5, tmm6"),
                eight_lines!(5632),
                concat!($multiply, " tmm3, tmm5, tmm7"),
                "add {a}, 64",
                "add {a_low}, 64",
                "add {b}, 2048",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{c} + {c_stride}], tmm0",
                "tilestored [{c} + {c_stride} + 64], tmm1",
                "tilestored [{c_low} + {c_stride}], tmm2",
                "tilestored [{c_low} + {c_stride} + 64], tmm3",
                a = inout(reg) a => _,
                a_low = inout(reg) a.wrapping_add(16 * a_stride) => _,
                a_stride = in(reg) a_stride,
                b = inout(reg) b => _,
                b_stride = in(reg) COLUMNS * 4,
                c = in(reg) c,
                c_low = in(reg) c.wrapping_add(16 * c_stride),
                c_stride = in(reg) c_stride,
                steps = inout(reg) count => _,
                stored = in(reg) usize::from(stored),
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            )
            };
        }
        // SAFETY: the caller promises tiles of 16 rows of 64 bytes; the configuration is loaded.
        unsafe {
            match T::FACTORS {
                Factors::Bytes => multiply!("tdpbusd"),
                _ => multiply!("tdpbf16ps"),
            }
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        if !self.emulated {
            // SAFETY: as in `new`.
            unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) }
        }
    }
}

/// Plain loops in place of the instructions, so that tests cover the rest on any processor.
///
/// # Safety
/// As [`Tiles::multiply`].
unsafe fn emulate<T: Steps>(
    a: *const T,
    a_stride: usize,
    b: *const f32,
    c: *mut f32,
    c_stride: usize,
    count: usize,
    stored: bool,
) {
    for row in 0..ROWS {
        for column in 0..COLUMNS {
            // SAFETY: within the operands that the caller promises.
            unsafe {
                let c = c.add(row * c_stride + column);
                let mut sum = if stored { *c } else { 0.0 };
                for step in 0..count * STEPS {
                    let (a, b) = (a.add(row * a_stride + step * T::STEP), *b.add(step * COLUMNS + column));
                    sum = dot_lane::<T>(T::read(a), b, sum);
                }
                *c = sum;
            }
        }
    }
}
