//! `Resize` and `Upsample` as ONNX writes them.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    op::{OnnxNode, Operator},
    ops::image::resize::{Aspect, Change, Coordinates, Mode, Nearest, Resize},
    shape::{Dim, Shape, normalize_axis},
    tensor::Tensor,
};

pub(super) fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let shape = node.inputs().required(0)?.shape.clone();
    let old = node.opset() < 11;
    let axes: Vec<usize> = match node.ints("axes")? {
        Some(axes) => axes.iter().map(|&axis| normalize_axis(axis, shape.rank())).collect::<Result<_>>()?,
        None => (0..shape.rank()).collect(),
    };
    let coordinates = match node.string("coordinate_transformation_mode")?.as_deref() {
        None if old => Coordinates::Asymmetric,
        None | Some("half_pixel") => Coordinates::HalfPixel,
        Some("half_pixel_symmetric") => Coordinates::HalfPixelSymmetric,
        Some("pytorch_half_pixel") => Coordinates::HalfPixelUnlessOne,
        Some("align_corners") => Coordinates::AlignCorners,
        Some("asymmetric") => Coordinates::Asymmetric,
        Some("tf_half_pixel_for_nn") => Coordinates::HalfPixelForNearest,
        Some("tf_crop_and_resize") => Coordinates::Crop,
        Some(other) => return Err(unknown("coordinate_transformation_mode", other)),
    };
    let coefficient = node.float("cubic_coeff_a")?.unwrap_or(-0.75);
    let mode = mode(node, coefficient)?;
    let nearest = match node.string("nearest_mode")?.as_deref() {
        None if old => Nearest::ByScale,
        None | Some("round_prefer_floor") => Nearest::RoundDown,
        Some("round_prefer_ceil") => Nearest::RoundUp,
        Some("floor") => Nearest::Floor,
        Some("ceil") => Nearest::Ceil,
        Some(other) => return Err(unknown("nearest_mode", other)),
    };
    let aspect = match node.string("keep_aspect_ratio_policy")?.as_deref() {
        None | Some("stretch") => Aspect::Stretch,
        Some("not_larger") => Aspect::NotLarger,
        Some("not_smaller") => Aspect::NotSmaller,
        Some(other) => return Err(unknown("keep_aspect_ratio_policy", other)),
    };
    let antialias = node.flag("antialias", false)?;
    let exclude_outside = node.flag("exclude_outside", false)?;
    let outside = node.float("extrapolation_value")?.unwrap_or(0.0);
    let changes = if old {
        let scales = node.take_constant(1)?;
        changes(&shape, &axes, scales.as_deref(), None)?
    } else {
        // Files of opset 11 give an empty tensor for what is absent.
        let sizes = node.take_integers(3)?.filter(|sizes| !sizes.is_empty());
        let scales = if sizes.is_some() { None } else { node.take_constant(2)?.filter(|scales| !scales.is_empty()) };
        node.drop_inputs(if coordinates == Coordinates::Crop { 2 } else { 1 });
        changes(&shape, &axes, scales.as_deref(), sizes.as_deref())?
    };
    let region = if coordinates == Coordinates::Crop { axes } else { Vec::new() };
    let aspect = if changes.iter().any(|change| matches!(change, Change::Size(_))) { aspect } else { Aspect::Stretch };
    // Opset 19 tells fractional lengths from whole ones, and ONNX's reference takes them; the text before has whole ones.
    let whole_lengths = node.opset() < 19;
    Ok(Arc::new(Resize {
        mode,
        nearest,
        coordinates,
        changes,
        aspect,
        antialias,
        exclude_outside,
        outside,
        region,
        whole_lengths,
    }))
}

pub(crate) fn decode_upsample(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let shape = node.inputs().required(0)?.shape.clone();
    let mode = mode(node, -0.75)?;
    let scales = match node.floats("scales")? {
        Some(scales) => Some(Arc::new(Tensor::new([scales.len()], &scales)?)),
        None => match (node.float("height_scale")?, node.float("width_scale")?) {
            (Some(height), Some(width)) => Some(Arc::new(Tensor::new([4], &[1.0, 1.0, height, width])?)),
            _ => node.take_constant(1)?,
        },
    };
    let axes: Vec<usize> = (0..shape.rank()).collect();
    let changes = changes(&shape, &axes, scales.as_deref(), None)?;
    let coordinates = Coordinates::Asymmetric;
    Ok(Arc::new(Resize { coordinates, nearest: Nearest::Floor, ..Resize::new(mode, changes) }))
}

fn unknown(name: &str, value: &str) -> Error {
    Error::unsupported(format!("`{name}` is `{value}`"))
}

fn mode(node: &mut OnnxNode<'_>, coefficient: f32) -> Result<Mode> {
    match node.string("mode")?.as_deref() {
        None | Some("nearest") => Ok(Mode::Nearest),
        Some("linear" | "bilinear") => Ok(Mode::Linear),
        Some("cubic") => Ok(Mode::Cubic { coefficient }),
        Some(other) => Err(unknown("mode", other)),
    }
}

/// The change of every axis; of those not in `axes`, none.
fn changes(shape: &Shape, axes: &[usize], scales: Option<&Tensor>, sizes: Option<&[Dim]>) -> Result<Vec<Change>> {
    let mut changes = vec![Change::Keep; shape.rank()];
    let count = match (scales, sizes) {
        (Some(scales), None) => {
            let scales = scales.as_slice::<f32>()?;
            for (&axis, &scale) in axes.iter().zip(scales) {
                changes[axis] = if scale == 1.0 { Change::Keep } else { Change::Scale(scale) };
            }
            scales.len()
        }
        (None, Some(sizes)) => {
            for (&axis, size) in axes.iter().zip(sizes) {
                changes[axis] = Change::Size(size.clone());
            }
            sizes.len()
        }
        _ => return Err(Error::invalid_model("neither `scales` nor `sizes` is given")),
    };
    if count == axes.len() {
        return Ok(changes);
    }
    Err(Error::invalid_model(format!("{count} scales or sizes for axes {axes:?}")))
}
