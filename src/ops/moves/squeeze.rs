//! Decoders of ONNX's `Squeeze`, `Unsqueeze` and `Flatten`: each is a [`Reshape`].

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    op::{OnnxNode, Operator},
    ops::{moves::reshape::Reshape, tokens},
    shape::{Dim, Shape, normalize_axis},
};

pub(crate) fn decode_squeeze(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let axes = axes(node)?;
    let input = node.inputs().required(0)?.shape.clone();
    let dropped: Vec<usize> = match axes {
        Some(axes) => axes.into_iter().map(|axis| input.axis(axis)).collect::<Result<_>>()?,
        None => (0..input.rank()).filter(|&axis| input[axis].as_fixed() == Some(1)).collect(),
    };
    if let Some(&axis) = dropped.iter().find(|&&axis| input[axis].as_fixed().is_some_and(|size| size != 1)) {
        return Err(Error::invalid_model(format!("axis {axis} of {input} is not 1 and cannot be dropped")));
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
    if dims.iter().any(|dim| dim.as_fixed() == Some(0)) {
        return Ok(Arc::new(Reshape { shape: dims, zero_copies: false }));
    }
    // A dropped symbolic size is 1 or multiplies another dimension, as each run shows.
    if Shape::new(dims.clone()).elements() != input.elements() {
        let last =
            dims.last_mut().ok_or_else(|| Error::unsupported(format!("{input} may have more than one element")))?;
        *last = Dim::number(-1);
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
    Ok(Arc::new(Reshape { shape: dims, zero_copies: true }))
}
