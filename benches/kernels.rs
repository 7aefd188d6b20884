//! The CPU kernels: GFLOP/s, and the share of the peak of the same arithmetic measured in the same run, per kernel set.
//!
//! `cargo bench --bench kernels -- [PART OF A NAME]...`; each figure is the best of a few short interleaved rounds.

use gristmill::KernelSet;
use gristmill::testing::kernels::Activation;
use gristmill::testing::kernels::attention::{PackedAttention, attention_len_as, packed_attention_as};
use gristmill::testing::kernels::gemm::{
    Epilogue, Factor, Factors, Layout, Matrix, Packed, Rows, Segment, gemm, gemm_max,
};
use gristmill::testing::kernels::norm::LayerNorm;
use gristmill::testing::kernels::simd::peak;
use half::bf16;

/// Seconds that this thread has computed: what others take from the core does not count.
#[cfg(unix)]
fn seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock writes to a `timespec` of our own.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Seconds since the first call.
#[cfg(not(unix))]
fn seconds() -> f64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed().as_secs_f64()
}

/// Seconds of one call, the best of several over about `budget` seconds.
fn best(budget: f64, mut call: impl FnMut()) -> f64 {
    call();
    let start = seconds();
    let (mut best, mut now) = (f64::INFINITY, start);
    while now - start < budget {
        let lap = seconds();
        call();
        now = seconds();
        best = best.min(now - lap);
    }
    best
}

struct Case {
    name: String,
    factors: Factors,
    flop: f64,
    call: Box<dyn FnMut()>,
}

fn numbers(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(next).collect()
}

fn pack(set: KernelSet, factors: Factors, k: usize, n: usize) -> Packed {
    let b = numbers(k * n, 2);
    Packed::with_factors(set, factors, &Matrix::new(&b, k, n, Layout::RowMajor), k).expect("a sound matrix")
}

fn prefix(factors: Factors) -> &'static str {
    match factors {
        Factors::Bf16 => "bf16 ",
        Factors::Bytes | Factors::Words => "int8 ",
        _ => "",
    }
}

/// A number in the form that products multiply.
trait Made: Factor + Copy + 'static {
    const FACTORS: Factors;
    fn made(x: f32) -> Self;
}

impl Made for f32 {
    const FACTORS: Factors = Factors::F32;
    fn made(x: f32) -> Self {
        x
    }
}

impl Made for bf16 {
    const FACTORS: Factors = Factors::Bf16;
    fn made(x: f32) -> Self {
        bf16::from_f32(x)
    }
}

impl Made for u8 {
    const FACTORS: Factors = Factors::Bytes;
    fn made(x: f32) -> Self {
        (x * 127.0 + 128.0) as u8
    }
}

impl Made for i16 {
    const FACTORS: Factors = Factors::Words;
    fn made(x: f32) -> Self {
        (x * 127.0) as i16
    }
}

fn product<T: Made>(set: KernelSet, m: usize, n: usize, k: usize, dressed: bool) -> Case {
    let a: Vec<T> = numbers(m * k, 1).into_iter().map(T::made).collect();
    let b = pack(set, T::FACTORS, k, n);
    let (bias, scale) = (numbers(n, 3), numbers(n, 4));
    let (residual, row_scales) = (numbers(m * n, 5), vec![0.01; m]);
    let mut c = vec![0.0; m * n];
    let call = move || {
        let segments = [Segment { offset: 0, len: k }];
        let rows = Rows { data: a.as_slice(), rows: m, stride: k, segments: &segments };
        let plain = Epilogue { row_scales: &row_scales, ..Epilogue::default() };
        let epilogue = match (dressed, n > k) {
            (false, _) => plain,
            (true, true) => Epilogue { bias: Some(&bias), activation: Activation::Gelu, ..plain },
            (true, false) => Epilogue {
                bias: Some(&bias),
                residual: Some(&residual),
                layer_norm: Some(LayerNorm { scale: &scale, bias: Some(&bias), epsilon: 1e-12 }),
                ..plain
            },
        };
        gemm(set, &rows, &b, &epilogue, &mut c, n).expect("shapes that fit");
    };
    let dress = match (dressed, n > k) {
        (false, _) => "",
        (true, true) => " bias gelu",
        (true, false) => " bias residual norm",
    };
    Case {
        name: format!("{}product {m}x{n}x{k}{dress}", prefix(T::FACTORS)),
        factors: T::FACTORS,
        flop: 2.0 * (m * n * k) as f64,
        call: Box::new(call),
    }
}

