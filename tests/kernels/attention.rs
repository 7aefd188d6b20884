//! Attention and the reductions of packed sequences.

use crate::oracle;
use crate::support::{assert_bits, assert_close, each_set, numbers};
use gristmill::testing::kernels::attention::{
    Attention, HeadsView, MaskView, PackedAttention, Reach, attention, attention_len, packed_attention,
    packed_attention_len,
};
use gristmill::testing::kernels::segments::{SegmentReduction, reduce_segments};

const LENGTHS: [usize; 10] = [1, 15, 0, 16, 17, 31, 33, 63, 65, 257];

fn offsets(lengths: &[usize]) -> Vec<i32> {
    let mut offsets = vec![0];
    for len in lengths {
        offsets.push(offsets[offsets.len() - 1] + *len as i32);
    }
    offsets
}

/// Columns `start..start + count` of rows of `width` numbers.
fn columns(x: &[f32], width: usize, start: usize, count: usize) -> Vec<f32> {
    x.chunks(width).flat_map(|row| row[start..start + count].iter().copied()).collect()
}

#[test]
fn packed_attention_agrees_with_the_oracle() {
    each_set(|set| {
        for (heads, head_dim) in [(12, 32), (2, 64), (3, 17), (1, 1), (2, 48)] {
            let offsets = offsets(&LENGTHS);
            let (rows, width) = (offsets[offsets.len() - 1] as usize, heads * head_dim);
            let qkv: Vec<f32> = numbers(rows * 3 * width, 1).iter().map(|x| x * 3.0).collect();
            let scale = 1.0 / (head_dim as f32).sqrt();
            let packed =
                PackedAttention { qkv: &qkv, offsets: &offsets, heads, head_dim, scale, ..PackedAttention::default() };
            let mut scratch = vec![f32::NAN; packed_attention_len(set, 257, head_dim).unwrap()];
            let mut out = vec![f32::NAN; rows * width];
            packed_attention(set, &packed, &mut out, &mut scratch).unwrap();
            for sequence in offsets.windows(2) {
                let (start, end) = (sequence[0] as usize, sequence[1] as usize);
                let own = &qkv[start * 3 * width..end * 3 * width];
                let found = &out[start * width..end * width];
                for head in 0..heads {
                    let part = |part: usize| columns(own, 3 * width, part * width + head * head_dim, head_dim);
                    let wanted = oracle::attention(&part(0), &part(1), &part(2), head_dim, scale, None);
                    let found = columns(found, width, head * head_dim, head_dim);
                    assert_close(&found, &wanted, 2e-5, &format!("{set} {heads}x{head_dim}, {} rows", end - start));
                }
                let alone = [0, (end - start) as i32];
                let packed = PackedAttention { qkv: own, offsets: &alone, ..packed };
                let mut one = vec![f32::NAN; found.len()];
                packed_attention(set, &packed, &mut one, &mut scratch).unwrap();
                assert_bits(&one, found, "a sequence alone");
            }
        }
    });
}

#[test]
fn strided_attention_with_a_mask_agrees_with_the_oracle() {
    each_set(|set| {
        for (queries, keys, head_dim, value_dim) in
            [(17, 33, 16, 40), (1, 257, 32, 32), (65, 15, 33, 7), (31, 31, 64, 64)]
        {
            let (batch, heads) = (2, 3);
            let q = numbers(batch * heads * queries * head_dim, 1);
            let k = numbers(batch * heads * keys * head_dim, 2);
            let v = numbers(batch * heads * keys * value_dim, 3);
            let mut mask = numbers(batch * queries * keys, 4);
            mask.iter_mut().step_by(3).for_each(|x| *x = f32::NEG_INFINITY);
            mask.iter_mut().step_by(keys).for_each(|x| *x = 0.5);
            // Q as [batch, heads, rows, columns], K and V as [batch, rows, heads, columns].
            let view = |data, rows: usize, columns: usize, heads_inside: bool| {
                let batch_stride = heads * rows * columns;
                match heads_inside {
                    false => HeadsView { data, batch_stride, head_stride: rows * columns, row_stride: columns },
                    true => HeadsView { data, batch_stride, head_stride: columns, row_stride: heads * columns },
                }
            };
            let strides = [queries * keys, 0, keys, 1];
            for masked in [false, true] {
                let problem = Attention {
                    batch,
                    heads,
                    queries,
                    keys,
                    head_dim,
                    value_dim,
                    scale: 0.3,
                    q: view(&q, queries, head_dim, false),
                    k: view(&k, keys, head_dim, true),
                    v: view(&v, keys, value_dim, true),
                    mask: masked.then_some(MaskView { data: &mask, strides }),
                };
                let mut scratch = vec![f32::NAN; attention_len(set, keys, head_dim, value_dim).unwrap()];
                let mut out = vec![f32::NAN; batch * heads * queries * value_dim];
                let out_strides = [heads * queries * value_dim, value_dim, heads * value_dim];
                attention(set, &problem, &mut out, out_strides, &mut scratch).unwrap();
                for item in 0..batch {
                    for head in 0..heads {
                        let q = &q[(item * heads + head) * queries * head_dim..][..queries * head_dim];
                        let k = columns(
                            &k[item * heads * keys * head_dim..][..heads * keys * head_dim],
                            heads * head_dim,
                            head * head_dim,
                            head_dim,
                        );
                        let v = columns(
                            &v[item * heads * keys * value_dim..][..heads * keys * value_dim],
                            heads * value_dim,
                            head * value_dim,
                            value_dim,
                        );
                        let mask = &mask[item * queries * keys..][..queries * keys];
                        // The oracle takes one width: the narrower is padded with zeros.
                        let width = head_dim.max(value_dim);
                        let pad = |x: &[f32], own: usize| -> Vec<f32> {
                            x.chunks(own)
                                .flat_map(|row| (0..width).map(move |i| row.get(i).copied().unwrap_or(0.0)))
                                .collect()
                        };
                        let wanted = oracle::attention(
                            &pad(q, head_dim),
                            &pad(&k, head_dim),
                            &pad(&v, value_dim),
                            width,
                            0.3,
                            masked.then_some(mask),
                        );
                        let wanted: Vec<f64> = wanted.chunks(width).flat_map(|row| row[..value_dim].to_vec()).collect();
                        let own = &out[item * heads * queries * value_dim..][..heads * queries * value_dim];
                        let found = columns(own, heads * value_dim, head * value_dim, value_dim);
                        assert_close(&found, &wanted, 1e-5, &format!("{set} {queries}x{keys} masked {masked}"));
                    }
                }
            }
        }
    });
}

