use super::*;
use crate::kernels::{
    Activation, KernelSet,
    gemm::{Epilogue, Layout, Packed, Rows, Segment, gemm},
};

/// An image, filters and the zeros around the image.
struct Case {
    height: usize,
    width: usize,
    channels: usize,
    filters: usize,
    /// Zeros above, below, left and right.
    pads: [usize; 4],
}

impl Case {
    fn out(&self) -> [usize; 2] {
        [self.height + self.pads[0] + self.pads[1] - 2, self.width + self.pads[2] + self.pads[3] - 2]
    }
}

/// Numbers from -1 to 1.
fn numbers(count: usize, mut state: u64) -> Vec<f32> {
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Results and whether all sums were finite, with `together` tiles at a time.
fn by_tiles(
    set: KernelSet,
    case: &Case,
    x: &[f32],
    weights: &[f32],
    bias: Option<&[f32]>,
    activation: Activation,
    together: usize,
) -> (Vec<f32>, bool) {
    let &Case { height, width, channels, filters, pads, .. } = case;
    let [out_height, out_width] = case.out();
    let across = out_width.div_ceil(TILE);
    let points = transform_filters(weights, channels, filters).unwrap().expect("finite filters");
    let points: Vec<Packed> = points
        .chunks_exact(channels * filters)
        .map(|point| Packed::new(set, point, channels, filters, Layout::RowMajor).unwrap())
        .collect();
    let image = Image { data: x, height, width, channels, pads: [pads[0], pads[2]], across };
    let results = Results { height: out_height, width: out_width, filters, across, bias, activation };
    let mut output = vec![7.0; out_height * out_width * filters];
    let (mut patches, mut products) = (vec![7.0; together * pitch(channels)], vec![7.0; together * pitch(filters)]);
    let (mut patch, mut finite) = (vec![7.0; POINTS * channels], true);
    let count = across * out_height.div_ceil(TILE);
    for start in (0..count).step_by(together) {
        let tiles = start..count.min(start + together);
        transform_patches(set, &image, tiles.clone(), &mut patch, &mut patches).unwrap();
        for (point, packed) in points.iter().enumerate() {
            let segments = [Segment { offset: 0, len: channels }];
            let data = &patches[point * channels..];
            let rows = Rows { data, rows: tiles.len(), stride: pitch(channels), segments: &segments };
            let to = &mut products[point * filters..];
            gemm(set, &rows, packed, &Epilogue::default(), to, pitch(filters)).unwrap();
        }
        finite &= transform_products(set, &results, tiles, &products, &mut output).unwrap();
    }
    (output, finite)
}

/// Plain sums in double precision, and the sums of magnitudes.
fn oracle(case: &Case, x: &[f32], weights: &[f32]) -> Vec<(f64, f64)> {
    let &Case { height, width, channels, filters, pads, .. } = case;
    let [out_height, out_width] = case.out();
    let mut results = Vec::new();
    for (line, column) in (0..out_height).flat_map(|line| (0..out_width).map(move |column| (line, column))) {
        for filter in 0..filters {
            let (mut sum, mut magnitude) = (0.0, 0.0);
            for (down, right) in (0..3).flat_map(|down| (0..3).map(move |right| (down, right))) {
                let at = ((line + down).checked_sub(pads[0]), (column + right).checked_sub(pads[2]));
                let (Some(y), Some(z)) = at else { continue };
                if y >= height || z >= width {
                    continue;
                }
                for channel in 0..channels {
                    let weight = weights[(filter * channels + channel) * 9 + 3 * down + right];
                    let product = f64::from(x[(y * width + z) * channels + channel]) * f64::from(weight);
                    (sum, magnitude) = (sum + product, magnitude + product.abs());
                }
            }
            results.push((sum, magnitude));
        }
    }
    results
}

fn cases() -> Vec<Case> {
    let case = |height, width, channels, filters, pads| Case { height, width, channels, filters, pads };
    vec![
        case(1, 1, 1, 1, [1, 1, 1, 1]),
        case(4, 4, 3, 5, [1, 1, 1, 1]),
        case(3, 3, 8, 8, [0, 0, 0, 0]),
        case(9, 13, 17, 33, [1, 1, 1, 1]),
        case(12, 10, 16, 24, [0, 0, 0, 0]),
        case(10, 7, 40, 16, [2, 0, 0, 3]),
        case(2, 19, 19, 7, [0, 2, 1, 0]),
        case(5, 6, 4, 3, [9, 8, 7, 10]),
    ]
}

#[test]
fn results_are_within_a_few_roundings_of_plain_sums() {
    for set in KernelSet::available() {
        for case in cases() {
            let x = numbers(case.height * case.width * case.channels, 1);
            let weights = numbers(case.filters * case.channels * 9, 2);
            let (got, finite) = by_tiles(set, &case, &x, &weights, None, Activation::None, 3);
            assert!(finite);
            let want = oracle(&case, &x, &weights);
            assert_eq!(got.len(), want.len());
            let most = want.iter().fold(0.0, |most: f64, &(_, magnitude)| most.max(magnitude));
            for (index, (&got, &(want, _))) in got.iter().zip(&want).enumerate() {
                // A tile's rounding is that of its largest numbers.
                let error = (f64::from(got) - want).abs();
                assert!(error <= 2e-6 * most, "{set}, {:?}: {got} instead of {want} at {index}", case.out());
            }
        }
    }
}

#[test]
fn bias_and_activation_follow_the_sum() {
    for set in KernelSet::available() {
        let case = &cases()[3];
        let x = numbers(case.height * case.width * case.channels, 3);
        let weights = numbers(case.filters * case.channels * 9, 4);
        let bias = numbers(case.filters, 5);
        let (plain, _) = by_tiles(set, case, &x, &weights, None, Activation::None, 4);
        let (got, _) = by_tiles(set, case, &x, &weights, Some(&bias), Activation::Relu, 4);
        for (index, (got, sum)) in got.iter().zip(plain).enumerate() {
            assert_eq!(*got, (sum + bias[index % case.filters]).max(0.0));
        }
    }
}

#[test]
fn bits_do_not_depend_on_the_tiles_computed_together() {
    for set in KernelSet::available() {
        let case = &cases()[3];
        let x = numbers(case.height * case.width * case.channels, 6);
        let weights = numbers(case.filters * case.channels * 9, 7);
        let all = |together| by_tiles(set, case, &x, &weights, None, Activation::None, together).0;
        let whole = all(12);
        for together in [1, 2, 5, 7] {
            assert!(all(together).iter().zip(&whole).all(|(a, b)| a.to_bits() == b.to_bits()), "{set}, {together}");
        }
    }
}

#[test]
fn a_number_that_is_not_finite_is_seen_wherever_it_is() {
    let case = Case { height: 6, width: 9, channels: 5, filters: 3, pads: [1, 1, 1, 1] };
    let weights = numbers(case.filters * case.channels * 9, 8);
    for set in KernelSet::available() {
        for special in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for position in 0..case.height * case.width * case.channels {
                let mut x = numbers(case.height * case.width * case.channels, 9);
                x[position] = special;
                let (_, finite) = by_tiles(set, &case, &x, &weights, None, Activation::Relu, 4);
                assert!(!finite, "{set}: {special} at {position}");
            }
        }
    }
}

