//! Matrix products and their epilogues.

use crate::oracle;
use crate::support::{RAGGED, assert_bits, assert_close, each_set, numbers, transpose};
use gristmill::KernelSet;
use gristmill::testing::kernels::Activation;
use gristmill::testing::kernels::gemm::{
    Epilogue, Layout, Matrix, Packed, Rows, Segment, gemm, gemm_dynamic, gemm_max, pack_len,
};
use gristmill::testing::kernels::norm::LayerNorm;
use gristmill::testing::threads::with_workers;

/// `a b` through a packed B, C with a stride of its own; what lies between the rows of C stays as it was.
fn multiply(set: KernelSet, a: &[f32], b: &[f32], m: usize, n: usize, k: usize, epilogue: &Epilogue<'_>) -> Vec<f32> {
    let packed = Packed::new(set, b, k, n, Layout::RowMajor).unwrap();
    let segments = [Segment { offset: 0, len: k }];
    let rows = Rows { data: a, rows: m, stride: k, segments: &segments };
    let stride = n + 3;
    let mut c = vec![7.5; m * stride];
    gemm(set, &rows, &packed, epilogue, &mut c, stride).unwrap();
    let mut out = Vec::new();
    for row in c.chunks(stride) {
        assert_eq!(&row[n..], [7.5; 3], "{set} {m}x{n}x{k} wrote past a row");
        out.extend_from_slice(&row[..n]);
    }
    out
}

#[test]
fn products_agree_with_the_oracle_on_ragged_shapes() {
    each_set(|set| {
        for m in RAGGED {
            for n in RAGGED {
                for k in RAGGED {
                    let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
                    let wanted = oracle::product(&a, &b, m, n, k);
                    let what = format!("{set} {m}x{n}x{k}");
                    let found = multiply(set, &a, &b, m, n, k, &Epilogue::default());
                    assert_close(&found, &wanted, 2e-6 * k as f64, &what);

                    let segments = [Segment { offset: 0, len: k }];
                    let rows = Rows { data: &a, rows: m, stride: k, segments: &segments };
                    let transposed = transpose(&b, k, n);
                    let packed = Packed::new(set, &transposed, k, n, Layout::Transposed).unwrap();
                    let mut c = vec![0.0; m * n];
                    gemm(set, &rows, &packed, &Epilogue::default(), &mut c, n).unwrap();
                    assert_bits(&c, &found, &what);

                    let mut scratch = vec![f32::NAN; pack_len(set, k, n).unwrap()];
                    let b = Matrix::new(&transposed, k, n, Layout::Transposed);
                    c.fill(0.0);
                    gemm_dynamic(set, &rows, &b, &Epilogue::default(), &mut c, n, &mut scratch).unwrap();
                    assert_bits(&c, &found, &what);
                }
            }
        }
    });
}

#[test]
fn large_products_are_blocked_without_a_trace() {
    each_set(|set| {
        for (m, n, k) in [(300, 700, 900), (5, 70, 3000), (2000, 40, 33), (40, 3000, 500)] {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            let found = multiply(set, &a, &b, m, n, k, &Epilogue::default());
            assert_close(&found, &oracle::product(&a, &b, m, n, k), 2e-6 * k as f64, &format!("{set} {m}x{n}x{k}"));
        }
    });
}

#[test]
fn a_row_does_not_depend_on_its_neighbours() {
    let (m, n, k) = (257, 97, 1700);
    let (a, b, bias, residual) = (numbers(m * k, 1), numbers(k * n, 2), numbers(n, 3), numbers(m * n, 4));
    each_set(|set| {
        let dress = |residual| Epilogue {
            row_scales: &[],
            sums: None,
            bias: Some(&bias),
            activation: Activation::Gelu,
            residual: Some(residual),
            layer_norm: Some(LayerNorm { scale: &bias, bias: Some(&bias), epsilon: 1e-12 }),
        };
        let all = multiply(set, &a, &b, m, n, k, &dress(&residual));
        let plain = multiply(set, &a, &b, m, n, k, &Epilogue::default());
        for row in 0..m {
            let (a, residual) = (&a[row * k..][..k], &residual[row * n..][..n]);
            let what = format!("{set} row {row}");
            assert_bits(&multiply(set, a, &b, 1, n, k, &Epilogue::default()), &plain[row * n..][..n], &what);
            assert_bits(&multiply(set, a, &b, 1, n, k, &dress(residual)), &all[row * n..][..n], &what);
        }
        for rows in [2, 3, 5, 7, 13, 14, 15, 29] {
            let found = multiply(set, &a[k..], &b, rows, n, k, &Epilogue::default());
            assert_bits(&found, &plain[n..][..rows * n], &format!("{set} {rows} rows"));
        }
    });
}

