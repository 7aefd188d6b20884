//! The graph of an encoder over packed tokens.

mod tensors;

use rayon::prelude::*;
use smallvec::SmallVec;

pub(super) use tensors::{Tensors, resolve};

use crate::{
    error::{Error, Result},
    graph::{Batching, Graph, ValueId},
    import::hugging_face::{
        Pooling,
        config::Config,
        encoder::tensors::{Affine, Layer, Norm, Product},
        weights::{Found, Weights},
    },
    ops::{
        index::gather::{Gather, OutOfRange},
        moves::concat::Concat,
        norm::{l2_normalize::L2Normalize, layer_norm::LayerNorm},
        pointwise::{Binary, BinaryFunction},
        pool::segment_pool::SegmentPool,
        product::{
            attention::PackedAttention,
            linear::{Linear, LinearInPlace},
        },
    },
    shape::{Dim, Shape},
    tensor::{DType, Tensor},
};

/// The minimum length by which a vector is divided.
const NORMALIZE_EPSILON: f32 = 1e-12;

/// Reads the weights and builds the graph; reads large weights in parallel on a pool.
pub(super) fn build(
    name: &str,
    config: &Config,
    tensors: Tensors,
    weights: &Weights,
    (pooling, normalize): (Pooling, bool),
) -> Result<Graph> {
    let mut graph = Graph::new(name);
    let (tokens, sequences) = (graph.symbol("tokens"), graph.symbol("sequences"));
    let per_token = || Shape::new(vec![Dim::symbol(tokens)]);
    let products = tensors.layers.iter().flat_map(Layer::products).collect::<Vec<_>>();
    let matrices = products.par_iter().map(|parts| {
        let weights_of: SmallVec<[&Found; 3]> = parts.iter().map(|part| &part.weight).collect();
        if weights.are_mapped() { Ok(None) } else { weights.transposed(&weights_of).map(Some) }
    });
    let matrices = matrices.collect::<Result<Vec<_>>>()?;
    let mut products = products.into_iter().zip(matrices);
    let embed = |graph: &mut Graph, input: &str, table: &Found| {
        let ids = graph.input(input, DType::I32, per_token());
        let table = graph.constant(table.name(), weights.plain(table)?);
        graph.apply(&format!("embeddings.{input}"), Gather { axis: 0, outside: OutOfRange::Error }, &[table, ids])
    };
    let add =
        |graph: &mut Graph, name: &str, a, b| graph.apply(name, Binary { function: BinaryFunction::Add }, &[a, b]);
    let mut x = embed(&mut graph, "input_ids", &tensors.words)?;
    if let Some(table) = &tensors.token_types {
        let types = embed(&mut graph, "token_type_ids", table)?;
        x = add(&mut graph, "embeddings.add_token_type", x, types)?;
    }
    let positions = embed(&mut graph, "position_ids", &tensors.positions)?;
    x = add(&mut graph, "embeddings.add_position", x, positions)?;
    let offsets = graph.input("offsets", DType::I32, Shape::new(vec![&Dim::symbol(sequences) + &Dim::from(1)]));
    let mut builder = Builder { graph, weights };
    let [scale, bias] = builder.norm(&tensors.norm)?;
    let norm = LayerNorm { axes: vec![1], epsilon: config.epsilon };
    x = builder.graph.apply("embeddings.LayerNorm", norm, &[x, scale, bias])?;
    let scale = ((config.hidden / config.heads) as f32).sqrt().recip();
    let attention = PackedAttention::new(config.heads, scale);
    for (index, layer) in tensors.layers.iter().enumerate() {
        let name = |part: &str| format!("layer.{index}.{part}");
        let product = |activation| Linear { activation, ..Linear::default() };
        let normed = || Linear { layer_norm: Some(config.epsilon), ..Linear::default() };
        let qkv = builder.linear(&name("query_key_value"), Linear::default(), x, &mut products, None)?;
        let mixed = builder.graph.apply(&name("attention"), attention, &[qkv, offsets])?;
        let residual = Some((x, &layer.attention_norm));
        x = builder.linear(&name("attention.output"), normed(), mixed, &mut products, residual)?;
        let up = builder.linear(&name("intermediate"), product(config.activation), x, &mut products, None)?;
        x = builder.linear(&name("output"), normed(), up, &mut products, Some((x, &layer.norm)))?;
    }
    let mut graph = builder.graph;
    let mut pooled = graph.apply("pooling", SegmentPool { mode: pooling }, &[x, offsets])?;
    if normalize {
        pooled = graph.apply("normalize", L2Normalize { epsilon: NORMALIZE_EPSILON }, &[pooled])?;
    }
    graph.output("last_hidden_state", x);
    graph.output("sentence_embedding", pooled);
    graph.set_batching(Batching::Packed { tokens, sequences, offsets });
    Ok(graph)
}

/// A graph under construction.
struct Builder<'a> {
    graph: Graph,
    weights: &'a Weights,
}

impl Builder<'_> {
    /// Appends the next of `products` to the graph, with an optional residual and layer norm after
    /// it.
    ///
    /// Without a packed matrix each part becomes a product of its own, whose weights stay in place.
    fn linear<'t>(
        &mut self,
        name: &str,
        linear: Linear,
        x: ValueId,
        products: &mut impl Iterator<Item = (Product<'t>, Option<Tensor>)>,
        residual: Option<(ValueId, &Norm)>,
    ) -> Result<ValueId> {
        let (parts, matrix) = products.next().ok_or_else(|| Error::internal("a product without weights"))?;
        let Some(matrix) = matrix else { return self.linear_in_place(name, linear, x, &parts, residual) };
        let biases: SmallVec<[&Found; 3]> = parts.iter().map(|part| &part.bias).collect();
        let vector = self.weights.joined(&biases)?;
        let matrix = self.graph.constant(format!("{name}.weight"), matrix);
        let vector = self.graph.constant(format!("{name}.bias"), vector);
        let mut inputs = vec![x, matrix, vector];
        if let Some((residual, norm)) = residual {
            inputs.push(residual);
            inputs.extend(self.norm(norm)?);
        }
        self.graph.apply(name, linear, &inputs)
    }

    fn linear_in_place(
        &mut self,
        name: &str,
        linear: Linear,
        x: ValueId,
        parts: &[&Affine],
        residual: Option<(ValueId, &Norm)>,
    ) -> Result<ValueId> {
        let mut results = Vec::new();
        for part in parts {
            let mut inputs = vec![x];
            for found in [&part.weight, &part.bias] {
                inputs.push(self.graph.constant(found.name(), self.weights.plain(found)?));
            }
            if let Some((residual, norm)) = residual {
                inputs.push(residual);
                inputs.extend(self.norm(norm)?);
            }
            let name = if parts.len() == 1 { name } else { part.weight.name() };
            results.push(self.graph.apply(name, LinearInPlace(linear.clone()), &inputs)?);
        }
        match results[..] {
            [result] => Ok(result),
            _ => self.graph.apply(name, Concat { axis: -1 }, &results),
        }
    }

    fn norm(&mut self, norm: &Norm) -> Result<[ValueId; 2]> {
        let mut vector = |found: &Found| {
            let tensor = self.weights.plain(found)?;
            Ok(self.graph.constant(found.name(), tensor))
        };
        Ok([vector(&norm.scale)?, vector(&norm.bias)?])
    }
}
