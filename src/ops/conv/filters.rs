//! Weights of convolutions, packed at load or in a run.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::{
    error::Result,
    kernels::{
        KernelSet,
        gemm::{self, Factors, Matrix, Packed, PackedRef, pack_into, pack_len},
        transpose,
        winograd::transform_filters,
    },
    op::{KernelRequest, Packing},
    ops::conv::{Conv, geometry::Geometry},
};

/// Filters of fewer channels are not held in int8: an image loses much by it and its products are few.
const LEAST_CHANNELS: usize = 16;

/// The weights as products read them.
pub(super) enum Filters {
    /// A packed matrix for each group.
    Packed(Arc<[Packed]>),
    /// The packed matrix of the one group, then those of the points of Winograd's algorithm.
    Points(Arc<[Packed]>),
    /// Of filters that see one channel each: `[taps, channels]`.
    Depthwise(Vec<f32>),
    /// Known only in a run, in which they are packed.
    Unpacked,
}

impl Filters {
    /// Packs the weights, operand `at` of dimensions `shape`, if they are constant.
    pub(super) fn new(request: &KernelRequest<'_>, op: &Conv, shape: &[usize], at: usize) -> Result<Self> {
        let (set, factors) = (request.kernel_set(), op.factors(request, shape));
        let depthwise = op.groups > 1 && shape[1] == 1 && shape[0] == op.groups;
        if let Some(tensor) = request.constant(at).filter(|_| depthwise) {
            request.take_constant(at);
            let taps = op.kernel.iter().product();
            let mut turned = vec![0.0; taps * op.groups];
            transpose(set, tensor.as_slice()?, taps, op.groups, taps, &mut turned, op.groups);
            Ok(Filters::Depthwise(turned))
        } else if goes_by_tiles(set, factors) && op.suits_tiles(shape, &request.input(0)?.shape) {
            let packing = Packing { name: "convolution by tiles", parameter: 0 };
            let packed = request.take_packed(at, packing, |tensor| {
                let weights = tensor.as_slice::<f32>()?;
                let mut packed = pack_groups(set, Factors::F32, op, weights, shape)?;
                let (channels, filters) = (shape[1], shape[0]);
                if let Some(points) = transform_filters(weights, channels, filters)? {
                    for point in points.chunks_exact(channels * filters) {
                        packed.push(Packed::new(set, point, channels, filters, gemm::Layout::RowMajor)?);
                    }
                }
                Ok(packed)
            })?;
            Ok(packed.map_or(Filters::Unpacked, |packed| match packed.len() {
                1 => Filters::Packed(packed),
                _ => Filters::Points(packed),
            }))
        } else {
            let packing = Packing { name: "convolution", parameter: op.groups as u64 };
            let packed =
                request.take_packed(at, packing, |tensor| pack_groups(set, factors, op, tensor.as_slice()?, shape))?;
            Ok(packed.map_or(Filters::Unpacked, Filters::Packed))
        }
    }

    /// The precision of the products' factors.
    pub(super) fn factors(&self) -> Factors {
        match self {
            Self::Packed(packed) => packed.first().map_or(Factors::F32, Packed::factors),
            Self::Points(_) | Self::Depthwise(_) | Self::Unpacked => Factors::F32,
        }
    }
}

/// Whether Winograd's algorithm, which is in f32, takes less time than products of such factors.
fn goes_by_tiles(set: KernelSet, factors: Factors) -> bool {
    match factors {
        Factors::F32 | Factors::Words => true,
        Factors::Bf16 => !set.has_amx(),
        Factors::Bytes => false,
    }
}

