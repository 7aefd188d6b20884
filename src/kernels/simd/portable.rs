//! Four lanes as an array, which the compiler vectorizes on any architecture.

use half::bf16;

use crate::kernels::simd::{Kernel, Simd};

/// The token of a set that every CPU can run.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

/// Runs `kernel` with four lanes.
pub(crate) fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Portable)
}

/// Adds the products of a step to one lane.
#[cfg(target_arch = "x86_64")]
pub(crate) fn dot_lane<T: crate::kernels::gemm::Steps>(a: T::Left, b: f32, sum: f32) -> f32 {
    T::multiply(Portable, a, Lanes([b; LANES]), Lanes([sum; LANES])).0[0]
}

const LANES: usize = 4;

/// A vector in memory order.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub(crate) struct Lanes([f32; LANES]);

/// `x + ROUNDER - ROUNDER` is `x` rounded to an integer; the low bits of the sum hold that integer.
const ROUNDER: f32 = 12_582_912.0;

macro_rules! each {
    ($i:ident => $lane:expr) => {{
        let mut out = [0.0; LANES];
        for $i in 0..LANES {
            out[$i] = $lane;
        }
        Lanes(out)
    }};
}

#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits(((n + 127) as u32) << 23)
}

impl Simd for Portable {
    type F = Lanes;
    const LANES: usize = LANES;
    // Sixteen vector registers on the smallest machine that has any, thirty-two on 64-bit Arm.
    const TILE_ROWS: usize = if cfg!(target_arch = "aarch64") { 10 } else { 5 };
    const BF16_TILE_ROWS: usize = if cfg!(target_arch = "aarch64") { 10 } else { 4 };

