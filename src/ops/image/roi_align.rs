//! `RoiAlign`: regions of images, sampled to one size.

mod cases;

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, CpuState, GpuState, Inputs, Io, OnnxNode, OpDef, Operator, function_kernel},
    ops::wide,
    shape::{Dim, Shape},
    tensor::DType,
};

/// The regions `[count, 4]` of `[batch, channels, height, width]`, each of the image that operand 2
/// tells, as `[count, channels, rows, columns]`.
///
/// A region is its left, upper, right and lower edge. Each of its cells is read at a grid of points
/// between pixels; points past the image count as zeros.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoiAlign {
    /// The result's rows.
    pub rows: usize,
    /// The result's columns.
    pub columns: usize,
    /// The points along each side of a cell; 0 for as many as there are pixels.
    pub sampling: usize,
    /// The factor of the edges.
    pub scale: f32,
    /// Whether edges are shifted by half a pixel; regions are otherwise at least of one pixel.
    pub half_pixel: bool,
    /// Whether a cell is the largest of its points' weighted pixels, otherwise the points' mean.
    pub max: bool,
}

/// The most points of a cell, so that no region takes forever.
const MOST_POINTS: f64 = (1 << 20) as f64;

pub(crate) static DEF: OpDef = OpDef {
    name: "RoiAlign",
    onnx: Some(decode),
    cases: cases::cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(|request| function_kernel::<RoiAlign>(request, run)),
    gpu: GpuState::Host("no shader yet"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let max = match node.string("mode")?.as_deref() {
        None | Some("avg") => false,
        Some("max") => true,
        Some(other) => return Err(Error::invalid_model(format!("`mode` is `{other}`"))),
    };
    let half_pixel = match node.string("coordinate_transformation_mode")?.as_deref() {
        None => node.opset() >= 16,
        Some("half_pixel") => true,
        Some("output_half_pixel") => false,
        Some(other) => return Err(Error::invalid_model(format!("`coordinate_transformation_mode` is `{other}`"))),
    };
    let mut size = |name: &str, default: i64, least: i64| {
        let size = node.int(name)?.unwrap_or(default);
        let fits = (least..1 << 31).contains(&size).then_some(size as usize);
        fits.ok_or_else(|| Error::invalid_model(format!("`{name}` is {size}, expected at least {least}")))
    };
    let (rows, columns) = (size("output_height", 1, 1)?, size("output_width", 1, 1)?);
    let sampling = size("sampling_ratio", 0, 0)?;
    let scale = node.float("spatial_scale")?.unwrap_or(1.0);
    Ok(Arc::new(RoiAlign { rows, columns, sampling, scale, half_pixel, max }))
}

impl Operator for RoiAlign {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(3, 3)?;
        let (x, regions, images) = (inputs.required(0)?, inputs.required(1)?, inputs.required(2)?);
        if !matches!(x.dtype, DType::F32 | DType::F64) {
            return Err(Error::unsupported(format!("regions of {x}; only f32 and f64 are")));
        }
        let misfit = || Error::invalid_model(format!("the regions {regions} of {x} by {images}"));
        let ([_, channels, _, _], [count, four], [own]) = (x.shape.dims(), regions.shape.dims(), images.shape.dims())
        else {
            return Err(misfit());
        };
        if four.as_fixed() != Some(4) || regions.dtype != x.dtype || images.dtype != DType::I64 {
            return Err(misfit());
        }
        let count = inputs.equal("the images of regions", count, own).map_err(|_| misfit())?;
        let dims = [count, channels.clone(), Dim::from(self.rows), Dim::from(self.columns)];
        Ok(vec![Fact::new(x.dtype, Shape::new(dims))])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        match (axes[0], axes[1], axes[2]) {
            (None, Some(0), Some(0)) => Some(vec![Some(0)]),
            (Some(1), None, None) => Some(vec![Some(1)]),
            _ => None,
        }
    }
}

/// The pixels around a point and their weights.
type Corners = [(usize, f64); 4];

