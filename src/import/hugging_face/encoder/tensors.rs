//! The tensors of an encoder.

use std::ops::Range;

use crate::{
    error::Result,
    import::hugging_face::{
        config::Disentangled,
        encoder::adapter::{Adapter, Table},
        problems::Problems,
        weights::{Found, Weights},
    },
};

/// The tensors of an encoder.
#[derive(Debug)]
pub(crate) struct Tensors {
    /// Absent where images take their place.
    pub(super) words: Option<Table>,
    pub(super) patches: Option<PatchTensors>,
    pub(super) positions: Option<Found>,
    pub(super) token_types: Option<Table>,
    /// The first row is added to every word's vector.
    pub(super) task_types: Option<Found>,
    pub(super) norm: Option<Norm>,
    pub(super) projection: Option<Affine>,
    /// `[buckets, heads]` if all layers share it, or `[positions, hidden]` with a norm.
    pub(super) relative: Option<Found>,
    pub(super) relative_norm: Option<Norm>,
    /// The layers that have weights of their own.
    pub(super) layers: Vec<Layer>,
    pub(super) final_norm: Option<Norm>,
    /// The convolution beside the first layer.
    pub(super) convolution: Option<ConvolutionTensors>,
    pub(super) decoder: Option<Box<Tensors>>,
}

/// A convolution along the tokens, and the norm of its result and the layer's.
#[derive(Debug)]
pub(super) struct ConvolutionTensors {
    /// `[hidden, hidden / groups, kernel]`
    pub(super) weight: Found,
    pub(super) bias: Found,
    pub(super) norm: Norm,
}

/// What makes rows of an image's patches.
#[cfg_attr(not(feature = "vision"), expect(dead_code, reason = "read by encoders of images"))]
#[derive(Debug)]
pub(super) struct PatchTensors {
    /// `[hidden, colours, height, width]`
    pub(super) weight: Found,
    pub(super) bias: Option<Found>,
    /// The row in front.
    pub(super) class: Option<Found>,
    /// The rows behind it, `[1, rows, hidden]`.
    pub(super) registers: Option<Found>,
}

/// The tensors of one transformer layer.
#[derive(Debug)]
pub(super) struct Layer {
    /// Queries, keys and values.
    pub(super) qkv: Vec<Affine>,
    /// The products that make keys and queries of relative positions.
    pub(super) position_parts: [Option<Affine>; 2],
    /// `[buckets, heads]`, where each layer has its own.
    pub(super) relative: Option<Found>,
    pub(super) attention: Affine,
    /// Absent where the embeddings' norm serves the first layer too.
    pub(super) attention_norm: Option<Norm>,
    pub(super) attention_result_norm: Option<Norm>,
    pub(super) head_norms: Option<[Found; 2]>,
    /// The norms of all queries and of all keys of a token.
    pub(super) wide_norms: Option<[Norm; 2]>,
    /// The norm of the first half's result and its input, behind that of the attention.
    pub(super) second_norm: Option<Norm>,
    /// The attention to the encoder's results, in a decoder.
    pub(super) cross: Option<Box<Cross>>,
    /// The activated product, and the one it is multiplied by; absent where experts stand in their place.
    pub(super) up: Option<Affine>,
    pub(super) gate: Option<Affine>,
    pub(super) down: Option<Affine>,
    pub(super) experts: Option<ExpertTensors>,
    pub(super) norm: Norm,
    pub(super) result_norm: Option<Norm>,
}

/// The attention of a decoder's layer to the encoder's results.
#[derive(Debug)]
pub(super) struct Cross {
    pub(super) query: Affine,
    /// Keys and values.
    pub(super) memory: Vec<Affine>,
    pub(super) attention: Affine,
    /// Behind it, or in front of the queries.
    pub(super) norm: Norm,
}

impl Layer {
    /// The products that make keys and queries of relative positions.
    pub(super) fn position_parts(&self, disentangled: Disentangled) -> [Option<&Affine>; 2] {
        match disentangled.shared {
            true => [disentangled.to_keys.then(|| &self.qkv[1]), disentangled.to_queries.then(|| &self.qkv[0])],
            false => self.position_parts.each_ref().map(Option::as_ref),
        }
    }
}

