//! Softmax and norms.

use crate::oracle;
use crate::support::{RAGGED, assert_bits, assert_close, each_set, numbers};
use gristmill::testing::kernels::norm::{LayerNorm, l2_normalize_rows, layer_norm_columns, layer_norm_rows};
use gristmill::testing::kernels::softmax::{softmax_columns, softmax_rows, softmax_rows_in_place};

fn doubles(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

/// `[outer, axis, inner]` to `[outer, inner, axis]`.
fn inner_first<T: Copy>(x: &[T], axis: usize, inner: usize) -> Vec<T> {
    let block = axis * inner;
    (0..x.len()).map(|i| x[i / block * block + i % axis * inner + i % block / axis]).collect()
}

#[test]
fn softmax_agrees_with_the_oracle() {
    each_set(|set| {
        for columns in RAGGED {
            let mut x = numbers(7 * columns, 1);
            x.iter_mut().for_each(|x| *x *= 30.0);
            x[..columns].fill(-3e38);
            x[columns] = f32::NEG_INFINITY;
            let mut wanted = doubles(&x);
            wanted.chunks_mut(columns).for_each(oracle::softmax);
            let mut found = vec![0.0; x.len()];
            softmax_rows(set, &x, &mut found, columns).unwrap();
            assert_close(&found, &wanted, 1e-6, &format!("{set} {columns}"));
            for row in 0..7 {
                let mut one = x[row * columns..][..columns].to_vec();
                softmax_rows_in_place(set, &mut one, columns).unwrap();
                assert_bits(&one, &found[row * columns..][..columns], "a row alone");
            }
            let turned = inner_first(&x, 7, columns);
            let mut found = vec![0.0; x.len()];
            softmax_columns(set, &turned, &mut found, columns, 7).unwrap();
            assert_close(&inner_first(&found, columns, 7), &wanted, 1e-6, &format!("{set} {columns} columns"));
        }
    });
}

#[test]
fn softmax_of_what_has_no_softmax_is_nan() {
    each_set(|set| {
        for hostile in [f32::NAN, f32::INFINITY] {
            for at in [0, 5, 16, 39] {
                let mut x = numbers(40, 1);
                x[at] = hostile;
                softmax_rows_in_place(set, &mut x, 40).unwrap();
                assert!(x.iter().all(|x| x.is_nan()), "{set} {hostile} at {at}: {x:?}");
            }
        }
        let mut x = [f32::NEG_INFINITY; 20];
        softmax_rows_in_place(set, &mut x, 20).unwrap();
        assert!(x.iter().all(|x| x.is_nan()), "{set}");
    });
}

#[test]
fn layer_norm_agrees_with_the_oracle() {
    each_set(|set| {
        for columns in RAGGED {
            let (x, scale, bias) = (numbers(5 * columns, 1), numbers(columns, 2), numbers(columns, 3));
            for bias in [None, Some(&*bias)] {
                let mut wanted = doubles(&x);
                wanted.chunks_mut(columns).for_each(|row| oracle::layer_norm(row, &scale, bias, 1e-5));
                let norm = LayerNorm { scale: &scale, bias, epsilon: 1e-5 };
                let mut found = x.clone();
                layer_norm_rows(set, &mut found, &norm).unwrap();
                assert_close(&found, &wanted, 1e-5, &format!("{set} {columns}"));
                for row in 0..5 {
                    let mut one = x[row * columns..][..columns].to_vec();
                    layer_norm_rows(set, &mut one, &norm).unwrap();
                    assert_bits(&one, &found[row * columns..][..columns], "a row alone");
                }
                let mut turned = inner_first(&x, 5, columns);
                layer_norm_columns(set, &mut turned, 5, &norm).unwrap();
                assert_close(&inner_first(&turned, columns, 5), &wanted, 1e-5, &format!("{set} {columns} columns"));
            }
        }
    });
}

#[test]
fn layer_norm_keeps_a_nan_in_its_row() {
    each_set(|set| {
        let mut x = numbers(3 * 33, 1);
        x[33 + 32] = f32::NAN;
        let ones = [1.0; 33];
        layer_norm_rows(set, &mut x, &LayerNorm { scale: &ones, bias: None, epsilon: 0.0 }).unwrap();
        assert!(x[33..66].iter().all(|x| x.is_nan()) && !x[..33].iter().chain(&x[66..]).any(|x| x.is_nan()), "{set}");
    });
}

#[test]
fn rows_get_length_one() {
    each_set(|set| {
        for columns in RAGGED {
            let mut x = numbers(4 * columns, 1);
            x[..columns].fill(0.0);
            let mut wanted = doubles(&x);
            for row in wanted.chunks_mut(columns) {
                let length = row.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-12);
                row.iter_mut().for_each(|x| *x /= length);
            }
            l2_normalize_rows(set, &mut x, columns, 1e-12).unwrap();
            assert_close(&x, &wanted, 5e-7, &format!("{set} {columns}"));
        }
    });
}

#[test]
fn lengths_that_do_not_fit_are_errors() {
    each_set(|set| {
        let norm = LayerNorm { scale: &[1.0; 4], bias: None, epsilon: 0.0 };
        assert!(layer_norm_rows(set, &mut [0.0; 7], &norm).is_err());
        assert!(layer_norm_columns(set, &mut [0.0; 7], 2, &norm).is_err());
        assert!(layer_norm_rows(set, &mut [0.0; 8], &LayerNorm { bias: Some(&[0.0; 3]), ..norm }).is_err());
        assert!(softmax_rows(set, &[0.0; 7], &mut [0.0; 7], 2).is_err());
        assert!(softmax_rows(set, &[0.0; 8], &mut [0.0; 7], 2).is_err());
        assert!(softmax_rows_in_place(set, &mut [0.0; 7], 2).is_err());
        assert!(softmax_columns(set, &[0.0; 7], &mut [0.0; 7], 2, 2).is_err());
        assert!(l2_normalize_rows(set, &mut [0.0; 7], 2, 0.0).is_err());
        softmax_rows(set, &[], &mut [], 0).unwrap();
        softmax_columns(set, &[], &mut [], 3, 0).unwrap();
    });
}