    #[inline(always)]
    fn splat(self, x: f32) -> Lanes {
        Lanes([x; LANES])
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Lanes {
        // SAFETY: the caller promises 4 numbers; an array of them needs no more alignment than one.
        Lanes(unsafe { from.cast::<[f32; LANES]>().read() })
    }
    #[inline(always)]
    unsafe fn load_head(self, from: *const f32, count: usize) -> Lanes {
        // SAFETY: the caller promises `count` numbers.
        each!(i => if i < count { unsafe { *from.add(i) } } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: Lanes) {
        // SAFETY: the caller promises 4 numbers.
        unsafe { to.cast::<[f32; LANES]>().write(x.0) }
    }
    #[inline(always)]
    unsafe fn store_head(self, to: *mut f32, count: usize, x: Lanes) {
        for (i, &lane) in x.0.iter().enumerate().take(count) {
            // SAFETY: the caller promises `count` numbers.
            unsafe { *to.add(i) = lane }
        }
    }
    #[inline(always)]
    fn add(self, a: Lanes, b: Lanes) -> Lanes {
        each!(i => a.0[i] + b.0[i])
    }
    #[inline(always)]
    fn sub(self, a: Lanes, b: Lanes) -> Lanes {
        each!(i => a.0[i] - b.0[i])
    }
    #[inline(always)]
    fn mul(self, a: Lanes, b: Lanes) -> Lanes {
        each!(i => a.0[i] * b.0[i])
    }
    #[inline(always)]
    fn div(self, a: Lanes, b: Lanes) -> Lanes {
        each!(i => a.0[i] / b.0[i])
    }
    #[inline(always)]
    fn fma(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        // A fused instruction only where every CPU of the architecture has one: elsewhere it is a
        // library call.
        if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
            each!(i => a.0[i].mul_add(b.0[i], c.0[i]))
        } else {
            each!(i => a.0[i] * b.0[i] + c.0[i])
        }
    }
    #[inline(always)]
    fn min(self, a: Lanes, b: Lanes) -> Lanes {
        each!(i => if a.0[i] < b.0[i] { a.0[i] } else { b.0[i] })
    }
    #[inline(always)]
    fn max(self, a: Lanes, b: Lanes) -> Lanes {
        each!(i => if a.0[i] > b.0[i] { a.0[i] } else { b.0[i] })
    }
    #[inline(always)]
    fn abs(self, a: Lanes) -> Lanes {
        each!(i => a.0[i].abs())
    }
    #[inline(always)]
    fn neg(self, a: Lanes) -> Lanes {
        each!(i => -a.0[i])
    }
    #[inline(always)]
    fn with_sign(self, a: Lanes, sign: Lanes) -> Lanes {
        each!(i => f32::from_bits(a.0[i].to_bits() | (sign.0[i].to_bits() & 0x8000_0000)))
    }
    #[inline(always)]
    fn sqrt(self, a: Lanes) -> Lanes {
        each!(i => a.0[i].sqrt())
    }
    #[inline(always)]
    fn round(self, a: Lanes) -> Lanes {
        each!(i => (a.0[i] + ROUNDER) - ROUNDER)
    }
    #[inline(always)]
    fn scale(self, a: Lanes, n: Lanes) -> Lanes {
        // Two factors, each with an exponent that a normal number can have; a NaN in `n` comes with
        // one in `a`.
        each!(i => {
            let n = ((n.0[i] + ROUNDER).to_bits() as i32).wrapping_sub(ROUNDER.to_bits() as i32).clamp(-160, 160);
            let half = n >> 1;
            a.0[i] * power_of_two(half) * power_of_two(n - half)
        })
    }
    #[inline(always)]
    fn select_less(self, a: Lanes, b: Lanes, yes: Lanes, no: Lanes) -> Lanes {
        each!(i => if a.0[i] < b.0[i] { yes.0[i] } else { no.0[i] })
    }
    #[inline(always)]
    fn select_nan(self, a: Lanes, yes: Lanes, no: Lanes) -> Lanes {
        each!(i => if a.0[i].is_nan() { yes.0[i] } else { no.0[i] })
    }
    #[inline(always)]
    fn head(self, a: Lanes, count: usize, fill: Lanes) -> Lanes {
        each!(i => if i < count { a.0[i] } else { fill.0[i] })
    }
    #[inline(always)]
    fn sum(self, a: Lanes) -> f32 {
        (a.0[0] + a.0[2]) + (a.0[1] + a.0[3])
    }
    #[inline(always)]
    fn largest(self, a: Lanes) -> f32 {
        a.0.into_iter().fold(f32::NEG_INFINITY, |largest, lane| if lane > largest { lane } else { largest })
    }
    #[inline(always)]
    fn round_bf16(self, a: Lanes) -> Lanes {
        each!(i => {
            let bits = a.0[i].to_bits();
            let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
            let kept = if a.0[i].is_nan() { bits | 0x40_0000 } else { rounded };
            f32::from_bits(kept & 0xffff_0000)
        })
    }
    #[inline(always)]
    fn high(self, pairs: Lanes) -> Lanes {
        each!(i => f32::from_bits(pairs.0[i].to_bits() & 0xffff_0000))
    }
    #[inline(always)]
    fn low(self, pairs: Lanes) -> Lanes {
        each!(i => f32::from_bits(pairs.0[i].to_bits() << 16))
    }
    #[inline(always)]
    fn pair(self, even: Lanes, odd: Lanes) -> Lanes {
        let (even, odd) = (self.round_bf16(even), self.round_bf16(odd));
        each!(i => f32::from_bits(odd.0[i].to_bits() | even.0[i].to_bits() >> 16))
    }
    #[inline(always)]
    unsafe fn store_bf16(self, to: *mut bf16, count: usize, x: Lanes) {
        let x = self.round_bf16(x);
        for (i, lane) in x.0.iter().enumerate().take(count) {
            // SAFETY: the caller promises `count` numbers.
            unsafe { *to.add(i) = bf16::from_bits((lane.to_bits() >> 16) as u16) }
        }
    }
    #[inline(always)]
    fn integers(self, a: Lanes, b: Lanes, f: impl Fn(i32, i32) -> i32) -> Lanes {
        each!(i => f32::from_bits(f(a.0[i].to_bits().cast_signed(), b.0[i].to_bits().cast_signed()).cast_unsigned()))
    }
    #[inline(always)]
    fn add_integers(self, a: Lanes, b: Lanes) -> Lanes {
        each!(i => f32::from_bits(a.0[i].to_bits().wrapping_add(b.0[i].to_bits())))
    }
    #[inline(always)]
    fn difference(self, a: Lanes, b: Lanes) -> Lanes {
        each!(i => a.0[i].to_bits().cast_signed().wrapping_sub(b.0[i].to_bits().cast_signed()) as f32)
    }
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8, count: usize, x: Lanes) {
        for (i, lane) in self.round(x).0.iter().enumerate().take(count) {
            // SAFETY: the caller promises `count` bytes.
            unsafe { *to.add(i) = (*lane as i8).cast_unsigned() ^ 0x80 }
        }
    }
    #[inline(always)]
    unsafe fn store_words(self, to: *mut i16, count: usize, x: Lanes) {
        for (i, lane) in self.round(x).0.iter().enumerate().take(count) {
            // SAFETY: the caller promises `count` numbers.
            unsafe { *to.add(i) = *lane as i16 }
        }
    }
    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, from_stride: usize, rows: usize, to: *mut f32, to_stride: usize) {
        for column in 0..LANES {
            for row in 0..LANES {
                // SAFETY: the caller promises `rows` rows to read and `LANES` to write, each of
                // `LANES` numbers.
                unsafe {
                    let x = if row < rows { *from.add(row * from_stride + column) } else { 0.0 };
                    *to.add(column * to_stride + row) = x;
                }
            }
        }
    }
}