#[test]
fn sums_that_overflow_on_the_way_are_seen() {
    let case = Case { height: 4, width: 4, channels: 2, filters: 2, pads: [1, 1, 1, 1] };
    let weights = vec![1e-3; case.filters * case.channels * 9];
    for set in KernelSet::available() {
        // Alternating signs add up in the transform, not in a plain sum.
        let x: Vec<f32> = (0..32).map(|at| if at % 4 < 2 { 3e38 } else { -3e38 }).collect();
        assert!(!by_tiles(set, &case, &x, &weights, None, Activation::None, 1).1, "{set}");
    }
}

#[test]
fn large_and_small_numbers_keep_their_relative_error() {
    let case = &cases()[3];
    for set in KernelSet::available() {
        for scale in [1e-25_f32, 1e-10, 1e12, 1e30] {
            let x: Vec<f32> = numbers(case.height * case.width * case.channels, 10).iter().map(|x| x * scale).collect();
            let weights = numbers(case.filters * case.channels * 9, 11);
            let (got, finite) = by_tiles(set, case, &x, &weights, None, Activation::None, 5);
            let want = oracle(case, &x, &weights);
            let most = want.iter().fold(0.0, |most: f64, &(_, magnitude)| most.max(magnitude));
            let near = |(&got, &(want, _)): (&f32, &(f64, f64))| (f64::from(got) - want).abs() <= 2e-6 * most;
            assert!(finite && got.iter().zip(&want).all(near), "{set}, {scale}");
        }
    }
}

#[test]
fn filters_that_overflow_at_a_point_are_refused() {
    let mut weights = vec![0.5; 9];
    assert!(transform_filters(&weights, 1, 1).unwrap().is_some());
    for special in [f32::NAN, f32::INFINITY] {
        weights[4] = special;
        assert!(transform_filters(&weights, 1, 1).unwrap().is_none());
    }
    // Each is finite; their sum at an outer point is not.
    assert!(transform_filters(&[3e38; 9], 1, 1).unwrap().is_none());
    assert!(transform_filters(&weights, 2, 1).is_err());
}

#[test]
fn operands_that_do_not_fit_are_errors() {
    let set = KernelSet::detect();
    let image = Image { data: &[0.0; 32], height: 4, width: 4, channels: 2, pads: [1, 1], across: 1 };
    let (mut patch, mut to) = (vec![0.0; POINTS * 2], vec![0.0; POINTS * 2]);
    assert!(transform_patches(set, &image, 0..1, &mut patch, &mut to).is_ok());
    assert!(transform_patches(set, &image, 0..2, &mut patch, &mut to).is_err());
    assert!(transform_patches(set, &image, 0..1, &mut patch[1..], &mut to).is_err());
    assert!(transform_patches(set, &Image { height: 5, ..image }, 0..1, &mut patch, &mut to).is_err());
    let bias = [0.0; 2];
    let results =
        Results { height: 4, width: 4, filters: 2, across: 1, bias: Some(&bias), activation: Activation::None };
    let mut output = [0.0; 32];
    assert!(transform_products(set, &results, 0..1, &to, &mut output).is_ok());
    assert!(transform_products(set, &results, 0..2, &to, &mut output).is_err());
    assert!(transform_products(set, &results, 0..1, &to[1..], &mut output).is_err());
    assert!(transform_products(set, &results, 0..1, &to, &mut output[1..]).is_err());
    assert!(transform_products(set, &Results { across: 2, ..results }, 0..1, &to, &mut output).is_err());
    assert!(transform_products(set, &Results { bias: Some(&bias[1..]), ..results }, 0..1, &to, &mut output).is_err());
}
