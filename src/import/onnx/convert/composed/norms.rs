//! Norms and global pools of doubles, by sums and products.

use crate::{
    error::{Error, Result},
    graph::ValueId,
    import::onnx::convert::{
        call::Call,
        composed::{Composer, attributes, operand},
    },
    ops::{
        moves::reshape::Reshape,
        reduce::{Reduce, ReduceFunction},
    },
    shape::{Dim, Shape},
    tensor::DType,
};

/// The mean, or the largest, over axes that are kept with size 1.
fn reduced(own: &mut Composer<'_>, x: ValueId, function: ReduceFunction, axes: Vec<i64>) -> Result<ValueId> {
    let name = own.name;
    own.graph().apply(name, Reduce { function, axes: Some(axes), keep_dims: true }, &[x])
}

/// `x / sqrt(variance + epsilon)`
fn scaled_down(own: &mut Composer<'_>, x: ValueId, variance: ValueId, epsilon: f32) -> Result<ValueId> {
    let epsilon = own.number(epsilon, DType::F64)?;
    let sum = own.of("Add", &[variance, epsilon])?;
    let root = own.of("Sqrt", &[sum])?;
    own.of("Div", &[x, root])
}

/// `x` less its mean over axes, divided by its deviation there.
fn normalized(own: &mut Composer<'_>, x: ValueId, axes: Vec<i64>, epsilon: f32) -> Result<ValueId> {
    let mean = reduced(own, x, ReduceFunction::Mean, axes.clone())?;
    let apart = own.of("Sub", &[x, mean])?;
    let square = own.of("Mul", &[apart, apart])?;
    let variance = reduced(own, square, ReduceFunction::Mean, axes)?;
    scaled_down(own, apart, variance, epsilon)
}

/// `x * scale + bias`, whose shape must be that of `x`.
fn weighted(own: &mut Composer<'_>, x: ValueId, scale: ValueId, bias: Option<ValueId>) -> Result<ValueId> {
    let before = own.shape(x);
    let mut made = own.of("Mul", &[x, scale])?;
    if let Some(bias) = bias {
        made = own.of("Add", &[made, bias])?;
    }
    let after = own.shape(made);
    if after == before {
        return Ok(made);
    }
    own.same_shape(made, &before).map_err(|_| Error::invalid_model(format!("the weights make {after} of {before}")))
}

/// A value for each channel, along axis 1 of `rank` axes.
fn of_channels(own: &mut Composer<'_>, id: ValueId, rank: usize) -> Result<ValueId> {
    let shape = own.shape(id);
    let [channels] = shape.dims() else {
        return Err(Error::invalid_model(format!("a weight {shape}, expected one for each channel")));
    };
    let along: Shape = (0..rank).map(|axis| if axis == 1 { channels.clone() } else { Dim::from(1) }).collect();
    let name = own.name;
    own.graph().apply(name, Reshape::to(&along), &[id])
}

fn epsilon_of(call: &Call<'_>) -> Result<f32> {
    attributes(call, |node| {
        // The statistics in training; the type of statistics that are no results.
        let _ = (node.float("momentum")?, node.int("training_mode")?, node.int("is_test")?);
        Ok(node.float("epsilon")?.unwrap_or(1e-5))
    })
}

pub(super) fn layer(own: &mut Composer<'_>, call: &Call<'_>) -> Result<Vec<ValueId>> {
    let (axis, epsilon) = attributes(call, |node| {
        node.int("stash_type")?;
        Ok((node.int("axis")?.unwrap_or(-1), node.float("epsilon")?.unwrap_or(1e-5)))
    })?;
    let (x, scale) = (operand(call, 0)?, operand(call, 1)?);
    let shape = own.shape(x);
    let axes: Vec<i64> = (shape.axis(axis)? as i64..shape.rank() as i64).collect();
    let normal = if call.op_type == "RMSNormalization" {
        let square = own.of("Mul", &[x, x])?;
        let mean = reduced(own, square, ReduceFunction::Mean, axes)?;
        scaled_down(own, x, mean, epsilon)?
    } else {
        normalized(own, x, axes, epsilon)?
    };
    Ok(vec![weighted(own, normal, scale, call.inputs.get(2).copied().flatten())?])
}

pub(super) fn instance(own: &mut Composer<'_>, call: &Call<'_>) -> Result<Vec<ValueId>> {
    let (epsilon, x) = (epsilon_of(call)?, operand(call, 0)?);
    let rank = own.shape(x).rank();
    let normal = normalized(own, x, (2..rank as i64).collect(), epsilon)?;
    let (scale, bias) = (of_channels(own, operand(call, 1)?, rank)?, of_channels(own, operand(call, 2)?, rank)?);
    Ok(vec![weighted(own, normal, scale, Some(bias))?])
}

pub(super) fn group(own: &mut Composer<'_>, call: &Call<'_>) -> Result<Vec<ValueId>> {
    let (groups, epsilon) = attributes(call, |node| {
        node.int("stash_type")?;
        let groups = node.int("num_groups")?.filter(|&groups| groups > 0);
        let groups = groups.ok_or_else(|| Error::invalid_model("`num_groups` is missing or not positive"))?;
        Ok((groups, node.float("epsilon")?.unwrap_or(1e-5)))
    })?;
    let (x, scale, bias) = (operand(call, 0)?, operand(call, 1)?, operand(call, 2)?);
    let (shape, name) = (own.shape(x), own.name);
    let parts = Reshape { shape: [0, groups, -1].map(Dim::number).to_vec(), zero_copies: true };
    let parts = own.graph().apply(name, parts, &[x])?;
    let normal = normalized(own, parts, vec![2], epsilon)?;
    let whole = Reshape::to(&shape);
    // Up to opset 20 there is a weight for each group.
    if call.opset < 21 {
        let (scale, bias) = (of_channels(own, scale, 3)?, of_channels(own, bias, 3)?);
        let made = weighted(own, normal, scale, Some(bias))?;
        return Ok(vec![own.graph().apply(name, whole, &[made])?]);
    }
    let normal = own.graph().apply(name, whole, &[normal])?;
    let (scale, bias) = (of_channels(own, scale, shape.rank())?, of_channels(own, bias, shape.rank())?);
    Ok(vec![weighted(own, normal, scale, Some(bias))?])
}

pub(super) fn batch(own: &mut Composer<'_>, call: &Call<'_>) -> Result<Vec<ValueId>> {
    let (epsilon, x) = (epsilon_of(call)?, operand(call, 0)?);
    let rank = own.shape(x).rank();
    let mut weights = Vec::new();
    for index in 1..5 {
        weights.push(of_channels(own, operand(call, index)?, rank)?);
    }
    let apart = own.of("Sub", &[x, weights[2]])?;
    let normal = scaled_down(own, apart, weights[3], epsilon)?;
    Ok(vec![weighted(own, normal, weights[0], Some(weights[1]))?])
}

pub(super) fn global_pool(own: &mut Composer<'_>, call: &Call<'_>) -> Result<Vec<ValueId>> {
    attributes(call, |_| Ok(()))?;
    let x = operand(call, 0)?;
    let rank = own.shape(x).rank();
    if rank < 3 {
        return Err(Error::invalid_model("a pool of fewer than three axes"));
    }
    let function = if call.op_type == "GlobalMaxPool" { ReduceFunction::Max } else { ReduceFunction::Mean };
    Ok(vec![reduced(own, x, function, (2..rank as i64).collect())?])
}
