//! `GridSample`: an image sampled at positions that an operand gives.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::number::Number,
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, Io, OnnxNode, OpDef, Operator, function_kernel},
    ops::wide,
    shape::{Dim, Shape},
    tensor::{DType, Tensor},
};

/// How a sample between positions is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleMode {
    /// The nearest position's, halves to even.
    Nearest,
    /// From the two neighbours along each axis.
    Linear,
    /// From four neighbours along each axis.
    Cubic,
}

/// What is outside of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// Zeros.
    Zeros,
    /// The border's samples.
    Border,
    /// The image, mirrored.
    Reflection,
}

/// Samples of `[batch, channels, spatial...]` at the positions `[batch, out..., axes]`.
///
/// Positions run from -1 to 1 over each axis, the last axis first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GridSample {
    /// How samples are made.
    pub mode: SampleMode,
    /// What is outside.
    pub outside: Outside,
    /// Whether -1 and 1 are the centers of the corners, rather than their outer edges.
    pub align_corners: bool,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "GridSample",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(|request| function_kernel::<GridSample>(request, run)),
    gpu: GpuState::Host("no shader yet"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let mode = match node.string("mode")?.as_deref() {
        None | Some("linear" | "bilinear") => SampleMode::Linear,
        Some("nearest") => SampleMode::Nearest,
        Some("cubic" | "bicubic") => SampleMode::Cubic,
        Some(other) => return Err(Error::unsupported(format!("`mode` is `{other}`"))),
    };
    let outside = match node.string("padding_mode")?.as_deref() {
        None | Some("zeros") => Outside::Zeros,
        Some("border") => Outside::Border,
        Some("reflection") => Outside::Reflection,
        Some(other) => return Err(Error::unsupported(format!("`padding_mode` is `{other}`"))),
    };
    Ok(Arc::new(GridSample { mode, outside, align_corners: node.flag("align_corners", false)? }))
}

impl Operator for GridSample {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(2, 2)?;
        let (x, grid) = (inputs.required(0)?, inputs.required(1)?);
        if !x.dtype.is_float() || !grid.dtype.is_float() {
            return Err(Error::unsupported(format!("samples of {x} at {grid}")));
        }
        let rank = x.shape.rank();
        if rank < 3 || grid.shape.rank() != rank {
            return Err(Error::invalid_model(format!("samples of {x} at {grid}")));
        }
        inputs.equal("the last axis of positions", &grid.shape.dims()[rank - 1], &Dim::from(rank - 2))?;
        let spatial = &grid.shape.dims()[1..rank - 1];
        let shape: Shape = x.shape.dims()[..2].iter().chain(spatial).cloned().collect();
        Ok(vec![Fact::new(x.dtype, shape)])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        (axes == [Some(0), Some(0)]).then(|| vec![Some(0)])
    }
}

impl GridSample {
    /// The position along an axis of that size, brought inside where the image goes on.
    fn position(&self, x: f64, size: usize) -> f64 {
        let size = size as f64;
        let x = if self.align_corners { (x + 1.0) / 2.0 * (size - 1.0) } else { ((x + 1.0) * size - 1.0) / 2.0 };
        // In the precision of the definition, so that what lies between two positions does so here.
        let x = f64::from(x as f32);
        let x = if self.mode == SampleMode::Nearest { x.round_ties_even() } else { x };
        let (least, most) = self.border(size);
        match self.outside {
            _ if x >= least && x <= most => x,
            Outside::Zeros => x,
            // As in PyTorch and ONNX Runtime, a cubic runs on outside, over the border's samples.
            Outside::Border if self.mode == SampleMode::Cubic => x,
            // As in PyTorch, NaN is at the front.
            Outside::Border if x.is_nan() => 0.0,
            Outside::Border => x.clamp(0.0, size - 1.0),
            Outside::Reflection => reflected(x, least, most),
        }
    }

    /// The first and the last place of an axis.
    fn border(&self, size: f64) -> (f64, f64) {
        if self.align_corners { (0.0, size - 1.0) } else { (-0.5, size - 0.5) }
    }

    /// The place of a tap along an axis, if it is in the image or stands for a place that is.
    fn place(&self, tap: f64, size: usize) -> Option<usize> {
        let (least, most) = self.border(size as f64);
        let tap = match self.outside {
            Outside::Zeros => Some(tap).filter(|&tap| tap >= 0.0 && tap < size as f64)?,
            Outside::Border => tap.clamp(0.0, size as f64 - 1.0),
            Outside::Reflection => reflected(tap, least, most),
        };
        (size > 0).then_some((tap.max(0.0) as usize).min(size.saturating_sub(1)))
    }

    /// The taps along an axis, and their weights.
    fn taps(&self, x: f64, size: usize) -> SmallVec<[(Option<usize>, f64); 4]> {
        let first = x.floor();
        let between = x - first;
        let tap = |step: f64, weight: f64| (self.place(first + step, size), weight);
        match self.mode {
            SampleMode::Nearest => smallvec![(self.place(x, size), 1.0)],
            SampleMode::Linear => smallvec![tap(0.0, 1.0 - between), tap(1.0, between)],
            SampleMode::Cubic => smallvec![
                tap(-1.0, far(1.0 + between)),
                tap(0.0, near(between)),
                tap(1.0, near(1.0 - between)),
                tap(2.0, far(2.0 - between)),
            ],
        }
    }

    /// Whether a sample at a place has no value: its weights are unknown.
    fn is_unknown(&self, x: f64) -> bool {
        x.is_nan() || (x.is_infinite() && self.mode != SampleMode::Nearest)
    }

