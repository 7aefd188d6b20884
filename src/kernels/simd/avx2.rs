//! Eight lanes: AVX2 and FMA.

use std::arch::x86_64::*;

use half::bf16;

use crate::kernels::simd::{Kernel, Simd};

/// The token of the set; made only by [`run`] and [`run_vnni`], whose callers promise the CPU's
/// features.
///
/// `VNNI`: with the features of [`detected_vnni`].
#[derive(Clone, Copy)]
pub(crate) struct Avx2<const VNNI: bool>(());

/// Whether this CPU and its operating system support the set.
pub(crate) fn detected() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// Runs `kernel` with eight lanes.
#[target_feature(enable = "avx2,fma")]
pub(crate) fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2::<false>(()))
}

/// Whether this CPU also has an instruction for products of bytes.
pub(crate) fn detected_vnni() -> bool {
    detected() && is_x86_feature_detected!("avxvnni")
}

/// Runs `kernel` with eight lanes and the instruction for products of bytes.
#[target_feature(enable = "avx2,fma,avxvnni")]
pub(crate) fn run_vnni<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2::<true>(()))
}

macro_rules! call {
    ($intrinsic:expr) => {
        // SAFETY: an `Avx2` exists only inside `run` or `run_vnni`, on a CPU that has the
        // instruction.
        unsafe { $intrinsic }
    };
}

/// All ones in the first `count` lanes.
#[inline(always)]
fn first(count: usize) -> __m256i {
    call!(_mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)))
}

/// `2^n` for each `n` in -126..=127.
#[inline(always)]
fn power_of_two(n: __m256i) -> __m256 {
    call!(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(n, _mm256_set1_epi32(127)))))
}

/// The sum of the lanes, by halves.
///
/// # Safety
/// The CPU has AVX.
#[inline(always)]
pub(super) unsafe fn sum(a: __m256) -> f32 {
    call!({
        let a = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let a = _mm_add_ps(a, _mm_movehl_ps(a, a));
        _mm_cvtss_f32(_mm_add_ss(a, _mm_shuffle_ps::<1>(a, a)))
    })
}

/// The largest of the lanes.
///
/// # Safety
/// The CPU has AVX.
#[inline(always)]
pub(super) unsafe fn largest(a: __m256) -> f32 {
    call!({
        let a = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let a = _mm_max_ps(a, _mm_movehl_ps(a, a));
        _mm_cvtss_f32(_mm_max_ss(a, _mm_shuffle_ps::<1>(a, a)))
    })
}

