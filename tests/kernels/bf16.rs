//! Products of bf16, and attention with them, against the arithmetic of rounded numbers.

use crate::oracle;
use crate::support::{RAGGED, assert_bits, assert_close, numbers, transpose};
use gristmill::KernelSet;
use gristmill::testing::kernels::Activation;
use gristmill::testing::kernels::attention::{PackedAttention, attention_len_as, packed_attention_as};
use gristmill::testing::kernels::gemm::{Epilogue, Factors, Layout, Matrix, Packed, Rows, Segment, gemm, gemm_max};
use gristmill::testing::kernels::norm::LayerNorm;
use gristmill::testing::threads::with_workers;
use half::bf16;

/// Runs `test` with every kernel set of this machine; says where AMX was not among them.
pub fn each_bf16_set(test: impl Fn(KernelSet)) {
    let sets = KernelSet::available_bf16();
    assert!(sets.contains(&KernelSet::PORTABLE));
    assert_eq!(sets[0], KernelSet::detect_bf16());
    if KernelSet::named("avx512-amx").is_err() {
        println!("skipped: no AMX on this machine");
    }
    sets.into_iter().for_each(test);
}

pub fn rounded(x: &[f32]) -> Vec<bf16> {
    x.iter().map(|&x| bf16::from_f32(x)).collect()
}

fn back(x: &[f32]) -> Vec<f32> {
    x.iter().map(|&x| bf16::from_f32(x).to_f32()).collect()
}

fn pack(set: KernelSet, b: &[f32], k: usize, n: usize, layout: Layout, segment: usize) -> Packed {
    Packed::with_factors(set, Factors::Bf16, &Matrix::new(b, k, n, layout), segment).unwrap()
}

/// `a b` through a packed B, C with a stride of its own; what lies between the rows of C stays as it was.
fn multiply(set: KernelSet, a: &[f32], b: &[f32], [m, n, k]: [usize; 3], epilogue: &Epilogue<'_>) -> Vec<f32> {
    let packed = pack(set, b, k, n, Layout::RowMajor, k);
    let a = rounded(a);
    let segments = [Segment { offset: 0, len: k }];
    let rows = Rows { data: a.as_slice(), rows: m, stride: k, segments: &segments };
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
    each_bf16_set(|set| {
        for m in RAGGED {
            for n in RAGGED {
                for k in RAGGED {
                    let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
                    let wanted = oracle::product(&back(&a), &back(&b), m, n, k);
                    let what = format!("{set} {m}x{n}x{k}");
                    let found = multiply(set, &a, &b, [m, n, k], &Epilogue::default());
                    assert_close(&found, &wanted, 2e-6 * k as f64, &what);

                    let segments = [Segment { offset: 0, len: k }];
                    let a = rounded(&a);
                    let rows = Rows { data: a.as_slice(), rows: m, stride: k, segments: &segments };
                    let packed = pack(set, &transpose(&b, k, n), k, n, Layout::Transposed, k);
                    assert_eq!(packed.factors(), Factors::Bf16);
                    let mut c = vec![0.0; m * n];
                    gemm(set, &rows, &packed, &Epilogue::default(), &mut c, n).unwrap();
                    assert_bits(&c, &found, &what);
                }
            }
        }
    });
}

#[test]
fn a_sum_takes_the_odd_number_of_each_pair_first() {
    // Cancellation on the way shows any other order.
    for k in [700, 701] {
        let a: Vec<f32> = (0..k).map(|i| if i % 2 == 0 { 1e8 } else { -1.01e8 } + i as f32 * 1e6).collect();
        let b = numbers(k, 3);
        let (x, y) = (back(&a), back(&b));
        let mut sum = 0.0_f32;
        for pair in 0..k / 2 {
            sum = x[2 * pair + 1].mul_add(y[2 * pair + 1], sum);
            sum = x[2 * pair].mul_add(y[2 * pair], sum);
        }
        if k % 2 == 1 {
            sum = x[k - 1].mul_add(y[k - 1], sum);
        }
        // A product of two bf16 is exact in f32, so that sets without a fused instruction come to the same.
        each_bf16_set(|set| {
            // Tiles sum even and odd numbers apart.
            if set.name() != "avx512-amx" {
                assert_bits(&multiply(set, &a, &b, [1, 1, k], &Epilogue::default()), &[sum], set.name());
            }
        });
    }
}

