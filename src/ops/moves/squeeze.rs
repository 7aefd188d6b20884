//! Decoders of ONNX's `Squeeze`, `Unsqueeze` and `Flatten`: each is a [`Reshape`].

use std::sync::Arc;

use crate::{
    error::{Context, Error, Result},
    op::{OnnxNode, Operator},
    ops::{moves::reshape::Reshape, tokens},
    shape::{Condition, Dim, Shape, normalize_axis},
};

pub(crate) fn decode_squeeze(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let axes = axes(node)?;
    let input = node.inputs().required(0)?.shape.clone();
    let one = Dim::from(1);
    let dropped: Vec<usize> = match axes {
        Some(axes) => axes.into_iter().map(|axis| input.axis(axis)).collect::<Result<_>>()?,
        None => {
            // The result's number of dimensions must not depend on the run.
            if let Some(axis) = (0..input.rank()).find(|&axis| input[axis].as_fixed().is_none()) {
                return Err(Error::unsupported(format!(
                    "without `axes`, axis {axis} of {input} goes in the runs in which it is 1; its size must be known \
                     when the model is read (`ImportOptions::input_shape`)"
                )));
            }
            (0..input.rank()).filter(|&axis| input[axis] == one).collect()
        }
    };
    for &axis in &dropped {
        node.assume(Condition::equal("an axis that is dropped", &input[axis], &one))
            .context(|| format!("axis {axis}"))?;
    }
    let kept = (0..input.rank()).filter(|axis| !dropped.contains(axis)).map(|axis| input[axis].clone());
    reshape(&input, kept.collect())
}

pub(crate) fn decode_unsqueeze(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let axes = axes(node)?.ok_or_else(|| Error::invalid_model("`axes` is missing"))?;
    let input = node.inputs().required(0)?.shape.clone();
    let rank = input.rank() + axes.len();
    let mut added = axes.into_iter().map(|axis| normalize_axis(axis, rank)).collect::<Result<Vec<_>>>()?;
    added.sort_unstable();
    if let Some(pair) = added.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::invalid_model(format!("axis {} is added twice", pair[0])));
    }
    let mut own = input.dims().iter();
    let dims = (0..rank).map(|axis| match added.contains(&axis) {
        true => Dim::from(1),
        false => own.next().cloned().unwrap_or_else(|| Dim::from(1)),
    });
    reshape(&input, dims.collect())
}

pub(crate) fn decode_flatten(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let axis = node.int("axis")?.unwrap_or(1);
    let input = node.inputs().required(0)?.shape.clone();
    if axis == input.rank() as i64 {
        tokens::refuse(node)?;
    }
    // The rank itself is a valid axis here: all dimensions become the first one.
    let axis = if axis == input.rank() as i64 { input.rank() } else { input.axis(axis)? };
    let part = |dims: &[Dim]| Shape::new(dims).elements();
    let (before, behind) = input.dims().split_at(axis);
    reshape(&input, vec![part(before), part(behind)])
}

/// The axes: an attribute up to opset 12, an operand from then on.
fn axes(node: &mut OnnxNode<'_>) -> Result<Option<Vec<i64>>> {
    match node.ints("axes")? {
        Some(axes) => Ok(Some(axes)),
        None => node.take_numbers(1),
    }
}

/// A reshape to `dims` that depends as little as possible on the input's sizes.
///
/// It stays valid when they change: leading dimensions are copied, and one further is inferred.
fn reshape(input: &Shape, mut dims: Vec<Dim>) -> Result<Arc<dyn Operator>> {
    let exact = Reshape { shape: dims.clone(), zero_copies: false };
    // A symbolic size that is dropped must not become part of an inferred one.
    if dims.iter().any(|dim| dim.as_fixed() == Some(0)) || Shape::new(dims.clone()).elements() != input.elements() {
        return Ok(Arc::new(exact));
    }
    let kept = dims.iter().zip(input.dims()).take_while(|(new, old)| new == old).count();
    dims[..kept].fill(Dim::from(0));
    let left = &dims[kept..];
    let is_open = |dim: &Dim| dim.as_fixed() == Some(-1);
    let symbolic = left.iter().position(is_open).or_else(|| left.iter().position(|dim| dim.as_fixed().is_none()));
    let open = symbolic.or_else(|| left.iter().position(|dim| dim.as_fixed() != Some(1)));
    if let Some(axis) = open {
        dims[kept + axis] = Dim::number(-1);
    }
    if dims.iter().any(|dim| dim.as_fixed().is_none()) {
        // It may be 0 in a run, which would copy another dimension.
        return Ok(Arc::new(exact));
    }
    Ok(Arc::new(Reshape { shape: dims, zero_copies: true }))
}
