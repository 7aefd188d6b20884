//! Sixteen lanes: AVX-512 F, BW, DQ and VL, optionally BF16 or VNNI.

use std::arch::x86_64::*;

use half::bf16;

use crate::kernels::simd::{Kernel, Simd, avx2};

/// The token of the set; made only by [`run`], [`run_bf16`] and [`run_vnni`], whose callers promise
/// the CPU's features.
///
/// `BF16`: with the features of [`detected_bf16`]. `VNNI`: with those of [`detected_vnni`].
#[derive(Clone, Copy)]
pub(crate) struct Avx512<const BF16: bool, const VNNI: bool>(());

/// Whether this CPU and its operating system support the set.
pub(crate) fn detected() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("fma")
}

/// Runs `kernel` with sixteen lanes.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
pub(crate) fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512::<false, false>(()))
}

/// Whether this CPU also has an instruction for products of bf16.
pub(crate) fn detected_bf16() -> bool {
    // Every CPU with the one has the other.
    detected_vnni() && is_x86_feature_detected!("avx512bf16")
}

/// Runs `kernel` with sixteen lanes and the instruction for products of bf16.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
pub(crate) fn run_bf16<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512::<true, false>(()))
}

/// Whether this CPU also has an instruction for products of bytes.
pub(crate) fn detected_vnni() -> bool {
    detected() && is_x86_feature_detected!("avx512vnni")
}

/// Runs `kernel` with sixteen lanes and the instructions for products of integers.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
pub(crate) fn run_vnni<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512::<false, true>(()))
}

macro_rules! call {
    ($intrinsic:expr) => {
        // SAFETY: an `Avx512` exists only inside `run`, `run_bf16` or `run_vnni`, on a CPU that has
        // the instruction.
        unsafe { $intrinsic }
    };
}

/// A mask of the first `count` lanes.
#[inline(always)]
fn first(count: usize) -> __mmask16 {
    (0xffff_u32 >> (16 - count as u32)) as __mmask16
}

