//! Keys and queries of relative positions, which depend on the weights alone.

use rayon::prelude::*;

use crate::{
    error::{Error, Result},
    import::hugging_face::{
        config::Config,
        encoder::tensors::{Affine, Tensors},
        weights::Weights,
    },
    kernels::{
        KernelSet,
        gemm::{Epilogue, Layout, Packed, Rows, Segment, gemm},
        norm::{LayerNorm, layer_norm_rows},
    },
    tensor::Tensor,
};

/// For each layer the keys and the queries of all relative positions, `[positions, hidden]`, where the model has them.
///
/// Computed in parallel on a pool.
pub(super) fn vectors(config: &Config, weights: &Weights, tensors: &Tensors) -> Result<Vec<[Option<Tensor>; 2]>> {
    let (Some(positions), Some(table)) = (config.disentangled, &tensors.relative) else { return Ok(Vec::new()) };
    let set = KernelSet::detect();
    let mut table = weights.plain(table)?;
    if let Some(norm) = &tensors.relative_norm {
        let scale = weights.plain(&norm.scale)?;
        let bias = norm.bias.as_ref().map(|bias| weights.plain(bias)).transpose()?;
        let bias = bias.as_ref().map(|bias| bias.as_slice::<f32>()).transpose()?;
        let norm = LayerNorm { scale: scale.as_slice()?, bias, epsilon: config.epsilon };
        let mut normed = Tensor::new(table.shape().to_vec(), table.as_slice::<f32>()?)?;
        layer_norm_rows(set, normed.as_mut_slice()?, &norm)?;
        table = normed;
    }
    let made = |affine: &Affine| product(set, weights, affine, &table);
    let layers = tensors.layers.par_iter().map(|layer| {
        let [keys, queries] = layer.position_parts(positions);
        Ok([keys.map(made).transpose()?, queries.map(made).transpose()?])
    });
    layers.collect()
}

/// The product of all rows of a table with a layer's weights.
fn product(set: KernelSet, weights: &Weights, affine: &Affine, table: &Tensor) -> Result<Tensor> {
    let matrix = weights.transposed(&[(&affine.weight, affine.rows.clone())])?;
    let bias = affine.bias.as_ref().map(|bias| weights.plain(bias)).transpose()?;
    let (&[rows, depth], &[_, columns]) = (table.shape(), matrix.shape()) else {
        return Err(Error::internal("a table that is no matrix"));
    };
    let packed = Packed::new(set, matrix.as_slice()?, depth, columns, Layout::RowMajor)?;
    let mut out = Tensor::new([rows, columns], &vec![0f32; rows * columns])?;
    let rows =
        Rows { data: table.as_slice::<f32>()?, rows, stride: depth, segments: &[Segment { offset: 0, len: depth }] };
    let bias = bias.as_ref().map(|bias| bias.as_slice::<f32>()).transpose()?;
    let epilogue = Epilogue { bias, ..Epilogue::default() };
    gemm(set, &rows, &packed, &epilogue, out.as_mut_slice::<f32>()?, columns)?;
    Ok(out)
}