    /// Appends the places of a plane of these sizes that a sample is made from, and their weights.
    ///
    /// `position` has the last axis first.
    fn add_taps<T: Number>(&self, position: &[T], sizes: &[usize], taps: &mut Vec<(usize, T)>) {
        let start = taps.len();
        taps.push((0, T::narrow(1.0)));
        for (&x, &size) in position.iter().rev().zip(sizes) {
            let x = self.position(x.wide(), size);
            if self.is_unknown(x) {
                taps.truncate(start);
                if !sizes.contains(&0) {
                    taps.push((0, T::narrow(f64::NAN)));
                }
                return;
            }
            let own = self.taps(x, size);
            // Behind those of the axes before, which are removed.
            let before = start..taps.len();
            for at in before.clone() {
                let (place, weight) = taps[at];
                let of = |&(tap, own): &(Option<usize>, f64)| Some((place * size + tap?, weight.times(T::narrow(own))));
                taps.extend(own.iter().filter_map(of));
            }
            taps.drain(before);
        }
    }
}

/// Cubic convolution up to a distance of 1.
fn near(x: f64) -> f64 {
    (1.25 * x - 2.25) * x * x + 1.0
}

/// Cubic convolution from a distance of 1 to 2.
fn far(x: f64) -> f64 {
    ((-0.75 * x + 3.75) * x - 6.0) * x + 3.0
}

/// A place mirrored at the ends until it is between them.
fn reflected(x: f64, least: f64, most: f64) -> f64 {
    let range = most - least;
    if range <= 0.0 || !x.is_finite() {
        return least.max(0.0);
    }
    let over = (x - least).rem_euclid(2.0 * range);
    if over <= range { least + over } else { most - (over - range) }
}

fn run(op: &GridSample, io: &mut Io<'_>) -> Result<()> {
    let (x, grid) = (io.input(0)?, io.input(1)?);
    let (sizes, axes) = (&x.shape[2..], x.shape.len() - 2);
    if x.shape[0] != grid.shape[0] {
        let (x, grid) = (x.shape, grid.shape);
        return Err(Error::invalid_input(format!("samples of {x:?} at {grid:?}")));
    }
    let places = grid.shape[1..=axes].iter().product();
    let samples = Samples { op, sizes, channels: x.shape[1], places };
    if x.dtype == DType::F32 && grid.dtype == DType::F32 {
        return samples.make::<f32>(x.slice()?, grid.slice()?, io.output(0)?.slice()?);
    }
    let mut results = vec![0.0; x.shape[0] * x.shape[1] * places];
    samples.make::<f64>(&wide::read(x)?, &wide::read(grid)?, &mut results)?;
    wide::write(io.output(0)?, &results)
}

/// The samples of one run.
struct Samples<'a> {
    op: &'a GridSample,
    /// Of an image's plane.
    sizes: &'a [usize],
    channels: usize,
    /// The positions of an item.
    places: usize,
}

impl Samples<'_> {
    /// Positions whose taps are kept for all channels.
    const BLOCK: usize = 512;

    fn make<T: Number>(&self, images: &[T], grid: &[T], results: &mut [T]) -> Result<()> {
        let Self { op, sizes, channels, places } = *self;
        let (plane, axes): (usize, usize) = (sizes.iter().product(), sizes.len());
        let (mut taps, mut ends) = (Vec::new(), Vec::new());
        for (item, grid) in grid.chunks_exact((places * axes).max(1)).enumerate() {
            let images = &images[item * channels * plane..][..channels * plane];
            let results = &mut results[item * channels * places..][..channels * places];
            for (block, positions) in grid.chunks(Self::BLOCK * axes).enumerate() {
                taps.clear();
                ends.clear();
                for position in positions.chunks_exact(axes) {
                    op.add_taps(position, sizes, &mut taps);
                    ends.push(taps.len());
                }
                for (channel, results) in results.chunks_exact_mut(places).enumerate() {
                    let image = &images[channel * plane..][..plane];
                    let mut start = 0;
                    for (result, &end) in results[block * Self::BLOCK..].iter_mut().zip(&ends) {
                        let add = |sum: T, &(place, weight): &(usize, T)| sum.plus(image[place].times(weight));
                        *result = taps[start..end].iter().fold(T::ZERO, add);
                        start = end;
                    }
                }
            }
        }
        Ok(())
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for mode in [SampleMode::Nearest, SampleMode::Linear, SampleMode::Cubic] {
        for outside in [Outside::Zeros, Outside::Border, Outside::Reflection] {
            for align_corners in [false, true] {
                let op = GridSample { mode, outside, align_corners };
                let case = Case::new(format!("{mode:?}, {outside:?}, {align_corners}"), op);
                cases.push(case.value(&[2, 3, 4, 5], Fill::Spread).value(&[2, 3, 2, 2], Fill::Spread));
            }
        }
    }
    let op = GridSample { mode: SampleMode::Linear, outside: Outside::Zeros, align_corners: false };
    // More positions than one block.
    cases.push(Case::new("blocks", op).value(&[2, 2, 3, 4], Fill::Spread).value(&[2, 7, 83, 2], Fill::Spread));
    cases.push(Case::new("space", op).value(&[1, 2, 3, 4, 2], Fill::Spread).value(&[1, 2, 3, 1, 3], Fill::Spread));
    let corners = Tensor::new([1, 1, 4, 2], &[-1f32, -1.0, 1.0, -1.0, -1.0, 1.0, 1.0, 1.0]).expect("eight numbers");
    cases.push(Case::new("corners", op).value(&[1, 1, 3, 3], Fill::Spread).tensor(corners));
    cases.push(Case::new("empty", op).value(&[0, 1, 3, 3], Fill::Spread).value(&[0, 2, 2, 2], Fill::Spread));
    cases
}