#[test]
fn a_product_split_over_workers_has_the_same_bits() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    each_set(|set| {
        for (m, n, k) in [(257, 97, 700), (32, 1152, 384), (3, 5000, 300), (2000, 10, 500), (1, 1, 2_000_000)] {
            let (a, b, bias) = (numbers(m * k, 1), numbers(k * n, 2), numbers(n, 3));
            let norm = LayerNorm { scale: &bias, bias: None, epsilon: 1e-5 };
            let epilogue = Epilogue { bias: Some(&bias), activation: Activation::Tanh, ..Epilogue::default() };
            let normed = Epilogue { layer_norm: Some(norm), ..epilogue };
            let packed = Packed::new(set, &b, k, n, Layout::RowMajor).unwrap();
            let max = || {
                let rows = Rows { data: &a, rows: m, stride: k, segments: &[Segment { offset: 0, len: k }] };
                let mut out = vec![0.0; n];
                gemm_max(set, &rows, &packed, &epilogue, &mut out).unwrap();
                out
            };
            let whole = (multiply(set, &a, &b, m, n, k, &normed), max());
            for workers in [2, 3, 8] {
                let run = || with_workers(workers, || (multiply(set, &a, &b, m, n, k, &normed), max()));
                let (product, largest) = pool.install(run);
                assert_bits(&product, &whole.0, &format!("{set} {m}x{n}x{k} by {workers}"));
                assert_bits(&largest, &whole.1, &format!("{set} {m}x{n}x{k} by {workers}"));
            }
        }
    });
}

#[test]
fn sums_run_over_ascending_k_in_one_chain() {
    // Cancellation on the way shows any other order.
    let k = 700;
    let a: Vec<f32> = (0..k).map(|i| if i % 2 == 0 { 1e8 } else { -1e8 } + i as f32 * 13.0).collect();
    let b = numbers(k, 3);
    let fused = a.iter().zip(&b).fold(0.0_f32, |sum, (&a, &b)| a.mul_add(b, sum));
    let unfused = a.iter().zip(&b).fold(0.0_f32, |sum, (&a, &b)| a * b + sum);
    each_set(|set| {
        let found = multiply(set, &a, &b, 1, 1, k, &Epilogue::default())[0];
        assert!(found.to_bits() == fused.to_bits() || (set == KernelSet::PORTABLE && found == unfused), "{set}");
    });
}

#[test]
fn hostile_values_stay_in_their_row_and_column() {
    let (m, n, k) = (31, 65, 33);
    each_set(|set| {
        for hostile in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE / 4.0] {
            let (mut a, mut b) = (numbers(m * k, 1), numbers(k * n, 2));
            a[17 * k + 32] = hostile;
            b[3 * n + 64] = hostile;
            let mut wanted = oracle::product(&a, &b, m, n, k);
            wanted.iter_mut().for_each(|x| *x = if x.abs() > 1e38 { f64::from(*x as f32) } else { *x });
            let found = multiply(set, &a, &b, m, n, k, &Epilogue::default());
            for (i, (&found, &wanted)) in found.iter().zip(&wanted).enumerate() {
                let same = found.is_nan() == wanted.is_nan()
                    && (wanted.is_nan()
                        || f64::from(found) == wanted
                        || (f64::from(found) - wanted).abs() <= 1e-4 * wanted.abs().max(1.0));
                assert!(same, "{set} {hostile}: element {i} is {found}, not {wanted}");
            }
        }
        // Denormal products add up rather than vanish.
        let tiny = vec![1e-40_f32; 64];
        let found = multiply(set, &tiny, &vec![0.5; 64], 1, 1, 64, &Epilogue::default());
        assert_close(&found, &[64.0 * 0.5 * f64::from(1e-40_f32)], 1e-44, "denormals");
    });
}

