//! Kernels on memory whose neighbouring pages cannot be touched: one step outside ends the process.

use crate::support::{RAGGED, each_set, numbers};
use gristmill::KernelSet;
use gristmill::testing::kernels::Activation;
use gristmill::testing::kernels::attention::{
    Disentangled, PackedAttention, attention_len_as, disentangled_len, packed_attention, packed_attention_as,
    packed_attention_len,
};
use gristmill::testing::kernels::gemm::{
    Epilogue, Factor, Factors, Layout, Matrix, Packed, Rows, Segment, Sums, gemm, gemm_max, pack_into, pack_len,
};
use gristmill::testing::kernels::norm::{LayerNorm, l2_normalize_rows, layer_norm_columns, layer_norm_rows};
use gristmill::testing::kernels::segments::{SegmentReduction, reduce_segments};
use gristmill::testing::kernels::simd::{map, map_in_place};
use gristmill::testing::kernels::softmax::{softmax_columns, softmax_rows};
use std::ops::{Deref, DerefMut};

/// Numbers that end, or begin, where a page begins that allows nothing; so does the one on the other side.
struct Guarded {
    map: *mut libc::c_void,
    bytes: usize,
    data: *mut f32,
    len: usize,
}

/// Which end of the numbers touches a page without access.
#[derive(Clone, Copy, Debug)]
enum Side {
    Begin,
    End,
}

const SIDES: [Side; 2] = [Side::Begin, Side::End];

impl Guarded {
    fn new(from: &[f32], side: Side) -> Self {
        // SAFETY: an anonymous map of its own, of which all but the first and the last page are made accessible.
        unsafe {
            let page = libc::sysconf(libc::_SC_PAGESIZE) as usize;
            let inner = size_of_val(from).next_multiple_of(page).max(page);
            let bytes = inner + 2 * page;
            let map =
                libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANON, -1, 0);
            assert_ne!(map, libc::MAP_FAILED);
            let start = map.cast::<u8>().add(page);
            assert_eq!(libc::mprotect(start.cast(), inner, libc::PROT_READ | libc::PROT_WRITE), 0);
            let data = match side {
                Side::Begin => start,
                Side::End => start.add(inner - size_of_val(from)),
            };
            let data = data.cast::<f32>();
            data.copy_from_nonoverlapping(from.as_ptr(), from.len());
            Self { map, bytes, data, len: from.len() }
        }
    }

    fn zeros(len: usize, side: Side) -> Self {
        Self::new(&vec![0.0; len], side)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the map made in `new`.
        unsafe { libc::munmap(self.map, self.bytes) };
    }
}

impl Deref for Guarded {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: `len` initialised numbers within the map.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }
}

