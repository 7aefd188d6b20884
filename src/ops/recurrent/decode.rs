//! `LSTM`, `GRU` and `RNN` as ONNX writes them.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    op::{OnnxNode, Operator},
    ops::recurrent::{Cell, Recurrent, StepFunction as F, Way},
};

pub(super) fn lstm(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let coupled = node.flag("input_forget", false)?;
    decode(node, Cell::Lstm { coupled })
}

/// `DynamicQuantizeLSTM`: weights of bytes.
pub(super) fn dynamic(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let coupled = node.flag("input_forget", false)?;
    let own = decoded(node, Cell::Lstm { coupled })?;
    let inputs = node.inputs();
    if let Some(index) = [1, 2, 8, 9, 10, 11].into_iter().find(|&index| inputs.constant(index).is_none()) {
        return Err(Error::unsupported(format!("operand {index} must be constant")));
    }
    Ok(Arc::new(Recurrent { bytes: true, ..own }))
}

pub(super) fn gru(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let linear_before_reset = node.flag("linear_before_reset", false)?;
    decode(node, Cell::Gru { linear_before_reset })
}

pub(super) fn rnn(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    decode(node, Cell::Rnn)
}

fn decode(node: &mut OnnxNode<'_>, cell: Cell) -> Result<Arc<dyn Operator>> {
    Ok(Arc::new(decoded(node, cell)?))
}

fn decoded(node: &mut OnnxNode<'_>, cell: Cell) -> Result<Recurrent> {
    // The weights give the size; the flag only said which results old files want.
    let (size, _) = (node.int("hidden_size")?, node.flag("output_sequence", true)?);
    let bytes = node.op_type() == "DynamicQuantizeLSTM";
    let weights = &node.inputs().required(2)?.shape;
    let axis = if bytes { 1 } else { 2 };
    if let (Some(size), Some(own)) = (size, weights.dims().get(axis).and_then(crate::shape::Dim::as_fixed))
        && size != own
    {
        return Err(Error::invalid_model(format!("`hidden_size` is {size}, the weights of the state have {own}")));
    }
    let way = match node.string("direction")?.as_deref() {
        None | Some("forward") => Way::Forward,
        Some("reverse") => Way::Reverse,
        Some("bidirectional") => Way::Both,
        Some(other) => return Err(Error::invalid_model(format!("`direction` is `{other}`"))),
    };
    let clip = node.float("clip")?.filter(|&clip| clip != 0.0);
    let batch_first = node.flag("layout", false)?;
    let standard = Recurrent::new(cell);
    let due = cell.functions() * way.count();
    let names = match node.strings("activations")? {
        Some(names) if names.len() != due => {
            return Err(Error::invalid_model(format!("`activations` {names:?}: expected {due}")));
        }
        Some(names) => names,
        None => Vec::new(),
    };
    let alphas = node.floats("activation_alpha")?.unwrap_or_default();
    let betas = node.floats("activation_beta")?.unwrap_or_default();
    let functions =
        if names.is_empty() { standard.functions.repeat(way.count()) } else { functions(&names, alphas, betas)? };
    Ok(Recurrent { cell, way, functions, clip, batch_first, bytes: false })
}

/// The functions of these names; each takes the next of `alphas` and `betas` if it has one.
fn functions(names: &[String], alphas: Vec<f32>, betas: Vec<f32>) -> Result<Vec<F>> {
    let (mut alphas, mut betas) = (alphas.into_iter(), betas.into_iter());
    let of = |name: &String| {
        let mut alpha = |standard: f32| alphas.next().unwrap_or(standard);
        let mut beta = |standard: f32| betas.next().unwrap_or(standard);
        Ok(match name.to_ascii_lowercase().as_str() {
            "affine" => F::Affine { alpha: alpha(1.0), beta: beta(0.0) },
            "elu" => F::Elu { alpha: alpha(1.0) },
            "hardsigmoid" => F::HardSigmoid { alpha: alpha(0.2), beta: beta(0.5) },
            "leakyrelu" => F::LeakyRelu { alpha: alpha(0.01) },
            "relu" => F::Relu,
            "scaledtanh" => F::ScaledTanh { alpha: alpha(1.0), beta: beta(1.0) },
            "sigmoid" => F::Sigmoid,
            "softplus" => F::Softplus,
            "softsign" => F::Softsign,
            "tanh" => F::Tanh,
            "thresholdedrelu" => F::ThresholdedRelu { alpha: alpha(1.0) },
            _ => return Err(Error::unsupported(format!("`activations` names `{name}`"))),
        })
    };
    names.iter().map(of).collect()
}
