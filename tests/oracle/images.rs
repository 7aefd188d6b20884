//! Grids sampled at other places: every sample as a sum over all positions.

use gristmill::{
    DType, Tensor,
    testing::{
        op::Operator,
        ops::image::{
            grid_sample::{GridSample, Outside, SampleMode},
            resize::{Aspect, Change, Coordinates, Mode, Nearest, Resize},
        },
    },
};

use super::{
    Oracle, flat, indices, input, op, pick,
    pointwise::{floats, integers, of_floats, of_integers},
};

/// The operators that this file speaks for.
pub const ORACLES: &[(&str, Oracle)] = &[("GridSample", grid_sample), ("Resize", resize)];

/// The size of an axis of the result, and its scale.
fn resized(op: &Resize, shape: &[usize]) -> Vec<(usize, f64)> {
    let asked = |axis: usize| match &op.changes[axis] {
        Change::Size(to) => Some(to.as_fixed().unwrap() as f64 / shape[axis] as f64),
        _ => None,
    };
    let all = || (0..shape.len()).filter_map(asked);
    let common = match op.aspect {
        Aspect::Stretch => None,
        Aspect::NotLarger => all().reduce(f64::min),
        Aspect::NotSmaller => all().reduce(f64::max),
    };
    let of = |axis: usize| match &op.changes[axis] {
        Change::Keep => (shape[axis], 1.0),
        Change::Scale(scale) => ((shape[axis] as f32 * scale).floor() as usize, f64::from(*scale)),
        Change::Size(to) => {
            let to =
                common.map_or(to.as_fixed().unwrap() as usize, |scale| (shape[axis] as f64 * scale).round() as usize);
            (to, common.unwrap_or(to as f64 / shape[axis] as f64))
        }
    };
    (0..shape.len()).map(of).collect()
}

/// The weight of each position of an axis in position `at` of the result; none outside.
fn weights(
    op: &Resize,
    from: usize,
    (to, scale): (usize, f64),
    region: Option<(f64, f64)>,
    at: usize,
) -> Option<Vec<f64>> {
    let (last, x) = (from as f64 - 1.0, at as f64);
    let half_pixel = (x + 0.5) / scale - 0.5;
    let (start, end) = region.unwrap_or((0.0, 1.0));
    let length = if op.whole_lengths { to as f64 } else { scale * from as f64 };
    let x = match op.coordinates {
        Coordinates::HalfPixelUnlessOne if to == 1 => 0.0,
        Coordinates::HalfPixel | Coordinates::HalfPixelUnlessOne => half_pixel,
        Coordinates::HalfPixelSymmetric => half_pixel + from as f64 * (1.0 - to as f64 / (scale * from as f64)) / 2.0,
        Coordinates::AlignCorners if to == 1 => 0.0,
        Coordinates::AlignCorners => x * last / (length - 1.0),
        Coordinates::Asymmetric => x / scale,
        Coordinates::HalfPixelForNearest => half_pixel + 0.5,
        Coordinates::Crop if to == 1 => (start + end) / 2.0 * last,
        Coordinates::Crop => start * last + x * (end - start) * last / (length - 1.0),
    };
    if op.coordinates == Coordinates::Crop && !(0.0..=last).contains(&x) {
        return None;
    }
    let shrink = if op.antialias { scale.min(1.0) } else { 1.0 };
    let weight = |distance: f64| match op.mode {
        Mode::Nearest => 0.0,
        Mode::Linear => (1.0 - distance).max(0.0),
        Mode::Cubic { coefficient } => {
            let a = f64::from(coefficient);
            match distance {
                d if d <= 1.0 => (a + 2.0) * d.powi(3) - (a + 3.0) * d.powi(2) + 1.0,
                d if d < 2.0 => a * d.powi(3) - 5.0 * a * d.powi(2) + 8.0 * a * d - 4.0 * a,
                _ => 0.0,
            }
        }
    };
    let mut all = vec![0.0; from];
    if op.mode == Mode::Nearest {
        let x = f64::from(x as f32);
        let nearest = match op.nearest {
            Nearest::ByScale if scale < 1.0 => x.ceil(),
            Nearest::Floor | Nearest::ByScale => x.floor(),
            Nearest::Ceil => x.ceil(),
            Nearest::RoundDown => (x - 0.5).ceil(),
            Nearest::RoundUp => (x + 0.5).floor(),
        };
        all[nearest.clamp(0.0, last) as usize] = 1.0;
        return Some(all);
    }
    let far = 100 + from as i64;
    for position in -far..=far {
        let inside = position.clamp(0, from as i64 - 1);
        if inside == position || !op.exclude_outside {
            all[inside as usize] += weight(shrink * (position as f64 - x).abs());
        }
    }
    let sum: f64 = all.iter().sum();
    Some(all.into_iter().map(|weight| weight / sum).collect())
}

