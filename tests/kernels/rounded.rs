//! Results that are stored as bf16, and attention of operands that are: the same bits as rounding before and after.

use crate::bf16::{each_bf16_set, rounded};
use crate::oracle;
use crate::support::{RAGGED, numbers};
use gristmill::testing::kernels::attention::{PackedAttention, attention_len_as, packed_attention_as};
use gristmill::testing::kernels::gemm::{Epilogue, Factors, Layout, Matrix, Packed, Rows, Segment, gemm};
use gristmill::testing::kernels::norm::LayerNorm;
use gristmill::testing::threads::with_workers;
use gristmill::{KernelSet, testing::kernels::Activation};
use half::bf16;

/// NaN is NaN, whatever its bits.
fn assert_same(found: &[bf16], wanted: &[bf16], what: &str) {
    assert_eq!(found.len(), wanted.len());
    for (i, (a, b)) in found.iter().zip(wanted).enumerate() {
        assert!(a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(), "{what}: {i}: {a}, not {b}");
    }
}

/// The product stored as bf16, and as f32 and rounded then.
fn both(set: KernelSet, a: &[bf16], b: &[f32], [m, n, k]: [usize; 3], epilogue: &Epilogue<'_>) -> [Vec<bf16>; 2] {
    let packed = Packed::with_factors(set, Factors::Bf16, &Matrix::new(b, k, n, Layout::RowMajor), k).unwrap();
    let segments = [Segment { offset: 0, len: k }];
    let rows = Rows { data: a, rows: m, stride: k, segments: &segments };
    let stride = n + 3;
    let (mut stored, mut c) = (vec![bf16::from_f32(7.5); m * stride], vec![7.5; m * stride]);
    gemm(set, &rows, &packed, epilogue, &mut stored, stride).unwrap();
    gemm(set, &rows, &packed, epilogue, &mut c, stride).unwrap();
    [stored, rounded(&c)]
}

#[test]
fn a_product_is_rounded_last() {
    each_bf16_set(|set| {
        for m in RAGGED {
            for n in RAGGED {
                for k in [1, 31, 64, 257] {
                    let (a, b) = (rounded(&numbers(m * k, 1)), numbers(k * n, 2));
                    let (bias, residual) = (numbers(n, 3), numbers(m * n, 4));
                    let epilogue = Epilogue {
                        row_scales: &[],
                        sums: None,
                        bias: Some(&bias),
                        activation: Activation::Gelu,
                        residual: Some(&residual),
                        layer_norm: None,
                    };
                    for epilogue in [Epilogue::default(), epilogue] {
                        let [found, wanted] = both(set, &a, &b, [m, n, k], &epilogue);
                        assert_same(&found, &wanted, &format!("{set} {m}x{n}x{k}"));
                    }
                }
            }
        }
    });
}

#[test]
fn long_sums_are_rounded_once() {
    each_bf16_set(|set| {
        // Longer than any block of K, with sums that rounding on the way would change.
        for [m, n, k] in [[33, 70, 5000], [1, 33, 4099], [70, 32, 4096]] {
            let a: Vec<f32> = numbers(m * k, 1).iter().enumerate().map(|(i, x)| x * (1 + i % 97) as f32).collect();
            let (a, b) = (rounded(&a), numbers(k * n, 2));
            let [found, wanted] = both(set, &a, &b, [m, n, k], &Epilogue::default());
            assert_same(&found, &wanted, &format!("{set} {m}x{n}x{k}"));
        }
    });
}

#[test]
fn hostile_values_are_stored_as_they_are_rounded() {
    let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1e-39, -0.0, 3.39e38];
    each_bf16_set(|set| {
        let (m, n, k) = (17, 35, 3);
        let mut a = numbers(m * k, 1);
        for (i, x) in special.iter().enumerate() {
            a[i * 6] = *x;
        }
        let [found, wanted] = both(set, &rounded(&a), &numbers(k * n, 2), [m, n, k], &Epilogue::default());
        assert_same(&found, &wanted, set.name());
    });
}

#[test]
fn a_split_product_is_stored_with_the_same_bits() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    each_bf16_set(|set| {
        for [m, n, k] in [[200, 384, 128], [7, 1536, 384]] {
            let (a, b) = (rounded(&numbers(m * k, 1)), numbers(k * n, 2));
            let [_, wanted] = both(set, &a, &b, [m, n, k], &Epilogue::default());
            let [found, _] = pool.install(|| with_workers(3, || both(set, &a, &b, [m, n, k], &Epilogue::default())));
            assert_same(&found, &wanted, &format!("{set} {m}x{n}x{k}"));
        }
    });
}

