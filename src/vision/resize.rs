//! Resizing of 8-bit pixels as PIL does it, bit for bit.
//!
//! Source: Pillow's `Resample.c` and, for the nearest pixel, `Geometry.c`.

use std::ops::Range;

use crate::{import::hugging_face::Filter, vision::decode::Pixels};

/// The bits of a weight behind the point.
const PRECISION: u32 = 32 - 8 - 2;

/// The part `columns`, `rows` of an image resized to `width` and `height`.
pub(crate) fn resize(
    pixels: &Pixels,
    (width, height): (usize, usize),
    filter: Filter,
    columns: Range<usize>,
    rows: Range<usize>,
) -> Pixels {
    if filter == Filter::Nearest {
        return nearest(pixels, (width, height), columns, rows);
    }
    let across = Weights::new(pixels.width, width, filter, columns.clone());
    let down = Weights::new(pixels.height, height, filter, rows.clone());
    let needed = down.sources();
    let between = across.across(pixels, needed.clone());
    let rgb = down.down(&between, 3 * columns.len(), needed.start);
    Pixels { width: columns.len(), height: rows.len(), rgb }
}

/// The part `columns`, `rows` of an image as it is.
pub(super) fn part(pixels: &Pixels, columns: Range<usize>, rows: Range<usize>) -> Pixels {
    let (width, height) = (columns.len(), rows.len());
    let row = |row: usize| {
        let start = 3 * row * pixels.width;
        pixels.rgb[start + 3 * columns.start..start + 3 * columns.end].iter().copied()
    };
    Pixels { width, height, rgb: rows.flat_map(row).collect() }
}

fn nearest(pixels: &Pixels, (width, height): (usize, usize), columns: Range<usize>, rows: Range<usize>) -> Pixels {
    let [across, down] = [places(pixels.width, width, &columns), places(pixels.height, height, &rows)];
    let mut rgb = Vec::with_capacity(3 * columns.len() * rows.len());
    for row in down {
        for column in &across {
            let start = 3 * (row * pixels.width + column);
            rgb.extend_from_slice(&pixels.rgb[start..start + 3]);
        }
    }
    Pixels { width: columns.len(), height: rows.len(), rgb }
}

/// The source of each place in `wanted`. PIL adds steps up, and so does this.
fn places(from: usize, to: usize, wanted: &Range<usize>) -> Vec<usize> {
    let step = from as f64 / to as f64;
    let mut place = step * 0.5;
    let mut places = Vec::with_capacity(wanted.len());
    for index in 0..wanted.end {
        if index >= wanted.start {
            places.push((place as usize).min(from - 1));
        }
        place += step;
    }
    places
}

/// The distance at which weights end, and the weight at a distance.
fn curve(filter: Filter) -> (f64, fn(f64) -> f64) {
    match filter {
        Filter::Nearest | Filter::Box => (0.5, |x| if x > -0.5 && x <= 0.5 { 1.0 } else { 0.0 }),
        Filter::Bilinear => (1.0, |x| (1.0 - x.abs()).max(0.0)),
        Filter::Hamming => (1.0, |x| match x.abs() {
            0.0 => 1.0,
            x if x >= 1.0 => 0.0,
            x => {
                let x = x * std::f64::consts::PI;
                x.sin() / x * (0.54 + 0.46 * x.cos())
            }
        }),
        Filter::Bicubic => (2.0, |x| {
            const A: f64 = -0.5;
            match x.abs() {
                x if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
                x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
                _ => 0.0,
            }
        }),
        Filter::Lanczos => (3.0, |x| {
            let sinc = |x: f64| match x {
                0.0 => 1.0,
                x => {
                    let x = x * std::f64::consts::PI;
                    x.sin() / x
                }
            };
            if (-3.0..3.0).contains(&x) { sinc(x) * sinc(x / 3.0) } else { 0.0 }
        }),
    }
}

