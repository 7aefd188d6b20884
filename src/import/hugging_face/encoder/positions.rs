//! Tables of positions: angles of rotary heads, and biases by the distance from query to key.

use std::f64::consts::TAU;

use crate::{
    error::Result,
    import::hugging_face::config::{RelativeBuckets, Rotary, RotaryScaling},
    tensor::Tensor,
};

/// The cosines and the sines of `rows` positions' angles, each `[rows, columns / 2]`.
///
/// Pair `i` turns by `position / (base^(2 i / columns) divisor)`, in f32 as PyTorch computes it.
///
/// A scaling changes the frequencies, and YaRN's multiplies the results.
pub(super) fn rotary(rows: usize, columns: usize, rotary: Rotary, divisor: f64) -> Result<[Tensor; 2]> {
    let Rotary { base, scaling } = rotary;
    let pairs = columns / 2;
    let frequency = |pair| {
        let plain = 1.0 / (base as f32).powf((2 * pair) as f32 / columns as f32) / divisor as f32;
        scaled(plain, pair, columns, rotary)
    };
    let frequencies: Vec<f32> = (0..pairs).map(frequency).collect();
    let factor = if let RotaryScaling::Yarn { attention, .. } = scaling { attention as f32 } else { 1.0 };
    let table = |function: fn(f64) -> f64| {
        let angles = (0..rows).flat_map(|row| frequencies.iter().map(move |&frequency| row as f32 * frequency));
        let values: Vec<f32> = angles.map(|angle| function(f64::from(angle)) as f32 * factor).collect();
        Tensor::new([rows, pairs], &values)
    };
    Ok([table(f64::cos)?, table(f64::sin)?])
}

/// The frequency of a pair of columns, stretched.
fn scaled(frequency: f32, pair: usize, columns: usize, Rotary { base, scaling }: Rotary) -> f32 {
    match scaling {
        RotaryScaling::None | RotaryScaling::Dynamic => frequency,
        RotaryScaling::Linear { factor } => frequency / factor as f32,
        RotaryScaling::Llama3 { factor, low, high, original } => {
            let length = TAU / f64::from(frequency);
            if length > original / low {
                frequency / factor as f32
            } else if length < original / high {
                frequency
            } else {
                let smooth = ((original / length - low) / (high - low)) as f32;
                (1.0 - smooth) * frequency / factor as f32 + smooth * frequency
            }
        }
        RotaryScaling::Yarn { factor, rotations, original, truncated, .. } => {
            let place = |rotations: f64| columns as f64 * (original / (rotations * TAU)).ln() / (2.0 * base.ln());
            let [mut low, mut high] = rotations.map(place);
            if truncated {
                (low, high) = (low.floor(), high.ceil());
            }
            let (low, mut high) = (low.max(0.0), high.min(columns as f64 - 1.0));
            if low == high {
                high += 0.001;
            }
            let divided = ((pair as f64 - low) / (high - low)).clamp(0.0, 1.0) as f32;
            frequency / factor as f32 * divided + frequency * (1.0 - divided)
        }
    }
}

/// The bias of each head by the distance from query to key, `[heads, 2 most + 1]`, from a table `[buckets, heads]`.
///
/// Source: Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer" (2020).
pub(super) fn relative(table: &Tensor, relative: RelativeBuckets) -> Result<Tensor> {
    let (rows, heads) = (table.as_slice::<f32>()?, table.shape()[1]);
    let most = relative.most as i64;
    let mut values = Vec::with_capacity(heads * (2 * relative.most + 1));
    for head in 0..heads {
        values.extend((-most..=most).map(|distance| rows[bucket(distance, relative) * heads + head]));
    }
    Tensor::new([heads, 2 * relative.most + 1], &values)
}

/// The bias of each head by the distance from query to key, `[heads, 2 count - 1]`: the distance times a slope.
///
/// Source: Press, Smith and Lewis, "Train Short, Test Long: Attention with Linear Biases Enables Input Length
/// Extrapolation" (2022).
pub(super) fn slopes(heads: usize, count: usize) -> Result<Tensor> {
    let most = count as i64 - 1;
    let mut values = Vec::with_capacity(heads * (2 * count - 1));
    for head in 0..heads {
        let slope = slope(head, heads);
        values.extend((-most..=most).map(|distance| -(distance.unsigned_abs() as f32 * slope)));
    }
    Tensor::new([heads, 2 * count - 1], &values)
}

/// The slope of a head: powers of one number, and past the last power of two heads every other one of twice as many.
fn slope(head: usize, heads: usize) -> f32 {
    let whole = 1usize << heads.ilog2();
    let (index, of) = if head < whole { (head, whole) } else { (2 * (head - whole), 2 * whole) };
    2f64.powf(-8.0 / of as f64).powi(index as i32 + 1) as f32
}

/// The row of a distance: half of the rows for keys behind the query, unless they are not seen; of the others, half for
/// one distance each and the rest for distances that grow by a factor.
fn bucket(distance: i64, RelativeBuckets { buckets, most, one_sided, .. }: RelativeBuckets) -> usize {
    if one_sided && distance > 0 {
        return 0;
    }
    let half = if one_sided { buckets } else { buckets / 2 };
    let exact = half / 2;
    let (side, distance) = (if distance > 0 { half } else { 0 }, distance.unsigned_abs() as usize);
    if distance < exact {
        return side + distance;
    }
    let ratio = (distance as f32 / exact as f32).ln() / (most as f32 / exact as f32).ln();
    let grown = exact + (ratio * (half - exact) as f32) as usize;
    side + grown.min(half - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_fall_into_the_buckets_of_t5() {
        let relative = RelativeBuckets { buckets: 32, most: 128, in_each_layer: false, one_sided: false };
        let of = |distance| bucket(distance, relative);
        assert_eq!([0, -1, -7, -8, -11, -12, -15, -16].map(of), [0, 1, 7, 8, 8, 9, 9, 10]);
        assert_eq!([1, 7, 8, 127, 128, 5000].map(of), [17, 23, 24, 31, 31, 31]);
        assert_eq!(of(-5000), 15);
        let of = |distance| bucket(distance, RelativeBuckets { one_sided: true, ..relative });
        assert_eq!([3, 0, -1, -15, -16, -127, -128, -5000].map(of), [0, 0, 1, 15, 16, 31, 31, 31]);
    }

    #[test]
    fn angles_grow_with_the_position() {
        let [cosines, sines] = rotary(3, 4, Rotary { base: 10_000.0, scaling: RotaryScaling::None }, 1.0).unwrap();
        assert_eq!(cosines.shape(), [3, 2]);
        let sines = sines.as_slice::<f32>().unwrap();
        assert_eq!(sines[..2], [0.0, 0.0]);
        assert!((sines[4] - 2f32.sin()).abs() < 1e-7 && (sines[5] - 0.02f32.sin()).abs() < 1e-8);
    }
}