#[test]
fn a_rounded_product_is_not_normalised() {
    each_bf16_set(|set| {
        let (a, b, scale) = (rounded(&numbers(4, 1)), numbers(4, 2), [1.0; 2]);
        let packed = Packed::with_factors(set, Factors::Bf16, &Matrix::new(&b, 2, 2, Layout::RowMajor), 2).unwrap();
        let segments = [Segment { offset: 0, len: 2 }];
        let rows = Rows { data: a.as_slice(), rows: 2, stride: 2, segments: &segments };
        let layer_norm = Some(LayerNorm { scale: &scale, bias: None, epsilon: 1e-5 });
        let epilogue = Epilogue { layer_norm, ..Epilogue::default() };
        assert!(gemm(set, &rows, &packed, &epilogue, &mut [bf16::ZERO; 4], 2).is_err());
    });
}

#[test]
fn attention_of_rounded_operands_has_the_bits_of_rounding_them() {
    const LENGTHS: [usize; 8] = [1, 15, 0, 16, 17, 33, 65, 150];
    each_bf16_set(|set| {
        // An odd number of columns has heads that begin between two lanes.
        for (heads, head_dim) in [(12, 32), (2, 64), (3, 17), (1, 1), (2, 48), (2, 6)] {
            let mut offsets = vec![0];
            for len in LENGTHS {
                offsets.push(offsets[offsets.len() - 1] + len as i32);
            }
            let (rows, width) = (LENGTHS.iter().sum::<usize>(), heads * head_dim);
            let qkv: Vec<f32> = numbers(rows * 3 * width, 1).iter().map(|x| x * 3.0).collect();
            let given = rounded(&qkv);
            let len = attention_len_as(set, Factors::Bf16, 150, head_dim, head_dim).unwrap();
            let mut scratch = vec![f32::NAN; len];
            let scale = 1.0 / (head_dim as f32).sqrt();
            let plain =
                PackedAttention { qkv: &qkv, offsets: &offsets, heads, head_dim, scale, ..PackedAttention::default() };
            let of_rounded = PackedAttention {
                qkv: &given,
                offsets: &offsets,
                heads,
                head_dim,
                scale,
                ..PackedAttention::default()
            };
            let mut wanted = vec![f32::NAN; rows * width];
            packed_attention_as(set, Factors::Bf16, &plain, &mut wanted, &mut scratch).unwrap();
            let what = format!("{set} {heads}x{head_dim}");
            let mut found = wanted.clone();
            found.fill(f32::NAN);
            packed_attention_as(set, Factors::Bf16, &of_rounded, &mut found, &mut scratch).unwrap();
            assert_eq!(found, wanted, "{what}");
            let mut stored = vec![bf16::NAN; rows * width];
            packed_attention_as(set, Factors::Bf16, &of_rounded, &mut stored, &mut scratch).unwrap();
            assert_same(&stored, &rounded(&wanted), &what);
            packed_attention_as(set, Factors::Bf16, &plain, &mut stored, &mut scratch).unwrap();
            assert_same(&stored, &rounded(&wanted), &what);
            assert!(packed_attention_as(set, Factors::F32, &of_rounded, &mut found, &mut scratch).is_err());
        }
    });
}

/// Products of one factor, 1, so that the activation is applied to every number that bf16 has.
#[test]
fn gelus_of_rounded_factors_are_within_their_bound() {
    let x: Vec<bf16> = (0..=u16::MAX).map(bf16::from_bits).collect();
    for set in KernelSet::available_bf16() {
        let one = Matrix::new(&[1.0], 1, 1, Layout::RowMajor);
        let one = Packed::with_factors(set, Factors::Bf16, &one, 1).unwrap();
        let segments = [Segment { offset: 0, len: 1 }];
        let rows = Rows { data: &x, rows: x.len(), stride: 1, segments: &segments };
        for activation in [Activation::Gelu, Activation::GeluTanh] {
            let gelu = if activation == Activation::Gelu { oracle::gelu } else { oracle::gelu_tanh };
            let epilogue = Epilogue { activation, ..Epilogue::default() };
            let (mut y, mut rounded) = (vec![9.0_f32; x.len()], vec![bf16::ONE; x.len()]);
            gemm(set, &rows, &one, &epilogue, &mut y, 1).unwrap();
            gemm(set, &rows, &one, &epilogue, &mut rounded, 1).unwrap();
            for ((&x, &y), &rounded) in x.iter().zip(&y).zip(&rounded) {
                let (exact, x) = (gelu(f64::from(x)), f64::from(x));
                if exact.is_nan() {
                    assert!(y.is_nan() && rounded.is_nan(), "{set} {activation:?}({x:e}) is {y:e}");
                    continue;
                }
                let error = (f64::from(y) - exact).abs();
                let fine = error <= 6e-5 * x.abs().max(1.0) || f64::from(y) == exact;
                assert!(fine, "{set} {activation:?}({x:e}) is {y:e}, not {exact:e}");
                let stored = f64::from(rounded);
                let normal = y.abs() >= f32::MIN_POSITIVE;
                assert!(!normal || stored == f64::from(bf16::from_f32(y)), "{set} {activation:?}({x:e}): {stored:e}");
            }
        }
    }
}