impl RoiAlign {
    /// The cells of one region along an axis, and the points of each.
    ///
    /// Computed in the element type, as a rounding may add or drop a point.
    fn points(&self, low: f64, high: f64, cells: usize, rounded: impl Fn(f64) -> f64) -> Result<(usize, Vec<f64>)> {
        let offset = if self.half_pixel { 0.5 } else { 0.0 };
        let edge = |at: f64| rounded(rounded(at * f64::from(self.scale)) - offset);
        let (start, end) = (edge(low), edge(high));
        let mut length = rounded(end - start);
        if !self.half_pixel {
            length = length.max(1.0);
        }
        let cell = rounded(length / cells as f64);
        let count = if self.sampling > 0 { self.sampling as f64 } else { cell.ceil().max(0.0) };
        if count.is_nan() || count > MOST_POINTS {
            return Err(Error::invalid_input(format!(
                "a region from {low} to {high} is read at {count} points a cell"
            )));
        }
        let each = (0..cells).flat_map(|at| (0..count as usize).map(move |point| (at, point)));
        let place = |(at, point): (usize, usize)| {
            let within = rounded(rounded((point as f64 + 0.5) * cell) / count);
            rounded(rounded(start + rounded(at as f64 * cell)) + within)
        };
        Ok((count as usize, each.map(place).collect()))
    }
}

/// The two pixels around a place along an axis, and the weight of the second; `None` outside.
fn neighbours(place: f64, size: usize) -> Option<(usize, usize, f64)> {
    if place.is_nan() || place < -1.0 || place > size as f64 {
        return None;
    }
    let place = place.max(0.0);
    let first = place as usize;
    match first + 1 < size {
        true => Some((first, first + 1, place - first as f64)),
        false => Some((size.checked_sub(1)?, size - 1, 0.0)),
    }
}

fn run(op: &RoiAlign, io: &mut Io<'_>) -> Result<()> {
    let (x, regions, images) = (io.input(0)?, io.input(1)?, io.input(2)?.slice::<i64>()?);
    let &[batch, channels, height, width] = x.shape else { return Err(Error::internal("images have four axes")) };
    let rounded = |number: f64| if x.dtype == DType::F64 { number } else { f64::from(number as f32) };
    let (numbers, regions) = (wide::read(x)?, wide::read(regions)?);
    let mut results = Vec::new();
    for (region, &image) in regions.chunks_exact(4).zip(images) {
        let image = usize::try_from(image)
            .ok()
            .filter(|&image| image < batch)
            .ok_or_else(|| Error::invalid_input(format!("a region of image {image}, where there are {batch}")))?;
        let (columns, across) = op.points(region[0], region[2], op.columns, rounded)?;
        let (rows, down) = op.points(region[1], region[3], op.rows, rounded)?;
        if rows as f64 * columns as f64 > MOST_POINTS {
            return Err(Error::invalid_input(format!(
                "the region {region:?} is read at {rows}x{columns} points a cell"
            )));
        }
        let corners = |y: f64, x: f64| -> Option<Corners> {
            let ((top, bottom, y), (left, right, x)) = (neighbours(y, height)?, neighbours(x, width)?);
            Some([
                (top * width + left, (1.0 - y) * (1.0 - x)),
                (top * width + right, (1.0 - y) * x),
                (bottom * width + left, y * (1.0 - x)),
                (bottom * width + right, y * x),
            ])
        };
        for channel in 0..channels {
            let plane = &numbers[(image * channels + channel) * height * width..][..height * width];
            for cell in 0..op.rows * op.columns {
                let (row, column) = (cell / op.columns, cell % op.columns);
                let points = down[row * rows..][..rows]
                    .iter()
                    .flat_map(|&y| across[column * columns..][..columns].iter().map(move |&x| (y, x)));
                let weighted = points.map(|(y, x)| {
                    corners(y, x).map_or([0.0; 4], |corners| corners.map(|(at, weight)| weight * plane[at]))
                });
                results.push(match op.max {
                    true => weighted.flatten().reduce(f64::max).unwrap_or(0.0),
                    false => weighted.flatten().sum::<f64>() / (rows * columns).max(1) as f64,
                });
            }
        }
    }
    wide::write(io.output(0)?, &results)
}