#[test]
fn large_products_are_blocked_without_a_trace() {
    each_bf16_set(|set| {
        for (m, n, k) in [(300, 700, 900), (5, 70, 7001), (2000, 40, 33), (40, 3000, 500)] {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            let found = multiply(set, &a, &b, [m, n, k], &Epilogue::default());
            let wanted = oracle::product(&back(&a), &back(&b), m, n, k);
            assert_close(&found, &wanted, 2e-6 * k as f64, &format!("{set} {m}x{n}x{k}"));
        }
    });
}

#[test]
fn a_row_does_not_depend_on_its_neighbours() {
    let (m, n, k) = (131, 97, 3301);
    let (a, b, bias, residual) = (numbers(m * k, 1), numbers(k * n, 2), numbers(n, 3), numbers(m * n, 4));
    each_bf16_set(|set| {
        let dress = |residual| Epilogue {
            row_scales: &[],
            sums: None,
            bias: Some(&bias),
            activation: Activation::Gelu,
            residual: Some(residual),
            layer_norm: Some(LayerNorm { scale: &bias, bias: Some(&bias), epsilon: 1e-12 }),
        };
        let all = multiply(set, &a, &b, [m, n, k], &dress(&residual));
        let plain = multiply(set, &a, &b, [m, n, k], &Epilogue::default());
        for row in 0..m {
            let (a, residual) = (&a[row * k..][..k], &residual[row * n..][..n]);
            let what = format!("{set} row {row}");
            assert_bits(&multiply(set, a, &b, [1, n, k], &Epilogue::default()), &plain[row * n..][..n], &what);
            assert_bits(&multiply(set, a, &b, [1, n, k], &dress(residual)), &all[row * n..][..n], &what);
        }
        for rows in [2, 3, 5, 7, 13, 14, 15, 29] {
            let found = multiply(set, &a[k..], &b, [rows, n, k], &Epilogue::default());
            assert_bits(&found, &plain[n..][..rows * n], &format!("{set} {rows} rows"));
        }
    });
}

#[test]
fn a_product_split_over_workers_has_the_same_bits() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    each_bf16_set(|set| {
        for (m, n, k) in [(257, 97, 701), (32, 1152, 384), (3, 5000, 300), (2000, 10, 500)] {
            let (a, b, bias) = (numbers(m * k, 1), numbers(k * n, 2), numbers(n, 3));
            let norm = LayerNorm { scale: &bias, bias: None, epsilon: 1e-5 };
            let epilogue = Epilogue { bias: Some(&bias), activation: Activation::Tanh, ..Epilogue::default() };
            let normed = Epilogue { layer_norm: Some(norm), ..epilogue };
            let packed = pack(set, &b, k, n, Layout::RowMajor, k);
            let left = rounded(&a);
            let max = || {
                let segments = [Segment { offset: 0, len: k }];
                let rows = Rows { data: left.as_slice(), rows: m, stride: k, segments: &segments };
                let mut out = vec![0.0; n];
                gemm_max(set, &rows, &packed, &epilogue, &mut out).unwrap();
                out
            };
            let whole = (multiply(set, &a, &b, [m, n, k], &normed), max());
            for workers in [2, 3, 8] {
                let run = || with_workers(workers, || (multiply(set, &a, &b, [m, n, k], &normed), max()));
                let (product, largest) = pool.install(run);
                assert_bits(&product, &whole.0, &format!("{set} {m}x{n}x{k} by {workers}"));
                assert_bits(&largest, &whole.1, &format!("{set} {m}x{n}x{k} by {workers}"));
            }
        }
    });
}

#[test]
fn hostile_values_stay_in_their_row_and_column() {
    let (m, n, k) = (31, 65, 33);
    each_bf16_set(|set| {
        // The last row of an odd K has no partner: what stands in for it must not meet an infinity.
        for (place, hostile) in [0, 1, 16, 31, 32].into_iter().flat_map(|place| {
            [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -3e38].map(|hostile| (place, hostile))
        }) {
            let (mut a, mut b) = (numbers(m * k, 1), numbers(k * n, 2));
            a[17 * k + place] = hostile;
            b[3 * n + 64] = hostile;
            let wanted = oracle::product(&back(&a), &back(&b), m, n, k);
            let found = multiply(set, &a, &b, [m, n, k], &Epilogue::default());
            for (i, (&found, &wanted)) in found.iter().zip(&wanted).enumerate() {
                let wanted = if wanted.abs() > f64::from(f32::MAX) { f64::from(wanted as f32) } else { wanted };
                let same = found.is_nan() == wanted.is_nan()
                    && (wanted.is_nan()
                        || f64::from(found) == wanted
                        || (f64::from(found) - wanted).abs() <= 1e-4 * wanted.abs().max(1.0));
                assert!(same, "{set} {hostile} at {place}: element {i} is {found}, not {wanted}");
            }
        }
    });
}