/// What each new row or column is made of.
struct Weights {
    /// The first old one, and the end of its weights.
    spans: Vec<(usize, usize)>,
    /// The weights of all, one after the other, with `PRECISION` bits behind the point.
    weights: Vec<i32>,
    /// Whether each is the old one.
    is_copy: bool,
}

impl Weights {
    fn new(from: usize, to: usize, filter: Filter, wanted: Range<usize>) -> Self {
        let (mut spans, mut weights) = (Vec::with_capacity(wanted.len()), Vec::new());
        if from == to {
            for index in wanted {
                weights.push(1 << PRECISION);
                spans.push((index, weights.len()));
            }
            return Self { spans, weights, is_copy: true };
        }
        let scale = from as f64 / to as f64;
        let filter_scale = scale.max(1.0);
        let (reach, weight) = curve(filter);
        let support = reach * filter_scale;
        let inverse = 1.0 / filter_scale;
        let mut own = Vec::new();
        for index in wanted {
            let center = (index as f64 + 0.5) * scale;
            // Truncated, as PIL does, after the clip at 0.
            let first = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5).max(0.0) as usize).min(from).max(first);
            own.clear();
            own.extend((first..end).map(|old| weight((old as f64 - center + 0.5) * inverse)));
            let sum: f64 = own.iter().sum();
            let fixed = |weight: &f64| {
                let weight = if sum == 0.0 { *weight } else { weight / sum } * f64::from(1 << PRECISION);
                (if weight < 0.0 { weight - 0.5 } else { weight + 0.5 }) as i32
            };
            weights.extend(own.iter().map(fixed));
            spans.push((first, weights.len()));
        }
        Self { spans, weights, is_copy: false }
    }

    /// Each new place: its first old one and its weights.
    fn each(&self) -> impl Iterator<Item = (usize, &[i32])> {
        let mut start = 0;
        self.spans.iter().map(move |&(first, end)| {
            let own = &self.weights[start..end];
            start = end;
            (first, own)
        })
    }

    /// The old places that are needed.
    fn sources(&self) -> Range<usize> {
        let start = self.spans.first().map_or(0, |&(first, _)| first);
        start..self.each().map(|(first, weights)| first + weights.len()).max().unwrap_or(start)
    }

    /// New columns of the old `rows`.
    fn across(&self, pixels: &Pixels, rows: Range<usize>) -> Vec<u8> {
        let mut new = Vec::with_capacity(3 * self.spans.len() * rows.len());
        for row in rows {
            let row = &pixels.rgb[3 * row * pixels.width..3 * (row + 1) * pixels.width];
            if self.is_copy {
                let start = 3 * self.spans.first().map_or(0, |&(first, _)| first);
                new.extend_from_slice(&row[start..start + 3 * self.spans.len()]);
                continue;
            }
            for (first, weights) in self.each() {
                let mut sums = [1 << (PRECISION - 1); 3];
                for (pixel, weight) in row[3 * first..].chunks_exact(3).zip(weights) {
                    sums[0] += i32::from(pixel[0]) * weight;
                    sums[1] += i32::from(pixel[1]) * weight;
                    sums[2] += i32::from(pixel[2]) * weight;
                }
                new.extend(sums.map(byte));
            }
        }
        new
    }

    /// New rows of old ones, of which `old` holds those from `start` on.
    fn down(&self, old: &[u8], row_bytes: usize, start: usize) -> Vec<u8> {
        let mut new = Vec::with_capacity(row_bytes * self.spans.len());
        let mut sums = vec![0i32; row_bytes];
        for (first, weights) in self.each() {
            sums.fill(1 << (PRECISION - 1));
            let rows = old[(first - start) * row_bytes..].chunks_exact(row_bytes);
            for (row, weight) in rows.zip(weights) {
                sums.iter_mut().zip(row).for_each(|(sum, number)| *sum += i32::from(*number) * weight);
            }
            new.extend(sums.iter().map(|&sum| byte(sum)));
        }
        new
    }
}

/// A sum as a byte, cut off at both ends.
fn byte(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}