#[test]
fn the_epilogue_is_bias_activation_residual_norm() {
    each_set(|set| {
        for (m, n, k) in [(1, 1, 1), (15, 17, 31), (33, 65, 16), (63, 257, 33)] {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            let (bias, residual) = (numbers(n, 3), numbers(m * n, 4));
            let (scale, shift) = (numbers(n, 5), numbers(n, 6));
            for parts in 0..16 {
                let [with_bias, with_gelu, with_residual, with_norm] = [1, 2, 4, 8].map(|part| parts & part != 0);
                let norm = LayerNorm { scale: &scale, bias: Some(&shift), epsilon: 1e-3 };
                let epilogue = Epilogue {
                    row_scales: &[],
                    sums: None,
                    bias: with_bias.then_some(&*bias),
                    activation: if with_gelu { Activation::Gelu } else { Activation::None },
                    residual: with_residual.then_some(&*residual),
                    layer_norm: with_norm.then_some(norm),
                };
                let mut wanted = oracle::product(&a, &b, m, n, k);
                for (i, x) in wanted.iter_mut().enumerate() {
                    *x += if with_bias { f64::from(bias[i % n]) } else { 0.0 };
                    *x = if with_gelu { oracle::gelu(*x) } else { *x };
                    *x += if with_residual { f64::from(residual[i]) } else { 0.0 };
                }
                if with_norm {
                    wanted.chunks_mut(n).for_each(|row| oracle::layer_norm(row, &scale, Some(&shift), 1e-3));
                }
                let found = multiply(set, &a, &b, m, n, k, &epilogue);
                assert_close(&found, &wanted, 2e-4, &format!("{set} {m}x{n}x{k} {parts:04b}"));
            }
        }
    });
}

#[test]
fn rows_of_segments_may_overlap() {
    each_set(|set| {
        for segments in [
            vec![(0, 40)],
            vec![(0, 7), (20, 0), (3, 11), (100, 33)],
            vec![(500, 700), (0, 600), (1, 1), (77, 200)],
            (0..50).map(|i| (i * 3, 1 + i % 4)).collect(),
        ] {
            let segments: Vec<_> = segments.into_iter().map(|(offset, len)| Segment { offset, len }).collect();
            let k = segments.iter().map(|segment| segment.len).sum();
            let (m, n, stride) = (37, 50, 9);
            let data = numbers(36 * stride + 1200, 1);
            let b = numbers(k * n, 2);
            let gathered: Vec<f32> = (0..m)
                .flat_map(|row| {
                    segments.iter().flat_map(move |s| row * stride + s.offset..row * stride + s.offset + s.len)
                })
                .map(|i| data[i])
                .collect();
            let rows = Rows { data: &data, rows: m, stride, segments: &segments };
            let packed = Packed::new(set, &b, k, n, Layout::RowMajor).unwrap();
            let mut c = vec![0.0; m * n];
            gemm(set, &rows, &packed, &Epilogue::default(), &mut c, n).unwrap();
            assert_bits(
                &c,
                &multiply(set, &gathered, &b, m, n, k, &Epilogue::default()),
                &format!("{set} {segments:?}"),
            );
        }
    });
}

#[test]
fn the_maximum_over_rows_is_that_of_the_product() {
    each_set(|set| {
        for (m, n, k) in [(1, 1, 1), (17, 33, 15), (508, 70, 1280), (13, 257, 65)] {
            let (a, b, bias) = (numbers(m * k, 1), numbers(k * n, 2), numbers(n, 3));
            let epilogue = Epilogue { bias: Some(&bias), activation: Activation::GeluTanh, ..Epilogue::default() };
            let mut wanted = vec![f32::NEG_INFINITY; n];
            for row in multiply(set, &a, &b, m, n, k, &epilogue).chunks(n) {
                wanted.iter_mut().zip(row).for_each(|(max, &x)| *max = max.max(x));
            }
            let packed = Packed::new(set, &b, k, n, Layout::RowMajor).unwrap();
            let segments = [Segment { offset: 0, len: k }];
            let rows = Rows { data: &a, rows: m, stride: k, segments: &segments };
            let mut found = vec![0.0; n];
            gemm_max(set, &rows, &packed, &epilogue, &mut found).unwrap();
            assert_bits(&found, &wanted, &format!("{set} {m}x{n}x{k}"));

            let mut a = a.clone();
            a[(m - 1) * k] = f32::NAN;
            let rows = Rows { data: &a, ..rows };
            gemm_max(set, &rows, &packed, &epilogue, &mut found).unwrap();
            assert!(found.iter().all(|x| x.is_nan()), "{set}: a NaN is lost");
        }
    });
}