#[test]
fn denormals_count_or_vanish_as_the_set_has_it() {
    each_bf16_set(|set| {
        let (tiny, k) = (1e-40_f32, 64);
        let found = multiply(set, &vec![tiny; k], &vec![0.5; k], [1, 1, k], &Epilogue::default())[0];
        if set.has_bf16() {
            assert_eq!(found, 0.0, "{set}");
        } else {
            let wanted = k as f64 * 0.5 * f64::from(bf16::from_f32(tiny).to_f32());
            assert_close(&[found], &[wanted], 1e-44, set.name());
        }
        // Normal numbers beside them are not touched.
        let mut a = vec![tiny; k];
        a[5] = 3.0;
        assert_eq!(multiply(set, &a, &vec![0.5; k], [1, 1, k], &Epilogue::default())[0], 1.5, "{set}");
    });
}

#[test]
fn rows_of_segments_may_overlap() {
    each_bf16_set(|set| {
        for (count, len) in [(1, 41), (4, 8), (3, 7), (9, 3), (5, 1), (2, 700), (7, 501)] {
            let segments: Vec<_> = (0..count).map(|i| Segment { offset: i * 37 % 90, len }).collect();
            let k = count * len;
            let (m, n, stride) = (37, 50, 9);
            let mut data = numbers(36 * stride + 1200, 1);
            // What lies behind a segment must not count, whatever it is.
            let used: Vec<bool> = {
                let mut used = vec![false; data.len()];
                for row in 0..m {
                    for s in &segments {
                        used[row * stride + s.offset..][..len].fill(true);
                    }
                }
                used
            };
            data.iter_mut().zip(&used).filter(|(_, used)| !**used).for_each(|(x, _)| *x = f32::NAN);
            let b = numbers(k * n, 2);
            let gathered: Vec<f32> = (0..m)
                .flat_map(|row| {
                    segments.iter().flat_map(move |s| row * stride + s.offset..row * stride + s.offset + s.len)
                })
                .map(|i| data[i])
                .collect();
            let data = rounded(&data);
            let rows = Rows { data: data.as_slice(), rows: m, stride, segments: &segments };
            let packed = pack(set, &b, k, n, Layout::RowMajor, len);
            let mut c = vec![0.0; m * n];
            gemm(set, &rows, &packed, &Epilogue::default(), &mut c, n).unwrap();
            let wanted = oracle::product(&back(&gathered), &back(&b), m, n, k);
            assert_close(&c, &wanted, 2e-6 * k as f64, &format!("{set} {count} segments of {len}"));
            let transposed = pack(set, &transpose(&b, k, n), k, n, Layout::Transposed, len);
            let mut other = vec![0.0; m * n];
            gemm(set, &rows, &transposed, &Epilogue::default(), &mut other, n).unwrap();
            assert_bits(&other, &c, &format!("{set} {count} segments of {len}, transposed"));
        }
    });
}

#[test]
fn the_maximum_over_rows_is_that_of_the_product() {
    each_bf16_set(|set| {
        for (m, n, k) in [(1, 1, 1), (17, 33, 15), (508, 70, 1280), (13, 257, 65)] {
            let (a, b, bias) = (numbers(m * k, 1), numbers(k * n, 2), numbers(n, 3));
            let epilogue = Epilogue { bias: Some(&bias), activation: Activation::GeluTanh, ..Epilogue::default() };
            let mut wanted = vec![f32::NEG_INFINITY; n];
            for row in multiply(set, &a, &b, [m, n, k], &epilogue).chunks(n) {
                wanted.iter_mut().zip(row).for_each(|(max, &x)| *max = max.max(x));
            }
            let packed = pack(set, &b, k, n, Layout::RowMajor, k);
            let a = rounded(&a);
            let segments = [Segment { offset: 0, len: k }];
            let rows = Rows { data: a.as_slice(), rows: m, stride: k, segments: &segments };
            let mut found = vec![0.0; n];
            gemm_max(set, &rows, &packed, &epilogue, &mut found).unwrap();
            assert_bits(&found, &wanted, &format!("{set} {m}x{n}x{k}"));
        }
    });
}

#[test]
fn weights_take_half_the_room() {
    each_bf16_set(|set| {
        let b = numbers(384 * 64, 1);
        let f32 = Packed::new(set, &b, 384, 64, Layout::RowMajor).unwrap();
        assert_eq!(pack(set, &b, 384, 64, Layout::RowMajor, 384).bytes() * 2, f32.bytes());
    });
}