fn convolution_max<T: Made>(set: KernelSet) -> Case {
    let (positions, channels, window, n) = (508, 256, 5, 512);
    let k = channels * window;
    let a: Vec<T> = numbers((positions + window - 1) * channels, 1).into_iter().map(T::made).collect();
    let b = pack(set, T::FACTORS, k, n);
    let (bias, row_scales) = (numbers(n, 3), vec![0.01; positions]);
    let mut out = vec![0.0; n];
    let call = move || {
        let segments = [Segment { offset: 0, len: k }];
        let rows = Rows { data: a.as_slice(), rows: positions, stride: channels, segments: &segments };
        let (bias, row_scales) = (Some(bias.as_slice()), row_scales.as_slice());
        let epilogue = Epilogue { bias, activation: Activation::GeluTanh, row_scales, ..Epilogue::default() };
        gemm_max(set, &rows, &b, &epilogue, &mut out).expect("shapes that fit");
    };
    Case {
        name: format!("{}convolution 508x512x1280 bias tanh-gelu max", prefix(T::FACTORS)),
        factors: T::FACTORS,
        flop: 2.0 * (positions * n * k) as f64,
        call: Box::new(call),
    }
}

fn sequences(set: KernelSet, factors: Factors, count: usize, len: usize) -> Case {
    let (heads, head_dim) = (12, 32);
    let width = heads * head_dim;
    let qkv = numbers(count * len * 3 * width, 1);
    let offsets: Vec<i32> = (0..=count).map(|i| (i * len) as i32).collect();
    let mut out = vec![0.0; count * len * width];
    let mut scratch = vec![0.0; attention_len_as(set, factors, len, head_dim, head_dim).expect("a small number")];
    let call = move || {
        let packed = PackedAttention {
            qkv: &qkv,
            offsets: &offsets,
            heads,
            head_dim,
            scale: 0.17,
            ..PackedAttention::default()
        };
        packed_attention_as(set, factors, &packed, &mut out, &mut scratch).expect("shapes that fit");
    };
    Case {
        name: format!("{}attention {count} x {len}, 12 heads of 32", prefix(factors)),
        factors,
        flop: 4.0 * (count * len * len * width) as f64,
        call: Box::new(call),
    }
}

fn main() {
    // Words that name a kernel set choose among them, others are parts of names; what starts with `-` is cargo's.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let (sets, parts): (Vec<_>, Vec<_>) = words.into_iter().partition(|word| KernelSet::named(word).is_ok());
    for set in KernelSet::available_int8() {
        if !sets.is_empty() && !sets.iter().any(|name| name == set.name()) {
            continue;
        }
        println!("{set}");
        for mut case in cases(set) {
            if !parts.is_empty() && !parts.iter().any(|part| case.name.contains(part.as_str())) {
                continue;
            }
            let (mut time, mut most) = (f64::INFINITY, 0.0_f64);
            for _ in 0..5 {
                let mut flop = 0.0;
                let peak_time = best(0.01, || {
                    flop = peak(set, case.factors, 200_000);
                });
                most = most.max(flop / peak_time);
                time = time.min(best(0.04, &mut case.call));
            }
            let (rate, share) = (case.flop / time / 1e9, 100.0 * case.flop / time / most);
            println!("  {:46} {rate:8.1} GFLOP/s {share:5.1} % of {:.0}", case.name, most / 1e9);
        }
    }
}

/// Everything that is measured.
fn cases(set: KernelSet) -> Vec<Case> {
    let shapes = [
        (256, 1536, 384),
        (256, 1152, 384),
        (256, 384, 384),
        (256, 384, 1536),
        (64, 384, 384),
        (17, 1536, 384),
        (8, 384, 384),
        (1, 384, 384),
        (256, 10, 512),
    ];
    let dressed = [(256, 384, 384), (256, 1536, 384), (256, 384, 1536)];
    let attention = [(15, 17), (4, 64), (1, 256), (1, 512)];
    let of = |factors| attention.into_iter().map(move |(count, len)| sequences(set, factors, count, len));
    let mut cases = Vec::new();
    // A set that differs in other products alone is measured in f32 under its other name.
    if KernelSet::available().contains(&set) {
        cases.extend(products::<f32>(set, &shapes, &dressed));
        cases.extend(of(Factors::F32));
    }
    if KernelSet::available_bf16().contains(&set) {
        cases.extend(products::<bf16>(set, &shapes, &dressed));
        cases.extend(of(Factors::Bf16));
    }
    if Factors::integers(set) == Factors::Bytes {
        cases.extend(products::<u8>(set, &shapes, &dressed));
    } else {
        cases.extend(products::<i16>(set, &shapes, &dressed));
    }
    cases
}

fn products<T: Made>(set: KernelSet, plain: &[Sizes], dressed: &[Sizes]) -> Vec<Case> {
    let plain = plain.iter().map(|&(m, n, k)| product::<T>(set, m, n, k, false));
    let dressed = dressed.iter().map(|&(m, n, k)| product::<T>(set, m, n, k, true));
    plain.chain(dressed).chain([convolution_max::<T>(set)]).collect()
}

/// M, N and K.
type Sizes = (usize, usize, usize);