impl<const BF16: bool, const VNNI: bool> Simd for Avx512<BF16, VNNI> {
    type F = __m512;
    const LANES: usize = 16;
    const TILE_ROWS: usize = 14;
    // Without the instruction both halves of two vectors of B, and of a pair of A, take six
    // registers.
    const BF16_TILE_ROWS: usize = if BF16 { 14 } else { 12 };

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        call!(_mm512_set1_ps(x))
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: the caller promises 16 numbers.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn load_head(self, from: *const f32, count: usize) -> __m512 {
        // SAFETY: masked lanes are not read; the caller promises the others.
        unsafe { _mm512_maskz_loadu_ps(first(count), from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: __m512) {
        // SAFETY: the caller promises 16 numbers.
        unsafe { _mm512_storeu_ps(to, x) }
    }
    #[inline(always)]
    unsafe fn store_head(self, to: *mut f32, count: usize, x: __m512) {
        // SAFETY: masked lanes are not written; the caller promises the others.
        unsafe { _mm512_mask_storeu_ps(to, first(count), x) }
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn div_by(self, a: __m512, b: __m512, inverse: __m512) -> __m512 {
        self.refined_quotient(a, b, inverse)
    }
    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        call!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_min_ps(a, b))
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn abs(self, a: __m512) -> __m512 {
        call!(_mm512_abs_ps(a))
    }
    #[inline(always)]
    fn neg(self, a: __m512) -> __m512 {
        call!(_mm512_xor_ps(a, _mm512_set1_ps(-0.0)))
    }
    #[inline(always)]
    fn with_sign(self, a: __m512, sign: __m512) -> __m512 {
        call!(_mm512_or_ps(a, _mm512_and_ps(sign, _mm512_set1_ps(-0.0))))
    }
    #[inline(always)]
    fn sqrt(self, a: __m512) -> __m512 {
        call!(_mm512_sqrt_ps(a))
    }
    #[inline(always)]
    fn round(self, a: __m512) -> __m512 {
        call!(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a))
    }
    #[inline(always)]
    fn scale(self, a: __m512, n: __m512) -> __m512 {
        call!(_mm512_scalef_ps(a, n))
    }
    #[inline(always)]
    fn select_less(self, a: __m512, b: __m512, yes: __m512, no: __m512) -> __m512 {
        call!(_mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), no, yes))
    }
    #[inline(always)]
    fn select_nan(self, a: __m512, yes: __m512, no: __m512) -> __m512 {
        call!(_mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a), no, yes))
    }
    #[inline(always)]
    fn head(self, a: __m512, count: usize, fill: __m512) -> __m512 {
        call!(_mm512_mask_blend_ps(first(count), fill, a))
    }
    #[inline(always)]
    fn sum(self, a: __m512) -> f32 {
        call!({
            let a = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            avx2::sum(a)
        })
    }
    #[inline(always)]
    fn largest(self, a: __m512) -> f32 {
        call!({
            let a = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            avx2::largest(a)
        })
    }
    #[inline(always)]
    fn round_bf16(self, a: __m512) -> __m512 {
        call!({
            let bits = _mm512_castps_si512(a);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
            let quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x40_0000));
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a);
            self.high(_mm512_castsi512_ps(_mm512_mask_blend_epi32(nan, rounded, quiet)))
        })
    }
    #[inline(always)]
    fn high(self, pairs: __m512) -> __m512 {
        call!({
            let mask = _mm512_set1_epi32(0xffff_0000_u32 as i32);
            _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(pairs), mask))
        })
    }
    #[inline(always)]
    fn low(self, pairs: __m512) -> __m512 {
        call!(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(pairs))))
    }
    #[inline(always)]
    fn pair(self, even: __m512, odd: __m512) -> __m512 {
        let (even, odd) = (self.round_bf16(even), self.round_bf16(odd));
        call!({
            let even = _mm512_srli_epi32::<16>(_mm512_castps_si512(even));
            _mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(odd), even))
        })
    }
    #[inline(always)]
    unsafe fn store_bf16(self, to: *mut bf16, count: usize, x: __m512) {
        if BF16 {
            // SAFETY: an `Avx512<true, _>` exists only inside `run_bf16`, on a CPU that has the
            // instruction; the vector types are of the same size, and masked lanes are not written.
            return unsafe {
                let x = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(x));
                _mm256_mask_storeu_epi16(to.cast(), first(count), x);
            };
        }
        let x = self.round_bf16(x);
        call!({
            let x = _mm512_srli_epi32::<16>(_mm512_castps_si512(x));
            _mm512_mask_cvtepi32_storeu_epi16(to.cast(), first(count), x);
        })
    }
    #[inline(always)]
    unsafe fn store_two_bf16(self, to: *mut bf16, first: __m512, second: __m512) {
        // SAFETY: the caller promises 32 numbers; an `Avx512<true, _>` exists only inside `run_bf16`,
        // on a CPU that has the instruction, and the vector types are of the same size.
        unsafe {
            if BF16 {
                let both = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(second, first));
                _mm512_storeu_si512(to.cast(), both);
            } else {
                self.store_bf16(to, 16, first);
                self.store_bf16(to.add(16), 16, second);
            }
        }
    }
    #[inline(always)]
    unsafe fn load_bf16(self, from: *const bf16, count: usize) -> __m512 {
        call!({
            let x = _mm256_maskz_loadu_epi16(first(count), from.cast());
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(x)))
        })
    }
    #[inline(always)]
    fn dot(self, a: u32, b: __m512, sum: __m512) -> __m512 {
        if BF16 {
            // SAFETY: an `Avx512<true, _>` exists only inside `run_bf16`, on a CPU that has the
            // instruction; the vector types are of the same size, and any bits are valid.
            return unsafe {
                let a = std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(a as i32));
                _mm512_dpbf16_ps(sum, a, std::mem::transmute::<__m512, __m512bh>(b))
            };
        }
        let odd = self.fma(self.splat(f32::from_bits(a & 0xffff_0000)), self.high(b), sum);
        self.fma(self.splat(f32::from_bits(a << 16)), self.low(b), odd)
    }
    #[inline(always)]
    fn dot_bytes(self, a: u32, b: __m512, sum: __m512) -> __m512 {
        if !VNNI {
            return self.dot_bytes_by_lanes(a, b, sum);
        }
        // SAFETY: an `Avx512<_, true>` exists only inside `run_vnni`, on a CPU that has the
        // instruction.
        unsafe {
            let (b, sum) = (_mm512_castps_si512(b), _mm512_castps_si512(sum));
            _mm512_castsi512_ps(_mm512_dpbusd_epi32(sum, _mm512_set1_epi32(a as i32), b))
        }
    }
    #[inline(always)]
    fn dot_words(self, a: u32, b: __m512, sum: __m512) -> __m512 {
        let (a, b, sum) = call!((_mm512_set1_epi32(a as i32), _mm512_castps_si512(b), _mm512_castps_si512(sum)));
        if VNNI {
            // SAFETY: as in `dot_bytes`.
            return unsafe { _mm512_castsi512_ps(_mm512_dpwssd_epi32(sum, a, b)) };
        }
        call!(_mm512_castsi512_ps(_mm512_add_epi32(sum, _mm512_madd_epi16(a, b))))
    }
    #[inline(always)]
    fn add_integers(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b))))
    }
    #[inline(always)]
    fn difference(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b))))
    }
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8, count: usize, x: __m512) {
        call!({
            let x = _mm_xor_si128(_mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(x)), _mm_set1_epi8(-128));
            _mm_mask_storeu_epi8(to.cast(), first(count), x);
        })
    }
    #[inline(always)]
    unsafe fn store_words(self, to: *mut i16, count: usize, x: __m512) {
        call!(_mm256_mask_storeu_epi16(to, first(count), _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(x))))
    }
    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, from_stride: usize, rows: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: the caller promises `rows` rows to read and 16 to write, each of 16 numbers.
        unsafe {
            let mut r = [_mm512_setzero_ps(); 16];
            for (row, r) in r.iter_mut().enumerate().take(rows) {
                *r = _mm512_loadu_ps(from.add(row * from_stride));
            }
            // Pairs, then fours within each quarter, then the quarters of fours, then of eights.
            let mut t = r;
            for i in 0..8 {
                t[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
                t[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
            }
            for i in 0..4 {
                for j in 0..2 {
                    let (a, b) = (t[4 * i + j], t[4 * i + j + 2]);
                    r[4 * i + 2 * j] = _mm512_shuffle_ps::<0x44>(a, b);
                    r[4 * i + 2 * j + 1] = _mm512_shuffle_ps::<0xee>(a, b);
                }
            }
            for i in 0..2 {
                for j in 0..4 {
                    let (a, b) = (r[8 * i + j], r[8 * i + j + 4]);
                    t[8 * i + j] = _mm512_shuffle_f32x4::<0x88>(a, b);
                    t[8 * i + j + 4] = _mm512_shuffle_f32x4::<0xdd>(a, b);
                }
            }
            for i in 0..8 {
                _mm512_storeu_ps(to.add(i * to_stride), _mm512_shuffle_f32x4::<0x88>(t[i], t[i + 8]));
                _mm512_storeu_ps(to.add((i + 8) * to_stride), _mm512_shuffle_f32x4::<0xdd>(t[i], t[i + 8]));
            }
        }
    }
}