/// Packs the filters of each group.
fn pack_groups(set: KernelSet, factors: Factors, op: &Conv, weights: &[f32], shape: &[usize]) -> Result<Vec<Packed>> {
    let (k, n) = (shape[1..].iter().product(), shape[0] / op.groups);
    let mut turned = vec![0.0; k * n];
    (0..op.groups)
        .map(|group| {
            turn_filters(set, &weights[group * n * k..][..n * k], shape[1], n, &mut turned);
            let matrix = Matrix::new(&turned, k, n, gemm::Layout::Transposed);
            let segment = if factors.are_integers() { k } else { op.segment(shape[1]) };
            Packed::with_factors(set, factors, &matrix, segment)
        })
        .collect()
}

impl Conv {
    /// The precision of products with constant filters of `shape`.
    fn factors(&self, request: &KernelRequest<'_>, shape: &[usize]) -> Factors {
        let integers = request.product_factors(shape[1..].iter().product());
        // Parts of windows that are not copied are whole steps of a product.
        let fits = self.groups == 1 || shape[1].is_multiple_of(integers.whole());
        // The largest of many sums is one with a large error.
        let suits = shape[1] >= LEAST_CHANNELS && !self.global_max;
        if suits && fits { integers } else { request.factors() }
    }

    /// Whether windows of products with `factors` must be copied one after another.
    pub(super) fn is_dense(&self, factors: Factors, shape: &[usize]) -> bool {
        let segment = self.segment(shape[1]);
        let is_one = segment == shape[1..].iter().product::<usize>();
        factors.are_integers() && self.groups == 1 && !is_one && !segment.is_multiple_of(factors.whole())
    }

    /// The numbers of a window that are contiguous in channels-last data, for groups of `channels`.
    fn segment(&self, channels: usize) -> usize {
        match (self.kernel.last(), self.dilations.last()) {
            (Some(&width), Some(&dilation)) if self.groups == 1 && (dilation == 1 || width == 1) => width * channels,
            _ => channels,
        }
    }
}

/// Transposes each filter from `[channels, taps]` to `[taps, channels]`, as windows are ordered.
fn turn_filters(set: KernelSet, filters: &[f32], channels: usize, count: usize, to: &mut [f32]) {
    let k = filters.len() / count.max(1);
    let taps = k / channels.max(1);
    for filter in 0..count {
        let (from, to) = (&filters[filter * k..][..k], &mut to[filter * k..][..k]);
        transpose(set, from, taps, channels, taps, to, channels);
    }
}

/// The packed matrices of all groups.
pub(super) enum Groups<'a> {
    Packed(&'a [Packed]),
    Scratch(SmallVec<[PackedRef<'a>; 2]>),
}

impl Groups<'_> {
    /// The matrix of one group.
    pub(super) fn get(&self, group: usize) -> PackedRef<'_> {
        match self {
            Self::Packed(packed) => (&packed[group]).into(),
            Self::Scratch(packed) => packed[group],
        }
    }
}

/// The f32 scratch of [`pack_all`]: a group's reordered filters, and all groups' packed ones.
pub(super) fn pack_scratch(set: KernelSet, geometry: &Geometry) -> Option<usize> {
    let (k, n) = (geometry.k(), geometry.group_filters());
    let packed = pack_len(set, k, n).ok()?.checked_mul(geometry.groups)?;
    k.checked_mul(n)?.checked_add(packed)
}

/// Packs the filters of all groups into scratch.
pub(super) fn pack_all<'s>(
    set: KernelSet,
    geometry: &Geometry,
    weights: &[f32],
    scratch: &'s mut [f32],
) -> Result<SmallVec<[PackedRef<'s>; 2]>> {
    let (k, n) = (geometry.k(), geometry.group_filters());
    let (turned, mut scratch) = scratch.split_at_mut(k * n);
    let len = pack_len(set, k, n)?;
    let mut packed = SmallVec::new();
    for group in 0..geometry.groups {
        let (own, rest) = scratch.split_at_mut(len);
        scratch = rest;
        turn_filters(set, &weights[group * k * n..][..k * n], geometry.group_channels(), n, turned);
        packed.push(pack_into(set, &Matrix::new(turned, k, n, gemm::Layout::Transposed), own)?);
    }
    Ok(packed)
}
