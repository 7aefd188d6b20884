//! `BatchNormalization` in training mode: by the statistics of the batch itself.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::{Graph, ValueId},
    import::onnx::convert::call::Call,
    op::{Attribute, Operator},
    ops::{
        moves::reshape::Reshape,
        pointwise::{Binary, BinaryFunction, Unary, UnaryFunction},
        reduce::{Reduce, ReduceFunction},
    },
    shape::{Dim, Shape},
    tensor::Tensor,
};

/// Whether the node normalizes by the statistics of the batch.
///
/// From opset 14 on an attribute says so; before, the number of results does, used or not, and up to
/// opset 6 the attribute `is_test` too.
pub(super) fn trains(call: &Call<'_>) -> bool {
    let flag =
        |name: &str| call.attributes.iter().any(|(own, value)| own == name && matches!(value, Attribute::Int(1)));
    (call.domain, call.op_type) == ("", "BatchNormalization")
        && match call.opset {
            ..7 => !flag("is_test"),
            7..14 => call.named > 1,
            _ => flag("training_mode"),
        }
}

/// The first opset whose training mode says which statistics are results.
const WITH_STATISTICS: i64 = 14;

/// The normalized batch, and the running statistics if they are asked for.
pub(super) fn of_batch(graph: &mut Graph, call: &Call<'_>) -> Result<Vec<ValueId>> {
    if call.outputs > 1 && call.opset < WITH_STATISTICS {
        return Err(Error::unsupported("the statistics of BatchNormalization in training as results, before opset 14"));
    }
    let (mut epsilon, mut momentum) = (1e-5, 0.9);
    for (name, value) in &call.attributes {
        match (name.as_str(), value) {
            ("epsilon", Attribute::Float(value)) => epsilon = *value,
            ("momentum", Attribute::Float(value)) => momentum = *value,
            // `spatial` is 1 by default.
            ("training_mode" | "is_test", Attribute::Int(_)) | ("spatial", Attribute::Int(1)) => {}
            _ => return Err(Error::unsupported(format!("attribute `{name}` of BatchNormalization in training"))),
        }
    }
    let &[Some(x), Some(scale), Some(bias), ..] = call.inputs.as_slice() else {
        return Err(Error::invalid_model("the scale or the bias is missing"));
    };
    let rank = graph.fact(x).shape.rank();
    let channels = graph.fact(x).shape.dims().get(1).cloned();
    let channels = channels.ok_or_else(|| Error::invalid_model("an operand without channels"))?;
    let mut node = |op: Arc<dyn Operator>, inputs: &[ValueId]| -> Result<ValueId> {
        Ok(graph.node(call.name, op, inputs.iter().copied().map(Some).collect())?[0])
    };
    let axes: Vec<i64> = (0..rank as i64).filter(|&axis| axis != 1).collect();
    let mean_of = Reduce { function: ReduceFunction::Mean, axes: Some(axes), keep_dims: true };
    let binary = |function| Arc::new(Binary { function });
    let mean = node(Arc::new(mean_of.clone()), &[x])?;
    let apart = node(binary(BinaryFunction::Sub), &[x, mean])?;
    let square = node(binary(BinaryFunction::Mul), &[apart, apart])?;
    let variance = node(Arc::new(mean_of), &[square])?;
    let per_channel: Shape = (0..rank).map(|axis| if axis == 1 { channels.clone() } else { Dim::from(1) }).collect();
    let [scale, bias] = [scale, bias].map(|id| node(Arc::new(Reshape::to(&per_channel)), &[id]));
    let epsilon = graph.constant("epsilon", Tensor::scalar(epsilon));
    let mut node = |op: Arc<dyn Operator>, inputs: &[ValueId]| -> Result<ValueId> {
        Ok(graph.node(call.name, op, inputs.iter().copied().map(Some).collect())?[0])
    };
    let sum = node(binary(BinaryFunction::Add), &[variance, epsilon])?;
    let root = node(Arc::new(Unary { function: UnaryFunction::Sqrt }), &[sum])?;
    let normal = node(binary(BinaryFunction::Div), &[apart, root])?;
    let scaled = node(binary(BinaryFunction::Mul), &[normal, scale?])?;
    let mut made = vec![node(binary(BinaryFunction::Add), &[scaled, bias?])?];
    if call.outputs > 1 {
        let &[_, _, _, Some(old_mean), Some(old_variance), ..] = call.inputs.as_slice() else {
            return Err(Error::invalid_model("the running statistics are missing"));
        };
        for (old, new) in [(old_mean, mean), (old_variance, variance)] {
            made.push(running(graph, call.name, momentum, old, new, &channels)?);
        }
    }
    Ok(made)
}

/// A statistic of all batches, from the one before and that of the batch.
fn running(
    graph: &mut Graph,
    name: &str,
    momentum: f32,
    old: ValueId,
    new: ValueId,
    channels: &Dim,
) -> Result<ValueId> {
    let new = graph.apply(name, Reshape::to(&Shape::new(vec![channels.clone()])), &[new])?;
    let mut part = |id: ValueId, factor: f32| {
        let factor = graph.constant("momentum", Tensor::scalar(factor));
        graph.apply(name, Binary { function: BinaryFunction::Mul }, &[id, factor])
    };
    let (old, new) = (part(old, momentum)?, part(new, 1.0 - momentum)?);
    graph.apply(name, Binary { function: BinaryFunction::Add }, &[old, new])
}