/// A mixture of experts.
#[derive(Debug)]
pub(super) struct ExpertTensors {
    /// `[experts, hidden]`
    pub(super) router: Affine,
    /// Each `[experts intermediate, hidden]`.
    pub(super) up: Found,
    pub(super) down: Found,
    /// `[hidden]`
    pub(super) bias: Found,
}

/// A linear layer: rows of a weight `[out, in]`, and a bias `[out]`.
#[derive(Debug)]
pub(in crate::import::hugging_face) struct Affine {
    pub(super) weight: Found,
    /// The rows of the weight that are the layer's.
    pub(super) rows: Range<usize>,
    pub(super) bias: Option<Found>,
    /// The numbers of the bias that are the layer's.
    pub(super) bias_rows: Range<usize>,
    /// What it is multiplied by when it is read.
    pub(super) factors: Option<Box<Factors>>,
}

/// What a linear layer is multiplied by when it is read.
#[derive(Clone, Debug)]
pub(super) struct Factors {
    /// Of the weight, and of the bias.
    pub(super) whole: [f32; 2],
    /// Of each column of the result.
    pub(super) columns: Option<Found>,
    /// What is added to the weight.
    pub(super) adapter: Option<Adapter>,
}

impl Factors {
    /// Multiplies a weight `[depth, columns]`, or with `bias` a bias `[columns]`.
    pub(super) fn apply(&self, weights: &Weights, values: &mut [f32], bias: bool) -> Result<()> {
        if let Some(adapter) = self.adapter.as_ref().filter(|_| !bias) {
            adapter.add(weights, values)?;
        }
        let whole = self.whole[usize::from(bias)];
        if whole != 1.0 {
            values.iter_mut().for_each(|value| *value *= whole);
        }
        if let Some(columns) = &self.columns {
            let columns = weights.plain(columns)?;
            let columns = columns.as_slice::<f32>()?;
            for row in values.chunks_exact_mut(columns.len().max(1)) {
                row.iter_mut().zip(columns).for_each(|(value, factor)| *value *= factor);
            }
        }
        Ok(())
    }
}

impl Affine {
    /// Finds a layer by the first of `names` that exists, which are those of its weight.
    pub(in crate::import::hugging_face) fn find(
        weights: &Weights,
        names: &[String],
        (inputs, outputs): (usize, usize),
        bias: bool,
        problems: &mut Problems,
    ) -> Self {
        let weight = weights.find(names, &[outputs, inputs], problems);
        let layer = weight.name().strip_suffix("weight").unwrap_or_default();
        let bias = bias.then(|| weights.find(&[format!("{layer}bias")], &[outputs], problems));
        Self { weight, rows: 0..outputs, bias, bias_rows: 0..outputs, factors: None }
    }

    /// Finds the layer whose weight has this name, of as many columns as the file gives it.
    pub(in crate::import::hugging_face) fn find_of_any_width(
        weights: &Weights,
        name: &str,
        inputs: usize,
        bias: bool,
        problems: &mut Problems,
    ) -> Self {
        let outputs = weights.shape(name).and_then(|shape| shape.first()).copied().unwrap_or(1);
        Self::find(weights, &[name.to_owned()], (inputs, outputs), bias, problems)
    }

    /// A layer of these tensors.
    pub(in crate::import::hugging_face) fn of(weight: Found, bias: Option<Found>) -> Self {
        let rows = 0..weight.shape()[0];
        Self { rows: rows.clone(), weight, bias, bias_rows: rows, factors: None }
    }

    /// The columns of its result.
    pub(in crate::import::hugging_face) fn columns(&self) -> usize {
        self.rows.len()
    }

    /// Whether the layer is all of its weight, as it is.
    pub(super) fn is_whole(&self) -> bool {
        self.rows == (0..self.weight.shape()[0]) && self.factors.is_none()
    }
}

/// A norm: scale and bias.
#[derive(Debug)]
pub(in crate::import::hugging_face) struct Norm {
    pub(in crate::import::hugging_face) scale: Found,
    pub(in crate::import::hugging_face) bias: Option<Found>,
}