impl DerefMut for Guarded {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`, exclusively borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.data, self.len) }
    }
}

/// So many numbers of a smaller type, where the page begins or ends.
fn parts<T: bytemuck::Pod>(room: &mut Guarded, count: usize, side: Side) -> &mut [T] {
    let all: &mut [T] = bytemuck::cast_slice_mut(&mut room[..]);
    let first = match side {
        Side::Begin => 0,
        Side::End => all.len() - count,
    };
    &mut all[first..][..count]
}

#[test]
fn products_stay_within_their_operands() {
    each_set(|set| {
        for side in SIDES {
            for m in RAGGED {
                for n in RAGGED {
                    for k in [1, 15, 16, 33, 65] {
                        let a = Guarded::new(&numbers(m * k, 1), side);
                        let b = Guarded::new(&numbers(k * n, 2), side);
                        let bias = Guarded::new(&numbers(n, 3), side);
                        let residual = Guarded::new(&numbers(m * n, 4), side);
                        let mut scratch = Guarded::zeros(pack_len(set, k, n).unwrap(), side);
                        let mut c = Guarded::zeros(m * n, side);
                        let segments = [Segment { offset: 0, len: k }];
                        let rows = Rows { data: &a, rows: m, stride: k, segments: &segments };
                        let layout = if m % 2 == 0 { Layout::RowMajor } else { Layout::Transposed };
                        let packed = pack_into(set, &Matrix::new(&b, k, n, layout), &mut scratch).unwrap();
                        let mut epilogue = Epilogue {
                            row_scales: &[],
                            sums: None,
                            bias: Some(&bias),
                            activation: Activation::Gelu,
                            residual: Some(&residual),
                            layer_norm: Some(LayerNorm { scale: &bias, bias: Some(&bias), epsilon: 1e-5 }),
                        };
                        gemm(set, &rows, packed, &epilogue, &mut c, n).unwrap();
                        (epilogue.residual, epilogue.layer_norm) = (None, None);
                        let mut largest = Guarded::zeros(n, side);
                        gemm_max(set, &rows, packed, &epilogue, &mut largest).unwrap();
                    }
                }
            }
        }
    });
}

#[test]
fn products_of_bf16_stay_within_their_operands() {
    crate::bf16::each_bf16_set(|set| {
        for side in SIDES {
            for m in [1, 15, 16, 31] {
                for n in [1, 16, 33, 65] {
                    for (count, len) in [(1, 1), (1, 16), (1, 33), (3, 5), (2, 16)] {
                        let k = count * len;
                        let b = Guarded::new(&numbers(k * n, 2), side);
                        let layout = if m % 2 == 0 { Layout::RowMajor } else { Layout::Transposed };
                        let packed =
                            Packed::with_factors(set, Factors::Bf16, &Matrix::new(&b, k, n, layout), len).unwrap();
                        // Rows that overlap, so that an odd number of them ends where the page does.
                        let count_of = (m - 1) * len + k;
                        let mut room = Guarded::zeros(count_of.div_ceil(2), side);
                        let data = &*parts::<half::bf16>(&mut room, count_of, side);
                        let segments: Vec<_> = (0..count).map(|i| Segment { offset: i * len, len }).collect();
                        let rows = Rows { data, rows: m, stride: len, segments: &segments };
                        let mut c = Guarded::zeros(m * n, side);
                        gemm(set, &rows, &packed, &Epilogue::default(), &mut c, n).unwrap();
                        let mut room = Guarded::zeros((m * n).div_ceil(2), side);
                        gemm(set, &rows, &packed, &Epilogue::default(), parts::<half::bf16>(&mut room, m * n, side), n)
                            .unwrap();
                        let mut largest = Guarded::zeros(n, side);
                        gemm_max(set, &rows, &packed, &Epilogue::default(), &mut largest).unwrap();
                    }
                }
            }
        }
    });
}

#[test]
fn products_of_integers_stay_within_their_operands() {
    fn check<T: Factor>(set: KernelSet, side: Side) {
        for m in [1, 15, 16, 32] {
            for n in [1, 16, 33, 65] {
                for k in [1, 3, 16, 63, 64, 131] {
                    let b = Guarded::new(&numbers(k * n, 2), side);
                    let layout = if m % 2 == 0 { Layout::RowMajor } else { Layout::Transposed };
                    let factors = Factors::integers(set);
                    let packed = Packed::with_factors(set, factors, &Matrix::new(&b, k, n, layout), k).unwrap();
                    let mut room = Guarded::zeros((m * k * size_of::<T>()).div_ceil(4), side);
                    let data = &*parts::<T>(&mut room, m * k, side);
                    let segments = [Segment { offset: 0, len: k }];
                    let rows = Rows { data, rows: m, stride: k, segments: &segments };
                    let (scales, bias) = (Guarded::new(&numbers(m, 3), side), Guarded::new(&numbers(n, 4), side));
                    let epilogue = Epilogue { row_scales: &scales, bias: Some(&bias), ..Epilogue::default() };
                    let mut c = Guarded::zeros(m * n, side);
                    gemm(set, &rows, &packed, &epilogue, &mut c, n).unwrap();
                    let mut largest = Guarded::zeros(n, side);
                    gemm_max(set, &rows, &packed, &epilogue, &mut largest).unwrap();
                    let (mut of_columns, mut of_rows) = (Guarded::zeros(n, side), Guarded::zeros(m, side));
                    let columns = &*parts::<i32>(&mut of_columns, n, side);
                    let sums = Sums { scales: &bias, columns, rows: parts::<i32>(&mut of_rows, m, side) };
                    let epilogue = Epilogue { row_scales: &[], sums: Some(sums), ..epilogue };
                    gemm(set, &rows, &packed, &epilogue, &mut c, n).unwrap();
                }
            }
        }
    }
    for set in KernelSet::available_int8() {
        for side in SIDES {
            match Factors::integers(set) {
                Factors::Bytes => check::<u8>(set, side),
                _ => check::<i16>(set, side),
            }
        }
    }
}

#[test]
fn rows_stay_within_their_operands() {
    each_set(|set| {
        for side in SIDES {
            for len in (1..70).chain([257]) {
                let x = Guarded::new(&numbers(3 * len, 1), side);
                let mut y = Guarded::zeros(3 * len, side);
                for activation in [Activation::None, Activation::Gelu, Activation::Exp, Activation::Tanh] {
                    map(set, activation, &x, &mut y).unwrap();
                    map_in_place(set, activation, &mut y);
                }
                softmax_rows(set, &x, &mut y, len).unwrap();
                softmax_columns(set, &x, &mut y, 3, len).unwrap();
                let scale = Guarded::new(&numbers(len, 2), side);
                layer_norm_rows(set, &mut y, &LayerNorm { scale: &scale, bias: Some(&scale), epsilon: 1e-5 }).unwrap();
                let scale = Guarded::new(&numbers(3, 2), side);
                layer_norm_columns(set, &mut y, len, &LayerNorm { scale: &scale, bias: None, epsilon: 1e-5 }).unwrap();
                l2_normalize_rows(set, &mut y, len, 1e-12).unwrap();
                let mut out = Guarded::zeros(2 * len, side);
                for reduction in [SegmentReduction::Mean, SegmentReduction::Max, SegmentReduction::First] {
                    reduce_segments(set, reduction, &x, len, &[0, 1, 3], &mut out).unwrap();
                }
            }
        }
    });
}

#[test]
fn attention_stays_within_its_operands() {
    each_set(|set| {
        for side in SIDES {
            for (heads, head_dim) in [(1, 32), (2, 17), (3, 8), (1, 64)] {
                for len in [1, 5, 16, 17, 33, 65] {
                    let width = heads * head_dim;
                    let qkv = Guarded::new(&numbers(len * 3 * width, 1), side);
                    let mut out = Guarded::zeros(len * width, side);
                    let mut scratch = Guarded::zeros(packed_attention_len(set, len, head_dim).unwrap(), side);
                    let offsets = [0, len as i32];
                    let packed = PackedAttention {
                        qkv: &qkv,
                        offsets: &offsets,
                        heads,
                        head_dim,
                        scale: 0.5,
                        ..PackedAttention::default()
                    };
                    packed_attention(set, &packed, &mut out, &mut scratch).unwrap();
                    let scratch = attention_len_as(set, Factors::Bf16, len, head_dim, head_dim).unwrap();
                    let mut scratch = Guarded::zeros(scratch, side);
                    packed_attention_as(set, Factors::Bf16, &packed, &mut out, &mut scratch).unwrap();
                    let mut given = Guarded::zeros(qkv.len().div_ceil(2), side);
                    let mut stored = Guarded::zeros((len * width).div_ceil(2), side);
                    let qkv = &*parts::<half::bf16>(&mut given, len * 3 * width, side);
                    let packed = PackedAttention {
                        qkv,
                        offsets: &offsets,
                        heads,
                        head_dim,
                        scale: 0.5,
                        ..PackedAttention::default()
                    };
                    let stored = parts::<half::bf16>(&mut stored, len * width, side);
                    packed_attention_as(set, Factors::Bf16, &packed, stored, &mut scratch).unwrap();
                }
            }
        }
    });
}

#[test]
fn attention_with_positions_stays_within_its_operands() {
    each_set(|set| {
        for side in SIDES {
            for (len, most) in [(1, 1), (5, 2), (17, 40), (33, 12), (65, 64)] {
                let (heads, head_dim) = (2, 17);
                let (width, positions) = (heads * head_dim, 2 * most);
                let index: Vec<u32> = (0..=2 * most as u32).map(|place| place.min(positions as u32 - 1)).collect();
                let [qkv, keys, queries] = [(len * 3, 1), (positions, 2), (positions, 3)]
                    .map(|(rows, seed)| Guarded::new(&numbers(rows * width, seed), side));
                let offsets = [0, len as i32];
                for (keys, queries) in [(true, true), (true, false), (false, true)]
                    .map(|(own, other)| (own.then_some(&*keys), other.then_some(&*queries)))
                {
                    let packed = PackedAttention {
                        qkv: &qkv,
                        offsets: &offsets,
                        heads,
                        head_dim,
                        scale: 0.5,
                        positions: Some(Disentangled { keys, queries, positions, index: &index }),
                        ..PackedAttention::default()
                    };
                    let mut out = Guarded::zeros(len * width, side);
                    for factors in [Factors::F32, Factors::Bf16] {
                        let scratch = attention_len_as(set, factors, len, head_dim, head_dim).unwrap()
                            + disentangled_len(set, factors, len, head_dim, positions).unwrap();
                        let mut scratch = Guarded::zeros(scratch, side);
                        packed_attention_as(set, factors, &packed, &mut out, &mut scratch).unwrap();
                    }
                    assert!(out.iter().all(|number| number.is_finite()));
                }
            }
        }
    });
}