#[test]
fn what_does_not_fit_is_an_error() {
    each_bf16_set(|set| {
        let a = numbers(12, 1);
        let left = rounded(&a);
        let b = numbers(6 * 2, 2);
        let segment = |offset, len| Segment { offset, len };
        let (three, six) = ([segment(0, 3), segment(3, 3)], [segment(0, 6)]);
        let rows = Rows { data: left.as_slice(), rows: 2, stride: 6, segments: &three };
        let in_one = Rows { segments: &six, ..rows };
        let (whole, halves) = (pack(set, &b, 6, 2, Layout::RowMajor, 6), pack(set, &b, 6, 2, Layout::RowMajor, 3));
        let plain = Epilogue::default();
        let mut c = vec![0.0; 4];
        gemm(set, &in_one, &whole, &plain, &mut c, 2).unwrap();
        gemm(set, &rows, &halves, &plain, &mut c, 2).unwrap();
        assert!(gemm(set, &rows, &whole, &plain, &mut c, 2).is_err(), "odd segments, packed for one");
        assert!(gemm(set, &in_one, &halves, &plain, &mut c, 2).is_err(), "one segment, packed for odd ones");
        assert!(gemm(set, &Rows { rows: 3, ..in_one }, &whole, &plain, &mut c, 2).is_err());
        let single = Rows { data: a.as_slice(), rows: 2, stride: 6, segments: &six };
        assert!(gemm(set, &single, &whole, &plain, &mut c, 2).is_err(), "rows of f32");
        let packed = Packed::new(set, &b, 6, 2, Layout::RowMajor).unwrap();
        assert!(gemm(set, &in_one, &packed, &plain, &mut c, 2).is_err(), "a matrix of f32");
        for segment in [0, 4, 5, 7] {
            let matrix = Matrix::new(&b, 6, 2, Layout::RowMajor);
            assert!(Packed::with_factors(set, Factors::Bf16, &matrix, segment).is_err());
        }
    });
}

#[test]
fn packed_attention_agrees_with_the_oracle() {
    const LENGTHS: [usize; 10] = [1, 15, 0, 16, 17, 31, 33, 63, 65, 257];
    each_bf16_set(|set| {
        for (heads, head_dim) in [(12, 32), (2, 64), (3, 17), (1, 1), (2, 48)] {
            let mut offsets = vec![0];
            for len in LENGTHS {
                offsets.push(offsets[offsets.len() - 1] + len as i32);
            }
            let (rows, width) = (LENGTHS.iter().sum::<usize>(), heads * head_dim);
            let qkv: Vec<f32> = numbers(rows * 3 * width, 1).iter().map(|x| x * 3.0).collect();
            let scale = 1.0 / (head_dim as f32).sqrt();
            let packed =
                PackedAttention { qkv: &qkv, offsets: &offsets, heads, head_dim, scale, ..PackedAttention::default() };
            let len = attention_len_as(set, Factors::Bf16, 257, head_dim, head_dim).unwrap();
            let mut scratch = vec![f32::NAN; len];
            let mut out = vec![f32::NAN; rows * width];
            packed_attention_as(set, Factors::Bf16, &packed, &mut out, &mut scratch).unwrap();
            for sequence in offsets.windows(2) {
                let (start, end) = (sequence[0] as usize, sequence[1] as usize);
                let own = &qkv[start * 3 * width..end * 3 * width];
                let found = &out[start * width..end * width];
                let rounded = back(own);
                for head in 0..heads {
                    let columns = |x: &[f32], width: usize, first: usize| -> Vec<f32> {
                        x.chunks(width).flat_map(|row| row[first..first + head_dim].to_vec()).collect()
                    };
                    let part = |part: usize| columns(&rounded, 3 * width, part * width + head * head_dim);
                    let wanted = oracle::attention(&part(0), &part(1), &part(2), head_dim, scale, None);
                    let found = columns(found, width, head * head_dim);
                    // Exponentials are rounded too, each by at most a 512th, and values are below 3.
                    assert_close(
                        &found,
                        &wanted,
                        3.0 / 512.0,
                        &format!("{set} {heads}x{head_dim}, {} rows", end - start),
                    );
                }
                let alone = [0, (end - start) as i32];
                let packed = PackedAttention { qkv: own, offsets: &alone, ..packed };
                let mut one = vec![f32::NAN; found.len()];
                packed_attention_as(set, Factors::Bf16, &packed, &mut one, &mut scratch).unwrap();
                assert_bits(&one, found, "a sequence alone");
            }
            let short = &mut vec![0.0; attention_len_as(set, Factors::Bf16, 256, head_dim, head_dim).unwrap() - 1];
            assert!(packed_attention_as(set, Factors::Bf16, &packed, &mut out, short).is_err());
        }
    });
}