#[test]
fn empty_products_are_fine() {
    each_set(|set| {
        let bias = [1.5, 2.5];
        let epilogue = Epilogue { bias: Some(&bias), ..Epilogue::default() };
        assert_bits(&multiply(set, &[], &[], 3, 2, 0, &epilogue), &[1.5, 2.5, 1.5, 2.5, 1.5, 2.5], "no K");
        assert!(multiply(set, &[], &[1.0; 4], 0, 2, 2, &Epilogue::default()).is_empty());
        assert!(multiply(set, &[1.0; 6], &[], 3, 0, 2, &Epilogue::default()).is_empty());
    });
}

#[test]
fn what_does_not_fit_is_an_error() {
    each_set(|set| {
        let (a, mut c) = (numbers(12, 1), vec![0.0; 8]);
        let packed = Packed::new(set, &numbers(6, 2), 3, 2, Layout::RowMajor).unwrap();
        let whole = [Segment { offset: 0, len: 3 }];
        let rows = Rows { data: &a, rows: 4, stride: 3, segments: &whole };
        let plain = Epilogue::default();
        gemm(set, &rows, &packed, &plain, &mut c, 2).unwrap();
        let mut fails = |rows: Rows<'_>, epilogue: &Epilogue<'_>, stride: usize, len: usize| {
            assert!(gemm(set, &rows, &packed, epilogue, &mut c[..len], stride).is_err());
        };
        fails(Rows { rows: 5, ..rows }, &plain, 2, 8);
        fails(Rows { stride: 4, ..rows }, &plain, 2, 8);
        fails(Rows { stride: usize::MAX, ..rows }, &plain, 2, 8);
        fails(Rows { segments: &[Segment { offset: 0, len: 2 }], ..rows }, &plain, 2, 8);
        fails(Rows { segments: &[Segment { offset: 1, len: 3 }], ..rows }, &plain, 2, 8);
        fails(Rows { segments: &[Segment { offset: usize::MAX, len: 3 }], ..rows }, &plain, 2, 8);
        fails(rows, &plain, 2, 7);
        fails(rows, &plain, 1, 8);
        fails(rows, &plain, usize::MAX, 8);
        fails(rows, &Epilogue { bias: Some(&a[..3]), ..plain }, 2, 8);
        fails(rows, &Epilogue { residual: Some(&a[..7]), ..plain }, 2, 8);
        let norm = LayerNorm { scale: &a[..2], bias: Some(&a[..1]), epsilon: 0.0 };
        fails(rows, &Epilogue { layer_norm: Some(norm), ..plain }, 2, 8);
        assert!(Packed::new(set, &a, 5, 2, Layout::RowMajor).is_err());
        assert!(Packed::new(set, &a, usize::MAX, 2, Layout::RowMajor).is_err());
        assert!(gemm_max(set, &rows, &packed, &plain, &mut c[..3]).is_err());
        let b = Matrix::new(&a, 3, 2, Layout::RowMajor);
        assert!(gemm_dynamic(set, &rows, &b, &plain, &mut c, 2, &mut [0.0; 5]).is_err());
        let b = Matrix { data: &a[..5], ..b };
        assert!(gemm_dynamic(set, &rows, &b, &plain, &mut c, 2, &mut [0.0; 999]).is_err());
    });
    let sets = KernelSet::available();
    if let [first, second, ..] = sets[..] {
        let packed = Packed::new(first, &[1.0], 1, 1, Layout::RowMajor).unwrap();
        let rows = Rows { data: &[1.0], rows: 1, stride: 1, segments: &[Segment { offset: 0, len: 1 }] };
        assert!(gemm(second, &rows, &packed, &Epilogue::default(), &mut [0.0], 1).is_err());
    }
    assert!(KernelSet::named("sse9").is_err());
}