fn resize(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (op, from) = (op::<Resize>(operator), input(inputs, 0));
    let sizes = resized(op, from.shape());
    let shape: Vec<usize> = sizes.iter().map(|size| size.0).collect();
    let region = |axis: usize| {
        let (at, count) = (op.region.iter().position(|&own| own == axis)?, op.region.len());
        let all = floats(inputs.get(1)?.as_ref()?);
        Some((all[at], all[at + count]))
    };
    let own = |index: &[usize]| -> Option<Vec<Vec<f64>>> {
        let axes = index.iter().enumerate();
        // An axis that stays as it is has no coordinates to transform.
        let kept = |axis: usize, at: usize| {
            let keeps = op.changes[axis] == Change::Keep && region(axis).is_none();
            keeps.then(|| (0..from.shape()[axis]).map(|own| f64::from(u8::from(own == at))).collect())
        };
        axes.map(|(axis, &at)| {
            kept(axis, at).or_else(|| weights(op, from.shape()[axis], sizes[axis], region(axis), at))
        })
        .collect()
    };
    if op.mode == Mode::Nearest && from.dtype() != DType::F32 {
        let of = |index: &[usize]| -> Vec<usize> {
            own(index).unwrap().iter().map(|all| all.iter().position(|&weight| weight == 1.0).unwrap()).collect()
        };
        return vec![pick(from, &shape, |index| flat(from.shape(), &of(index)))];
    }
    let whole = !from.dtype().is_float();
    let values = if whole { integers(from).iter().map(|&x| x as f64).collect() } else { floats(from) };
    let all: Vec<Vec<usize>> = indices(from.shape()).collect();
    let sample = |index: Vec<usize>| {
        let Some(weights) = own(&index) else { return f64::from(op.outside) };
        let factor = |at: &Vec<usize>| at.iter().zip(&weights).map(|(&at, own)| own[at]).product::<f64>();
        all.iter().zip(&values).map(|(at, value)| value * factor(at)).sum()
    };
    let samples: Vec<f64> = indices(&shape).map(sample).collect();
    if whole {
        // Towards zero, of numbers of f32.
        let samples: Vec<i128> = samples.iter().map(|&x| i128::from((x as f32) as i64)).collect();
        return vec![of_integers(from.dtype(), &shape, &samples)];
    }
    vec![of_floats(from.dtype(), &shape, &samples)]
}

/// A place mirrored at the ends, one mirror after another.
fn mirrored(mut x: f64, least: f64, most: f64) -> f64 {
    while x < least || x > most {
        x = if x < least { 2.0 * least - x } else { 2.0 * most - x };
    }
    x
}

fn grid_sample(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (op, x, grid) = (op::<GridSample>(operator), input(inputs, 0), input(inputs, 1));
    let (values, places, axes) = (floats(x), floats(grid), x.shape().len() - 2);
    let mut shape = x.shape()[..2].to_vec();
    shape.extend_from_slice(&grid.shape()[1..=axes]);
    let border = |size: f64| if op.align_corners { (0.0, size - 1.0) } else { (-0.5, size - 0.5) };
    // The weight of each position along an axis.
    let weights = |x: f64, size: usize| {
        let last = size as f64 - 1.0;
        let (least, most) = border(size as f64);
        let x = match op.align_corners {
            true => (x + 1.0) / 2.0 * last,
            false => ((x + 1.0) * size as f64 - 1.0) / 2.0,
        };
        let x = f64::from(x as f32);
        let x = if op.mode == SampleMode::Nearest { x.round_ties_even() } else { x };
        let x = match op.outside {
            Outside::Border if op.mode == SampleMode::Cubic => x,
            Outside::Border if x < least || x > most => x.clamp(0.0, last),
            Outside::Reflection => mirrored(x, least, most),
            _ => x,
        };
        let mut all = vec![0.0; size];
        for tap in -20..20 + size as i64 {
            let distance = (tap as f64 - x).abs();
            let own = match op.mode {
                SampleMode::Nearest => f64::from(u8::from(distance == 0.0)),
                SampleMode::Linear => (1.0 - distance).max(0.0),
                SampleMode::Cubic if distance < 1.0 => 1.25 * distance.powi(3) - 2.25 * distance.powi(2) + 1.0,
                SampleMode::Cubic if distance < 2.0 => {
                    -0.75 * (distance.powi(3) - 5.0 * distance.powi(2) + 8.0 * distance - 4.0)
                }
                SampleMode::Cubic => 0.0,
            };
            let at = match op.outside {
                Outside::Zeros => tap as f64,
                Outside::Border => (tap as f64).clamp(0.0, last),
                Outside::Reflection => mirrored(tap as f64, least, most),
            };
            if at >= 0.0 && at <= last {
                all[at as usize] += own;
            }
        }
        // What rounding leaves between two positions belongs to none here.
        if op.mode == SampleMode::Nearest && op.outside != Outside::Zeros && all.iter().sum::<f64>() == 0.0 {
            all[x.clamp(0.0, last) as usize] = 1.0;
        }
        all
    };
    let all: Vec<Vec<usize>> = indices(&x.shape()[2..]).collect();
    let sample = |index: Vec<usize>| {
        let mut at = vec![index[0]];
        at.extend_from_slice(&index[2..]);
        let start = flat(&grid.shape()[..=axes], &at) * axes;
        let own: Vec<Vec<f64>> =
            (0..axes).map(|axis| weights(places[start + axes - 1 - axis], x.shape()[axis + 2])).collect();
        let of = |place: &Vec<usize>| {
            let mut from = index[..2].to_vec();
            from.extend_from_slice(place);
            let weight: f64 = place.iter().zip(&own).map(|(&at, own)| own[at]).product();
            weight * values[flat(x.shape(), &from)]
        };
        all.iter().map(of).sum()
    };
    vec![of_floats(x.dtype(), &shape, &indices(&shape).map(sample).collect::<Vec<_>>())]
}