#[test]
fn attention_spreads_nan_no_further_than_it_must() {
    each_set(|set| {
        let (heads, head_dim, offsets) = (2, 16, [0, 5, 12]);
        let mut qkv = numbers(12 * 3 * 32, 1);
        // The key of row 3, first head: all rows of the first sequence see it, in that head alone.
        qkv[3 * 96 + 32 + 4] = f32::NAN;
        let packed = PackedAttention {
            qkv: &qkv,
            offsets: &offsets,
            heads,
            head_dim,
            scale: 0.25,
            ..PackedAttention::default()
        };
        let mut scratch = vec![0.0; packed_attention_len(set, 7, head_dim).unwrap()];
        let mut out = vec![0.0; 12 * 32];
        packed_attention(set, &packed, &mut out, &mut scratch).unwrap();
        for (i, x) in out.iter().enumerate() {
            assert_eq!(x.is_nan(), i / 32 < 5 && i % 32 < 16, "{set} element {i}");
        }
        // A mask of minus infinity alone leaves nothing to weigh.
        let view = HeadsView { data: &qkv[5 * 96..], batch_stride: 0, head_stride: 0, row_stride: 16 };
        let mask = Some(MaskView { data: &[f32::NEG_INFINITY], strides: [0; 4] });
        let problem = Attention {
            batch: 1,
            heads: 1,
            queries: 2,
            keys: 3,
            head_dim,
            value_dim: 16,
            scale: 1.0,
            q: view,
            k: view,
            v: view,
            mask,
        };
        attention(set, &problem, &mut out[..32], [32, 32, 16], &mut vec![0.0; attention_len(set, 3, 16, 16).unwrap()])
            .unwrap();
        assert!(out[..32].iter().all(|x| x.is_nan()), "{set}");
        let none = Attention { keys: 0, mask: None, ..problem };
        attention(set, &none, &mut out[..32], [32, 32, 16], &mut vec![0.0; attention_len(set, 0, 16, 16).unwrap()])
            .unwrap();
        assert_bits(&out[..32], &[0.0; 32], "no keys");
    });
}