impl<const VNNI: bool> Simd for Avx2<VNNI> {
    type F = __m256;
    const LANES: usize = 8;
    const TILE_ROWS: usize = 6;
    // Both halves of two vectors of B, and of a pair of A, take six of sixteen registers.
    const BF16_TILE_ROWS: usize = 4;
    const FOUR_STEPS: bool = true;

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        call!(_mm256_set1_ps(x))
    }
    #[inline(always)]
    fn barrier(self) {
        // SAFETY: no instruction at all.
        unsafe { std::arch::asm!("", options(nostack, preserves_flags)) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: the caller promises 8 numbers.
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn load_head(self, from: *const f32, count: usize) -> __m256 {
        // SAFETY: masked lanes are not read; the caller promises the others.
        unsafe { _mm256_maskload_ps(from, first(count)) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: __m256) {
        // SAFETY: the caller promises 8 numbers.
        unsafe { _mm256_storeu_ps(to, x) }
    }
    #[inline(always)]
    unsafe fn store_head(self, to: *mut f32, count: usize, x: __m256) {
        // SAFETY: masked lanes are not written; the caller promises the others.
        unsafe { _mm256_maskstore_ps(to, first(count), x) }
    }
    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        call!(_mm256_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        call!(_mm256_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        call!(_mm256_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        call!(_mm256_div_ps(a, b))
    }
    #[inline(always)]
    fn div_by(self, a: __m256, b: __m256, inverse: __m256) -> __m256 {
        self.refined_quotient(a, b, inverse)
    }
    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        call!(_mm256_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        call!(_mm256_min_ps(a, b))
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        call!(_mm256_max_ps(a, b))
    }
    #[inline(always)]
    fn abs(self, a: __m256) -> __m256 {
        call!(_mm256_andnot_ps(_mm256_set1_ps(-0.0), a))
    }
    #[inline(always)]
    fn neg(self, a: __m256) -> __m256 {
        call!(_mm256_xor_ps(a, _mm256_set1_ps(-0.0)))
    }
    #[inline(always)]
    fn with_sign(self, a: __m256, sign: __m256) -> __m256 {
        call!(_mm256_or_ps(a, _mm256_and_ps(sign, _mm256_set1_ps(-0.0))))
    }
    #[inline(always)]
    fn sqrt(self, a: __m256) -> __m256 {
        call!(_mm256_sqrt_ps(a))
    }
    #[inline(always)]
    fn round(self, a: __m256) -> __m256 {
        call!(_mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a))
    }
    #[inline(always)]
    fn scale(self, a: __m256, n: __m256) -> __m256 {
        // Two factors, each with an exponent that a normal number can have.
        call!({
            let n = _mm256_cvtps_epi32(n);
            let half = _mm256_srai_epi32::<1>(n);
            _mm256_mul_ps(_mm256_mul_ps(a, power_of_two(half)), power_of_two(_mm256_sub_epi32(n, half)))
        })
    }
    #[inline(always)]
    fn scale_normal(self, a: __m256, n: __m256) -> __m256 {
        // To the exponent; an `n` that is NaN becomes an integer whose low bits are zeros.
        call!({
            let n = _mm256_slli_epi32::<23>(_mm256_cvtps_epi32(n));
            _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), n))
        })
    }
    #[inline(always)]
    fn select_less(self, a: __m256, b: __m256, yes: __m256, no: __m256) -> __m256 {
        call!(_mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b)))
    }
    #[inline(always)]
    fn select_nan(self, a: __m256, yes: __m256, no: __m256) -> __m256 {
        call!(_mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_UNORD_Q>(a, a)))
    }
    #[inline(always)]
    fn head(self, a: __m256, count: usize, fill: __m256) -> __m256 {
        call!(_mm256_blendv_ps(fill, a, _mm256_castsi256_ps(first(count))))
    }
    #[inline(always)]
    fn sum(self, a: __m256) -> f32 {
        call!(sum(a))
    }
    #[inline(always)]
    fn largest(self, a: __m256) -> f32 {
        call!(largest(a))
    }
    #[inline(always)]
    fn round_bf16(self, a: __m256) -> __m256 {
        call!({
            let bits = _mm256_castps_si256(a);
            let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
            let rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
            let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x40_0000));
            let nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(a, a));
            self.high(_mm256_castsi256_ps(_mm256_blendv_epi8(rounded, quiet, nan)))
        })
    }
    #[inline(always)]
    fn high(self, pairs: __m256) -> __m256 {
        call!(_mm256_and_ps(pairs, _mm256_castsi256_ps(_mm256_set1_epi32(0xffff_0000_u32 as i32))))
    }
    #[inline(always)]
    fn low(self, pairs: __m256) -> __m256 {
        call!(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(pairs))))
    }
    #[inline(always)]
    fn pair(self, even: __m256, odd: __m256) -> __m256 {
        let (even, odd) = (self.round_bf16(even), self.round_bf16(odd));
        call!({
            let even = _mm256_srli_epi32::<16>(_mm256_castps_si256(even));
            _mm256_or_ps(odd, _mm256_castsi256_ps(even))
        })
    }
    #[inline(always)]
    unsafe fn store_bf16(self, to: *mut bf16, count: usize, x: __m256) {
        let x = self.round_bf16(x);
        call!({
            let x = _mm256_srli_epi32::<16>(_mm256_castps_si256(x));
            let x = _mm_packus_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
            if count == Self::LANES {
                _mm_storeu_si128(to.cast(), x);
            } else {
                let mut lanes = [bf16::ZERO; 8];
                _mm_storeu_si128(lanes.as_mut_ptr().cast(), x);
                to.copy_from_nonoverlapping(lanes.as_ptr(), count);
            }
        })
    }
    #[inline(always)]
    fn dot_bytes(self, a: u32, b: __m256, sum: __m256) -> __m256 {
        if !VNNI {
            return self.dot_bytes_by_lanes(a, b, sum);
        }
        // SAFETY: an `Avx2<true>` exists only inside `run_vnni`, on a CPU that has the instruction.
        unsafe {
            let (b, sum) = (_mm256_castps_si256(b), _mm256_castps_si256(sum));
            _mm256_castsi256_ps(_mm256_dpbusd_avx_epi32(sum, _mm256_set1_epi32(a as i32), b))
        }
    }
    #[inline(always)]
    fn dot_words(self, a: u32, b: __m256, sum: __m256) -> __m256 {
        call!({
            let products = _mm256_madd_epi16(_mm256_set1_epi32(a as i32), _mm256_castps_si256(b));
            _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(sum), products))
        })
    }
    #[inline(always)]
    fn add_integers(self, a: __m256, b: __m256) -> __m256 {
        call!(_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b))))
    }
    #[inline(always)]
    fn difference(self, a: __m256, b: __m256) -> __m256 {
        call!(_mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b))))
    }
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8, count: usize, x: __m256) {
        call!({
            let x = _mm256_cvtps_epi32(x);
            let x = _mm_packs_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
            let x = _mm_xor_si128(_mm_packs_epi16(x, x), _mm_set1_epi8(-128));
            let bytes = _mm_cvtsi128_si64(x).to_le_bytes();
            to.copy_from_nonoverlapping(bytes.as_ptr(), count);
        })
    }
    #[inline(always)]
    unsafe fn store_words(self, to: *mut i16, count: usize, x: __m256) {
        call!({
            let x = _mm256_cvtps_epi32(x);
            let x = _mm_packs_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
            if count == Self::LANES {
                _mm_storeu_si128(to.cast(), x);
            } else {
                let mut lanes = [0_i16; 8];
                _mm_storeu_si128(lanes.as_mut_ptr().cast(), x);
                to.copy_from_nonoverlapping(lanes.as_ptr(), count);
            }
        })
    }
    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, from_stride: usize, rows: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: the caller promises `rows` rows to read and 8 to write, each of 8 numbers.
        unsafe {
            let mut r = [_mm256_setzero_ps(); 8];
            for (row, r) in r.iter_mut().enumerate().take(rows) {
                *r = _mm256_loadu_ps(from.add(row * from_stride));
            }
            // Pairs, then fours within each half, then the halves.
            let mut t = r;
            for i in 0..4 {
                t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
                t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
            }
            for i in 0..2 {
                for j in 0..2 {
                    let (a, b) = (t[4 * i + j], t[4 * i + j + 2]);
                    r[4 * i + 2 * j] = _mm256_shuffle_ps::<0x44>(a, b);
                    r[4 * i + 2 * j + 1] = _mm256_shuffle_ps::<0xee>(a, b);
                }
            }
            for i in 0..4 {
                _mm256_storeu_ps(to.add(i * to_stride), _mm256_permute2f128_ps::<0x20>(r[i], r[i + 4]));
                _mm256_storeu_ps(to.add((i + 4) * to_stride), _mm256_permute2f128_ps::<0x31>(r[i], r[i + 4]));
            }
        }
    }
}
