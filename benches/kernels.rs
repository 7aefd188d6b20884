//! The CPU kernels: GFLOP/s, and the share of the multiply-add peak measured in the same run, per kernel set.
//!
//! `cargo bench --bench kernels -- [PART OF A NAME]...`; each figure is the best of a few short interleaved rounds.

use gristmill::cpu::Activation;
use gristmill::cpu::KernelSet;
use gristmill::cpu::gemm::{Epilogue, Layout, Packed, Rows, Segment, gemm, gemm_max};
use gristmill::cpu::norm::LayerNorm;
use std::time::{Duration, Instant};

/// Seconds of one call, the best of several over about `budget`.
fn best(budget: Duration, mut call: impl FnMut()) -> f64 {
    call();
    let start = Instant::now();
    let mut best = f64::INFINITY;
    while start.elapsed() < budget {
        let lap = Instant::now();
        call();
        best = best.min(lap.elapsed().as_secs_f64());
    }
    best
}

struct Case {
    name: String,
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

fn product(set: KernelSet, m: usize, n: usize, k: usize, dressed: bool) -> Case {
    let a = numbers(m * k, 1);
    let b = Packed::new(set, &numbers(k * n, 2), k, n, Layout::RowMajor).expect("a sound matrix");
    let (bias, scale) = (numbers(n, 3), numbers(n, 4));
    let residual = numbers(m * n, 5);
    let mut c = vec![0.0; m * n];
    let call = move || {
        let segments = [Segment { offset: 0, len: k }];
        let rows = Rows { data: &a, rows: m, stride: k, segments: &segments };
        let epilogue = match (dressed, n > k) {
            (false, _) => Epilogue::default(),
            (true, true) => Epilogue { bias: Some(&bias), activation: Activation::Gelu, ..Epilogue::default() },
            (true, false) => Epilogue {
                bias: Some(&bias),
                residual: Some(&residual),
                layer_norm: Some(LayerNorm { scale: &scale, bias: Some(&bias), epsilon: 1e-12 }),
                ..Epilogue::default()
            },
        };
        gemm(set, &rows, &b, &epilogue, &mut c, n).expect("shapes that fit");
    };
    let dress = match (dressed, n > k) {
        (false, _) => "",
        (true, true) => " bias gelu",
        (true, false) => " bias residual norm",
    };
    Case { name: format!("product {m}x{n}x{k}{dress}"), flop: 2.0 * (m * n * k) as f64, call: Box::new(call) }
}

fn convolution_max(set: KernelSet) -> Case {
    let (positions, channels, window, n) = (508, 256, 5, 512);
    let k = channels * window;
    let a = numbers((positions + window - 1) * channels, 1);
    let b = Packed::new(set, &numbers(k * n, 2), k, n, Layout::RowMajor).expect("a sound matrix");
    let bias = numbers(n, 3);
    let mut out = vec![0.0; n];
    let call = move || {
        let segments = [Segment { offset: 0, len: k }];
        let rows = Rows { data: &a, rows: positions, stride: channels, segments: &segments };
        let epilogue = Epilogue { bias: Some(&bias), activation: Activation::GeluTanh, ..Epilogue::default() };
        gemm_max(set, &rows, &b, &epilogue, &mut out).expect("shapes that fit");
    };
    Case {
        name: "convolution 508x512x1280 bias tanh-gelu max".into(),
        flop: 2.0 * (positions * n * k) as f64,
        call: Box::new(call),
    }
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    for set in KernelSet::available() {
        let peak_call = || std::hint::black_box(gristmill::cpu::simd::peak(set, 200_000));
        let flop = peak_call();
        let mut cases = vec![product(set, 256, 1536, 384, false)];
        for (m, n, k) in [
            (256, 384, 384),
            (256, 1152, 384),
            (256, 384, 1536),
            (64, 384, 384),
            (17, 1536, 384),
            (8, 384, 384),
            (1, 1536, 384),
        ] {
            cases.push(product(set, m, n, k, false));
        }
        for (m, n, k) in [(256, 384, 384), (256, 1536, 384), (256, 384, 1536)] {
            cases.push(product(set, m, n, k, true));
        }
        cases.push(convolution_max(set));
        println!("{set}");
        for mut case in cases {
            if !wanted.is_empty() && !wanted.iter().any(|part| case.name.contains(part.as_str()) || part == set.name())
            {
                continue;
            }
            let (mut seconds, mut peak) = (f64::INFINITY, 0.0_f64);
            for _ in 0..5 {
                peak = peak.max(
                    flop / best(Duration::from_millis(10), || {
                        peak_call();
                    }),
                );
                seconds = seconds.min(best(Duration::from_millis(40), &mut case.call));
            }
            let rate = case.flop / seconds;
            println!(
                "  {:46} {:8.1} GFLOP/s {:5.1} % of {:.0}",
                case.name,
                rate / 1e9,
                100.0 * rate / peak,
                peak / 1e9
            );
        }
    }
}