#[test]
fn attention_refuses_what_does_not_fit() {
    each_set(|set| {
        let qkv = numbers(4 * 3 * 8, 1);
        let mut scratch = vec![0.0; packed_attention_len(set, 4, 4).unwrap()];
        let packed = PackedAttention {
            qkv: &qkv,
            offsets: &[0, 4],
            heads: 2,
            head_dim: 4,
            scale: 1.0,
            ..PackedAttention::default()
        };
        let mut out = vec![0.0; 32];
        packed_attention(set, &packed, &mut out, &mut scratch).unwrap();
        for offsets in [&[0, 3][..], &[0, 5], &[1, 4], &[0, 3, 2, 4], &[0, -1, 4], &[], &[-4, 0, 4]] {
            assert!(packed_attention(set, &PackedAttention { offsets, ..packed }, &mut out, &mut scratch).is_err());
        }
        for visible in [&[4, 4, 4][..], &[0; 4], &[5; 4], &[-1; 4], &[2, 2, 2, 1]] {
            let hidden = PackedAttention { visible: Some(visible), ..packed };
            assert!(packed_attention(set, &hidden, &mut out, &mut scratch).is_err());
        }
        // The last row sees none of the first two keys in a window of one: its result is 0.
        let mut room = vec![0.0; scratch.len() + 8];
        for (before, sees_none) in [(1, true), (2, false)] {
            let reach = Reach { before, after: 9 };
            let hidden = PackedAttention { visible: Some(&[2; 4]), reach, ..packed };
            out.fill(f32::NAN);
            packed_attention(set, &hidden, &mut out, &mut room).unwrap();
            assert!(out.iter().all(|number| number.is_finite()));
            assert_eq!(out[24..].iter().all(|&number| number == 0.0), sees_none);
            assert!(out[16..24].iter().any(|&number| number != 0.0));
        }
        assert!(packed_attention(set, &packed, &mut out[..31], &mut scratch).is_err());
        assert!(packed_attention(set, &packed, &mut out, &mut scratch[..9]).is_err());
        assert!(
            packed_attention(set, &PackedAttention { heads: usize::MAX, ..packed }, &mut out, &mut scratch).is_err()
        );
        let view = HeadsView { data: &qkv, batch_stride: 32, head_stride: 16, row_stride: 4 };
        let good = Attention {
            batch: 1,
            heads: 2,
            queries: 4,
            keys: 4,
            head_dim: 4,
            value_dim: 4,
            scale: 1.0,
            q: view,
            k: view,
            v: view,
            mask: None,
        };
        let strides = [32, 16, 4];
        attention(set, &good, &mut out, strides, &mut scratch).unwrap();
        let short = HeadsView { data: &qkv[..31], ..view };
        let far = HeadsView { row_stride: usize::MAX, ..view };
        let wide = MaskView { data: &qkv, strides: [0, 0, 4, 2] };
        let lacking = MaskView { data: &qkv[..15], strides: [0, 0, 4, 1] };
        for bad in [
            Attention { q: short, ..good },
            Attention { k: short, ..good },
            Attention { v: far, ..good },
            Attention { queries: 99, ..good },
            Attention { mask: Some(wide), ..good },
            Attention { mask: Some(lacking), ..good },
        ] {
            assert!(attention(set, &bad, &mut out, strides, &mut scratch).is_err(), "{bad:?}");
        }
        assert!(attention(set, &good, &mut out, [usize::MAX, 16, 8], &mut scratch).is_err());
    });
}

#[test]
fn segments_are_reduced_one_by_one() {
    let offsets = offsets(&LENGTHS);
    each_set(|set| {
        for columns in [1, 15, 17, 384] {
            let rows = offsets[offsets.len() - 1] as usize;
            let mut x = numbers(rows * columns, 1);
            x[20 * columns] = f32::NAN;
            for reduction in [
                SegmentReduction::Mean,
                SegmentReduction::MeanSqrtLength,
                SegmentReduction::WeightedMean,
                SegmentReduction::First,
                SegmentReduction::Last,
                SegmentReduction::Max,
            ] {
                let mut found = vec![f32::NAN; LENGTHS.len() * columns];
                reduce_segments(set, reduction, &x, columns, &offsets, &mut found).unwrap();
                let mut wanted = Vec::new();
                for sequence in offsets.windows(2) {
                    let rows = &x[sequence[0] as usize * columns..sequence[1] as usize * columns];
                    for column in 0..columns {
                        let own: Vec<f64> = rows.chunks(columns).map(|row| f64::from(row[column])).collect();
                        wanted.push(match reduction {
                            _ if own.is_empty() => 0.0,
                            SegmentReduction::Mean => own.iter().sum::<f64>() / own.len() as f64,
                            SegmentReduction::MeanSqrtLength => own.iter().sum::<f64>() / (own.len() as f64).sqrt(),
                            SegmentReduction::WeightedMean => {
                                let weights: Vec<f64> = (1..=own.len()).map(|weight| weight as f64).collect();
                                let sum: f64 = own.iter().zip(&weights).map(|(x, weight)| x * weight).sum();
                                sum / weights.iter().sum::<f64>()
                            }
                            SegmentReduction::First => own[0],
                            SegmentReduction::Last => own[own.len() - 1],
                            SegmentReduction::Max if own.iter().any(|x| x.is_nan()) => f64::NAN,
                            SegmentReduction::Max => own.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                        });
                    }
                }
                assert_close(&found, &wanted, 2e-6, &format!("{set} {reduction:?} of {columns}"));
            }
        }
        assert!(reduce_segments(set, SegmentReduction::Mean, &[0.0; 6], 2, &[0, 2], &mut [0.0; 2]).is_err());
        assert!(reduce_segments(set, SegmentReduction::Mean, &[0.0; 6], 2, &[0, 3], &mut [0.0; 3]).is_err());
        reduce_segments(set, SegmentReduction::Max, &[], 5, &[0], &mut []).unwrap();
    });
}
