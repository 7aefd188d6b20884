//! The graph of an encoder over packed tokens, composed of the parts that its configuration names.

mod adapter;
mod builder;
mod convolution;
mod cross;
mod disentangled;
mod embeddings;
mod experts;
mod find;
mod names;
#[cfg(feature = "vision")]
mod patches;
mod positions;
mod stages;
mod tensors;

pub(super) use find::resolve;
#[cfg(feature = "vision")]
pub(super) use stages::AttentionPool;
pub(crate) use stages::ENDS;
pub(super) use stages::{Product, Residual, Stage, build as build_stages};
pub(super) use tensors::{Affine, Norm, Tensors};

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::{Batching, Graph, ValueId},
    import::hugging_face::{
        config::{Config, LayerKind, Placement},
        encoder::builder::{Builder, LayerWeights},
        weights::Weights,
    },
    kernels::Activation,
    ops::{
        pointwise::{Binary, BinaryFunction},
        product::attention::{DisentangledAttention, PackedAttention},
    },
    shape::{Dim, Shape, Symbol},
    tensor::{DType, Tensor},
};

/// What stands in front of the names of the encoder's tensors in files that hold a head too.
pub(super) fn prefix(config: &Config, weights: &Weights) -> &'static str {
    let names = names::of(config, weights);
    let adapted = names.words.replace(".weight", &format!("{}original", adapter::ADAPTED));
    let is_words = |name: &str| name == adapted || names.all_words().any(|own| own == name);
    let is_used = |prefix: &&str| weights.names().any(|name| name.strip_prefix(*prefix).is_some_and(is_words));
    // transformers' own form of Nomic BERT has a name of its own, as have the authors' of GTE, DINOv2 with registers, and
    // data2vec, which is RoBERTa otherwise.
    [names.prefix, "nomic_bert.", "new.", "dinov2_with_registers.", "data2vec_text."]
        .into_iter()
        .find(is_used)
        .unwrap_or_default()
}

/// The name of the tensor of the words' vectors.
pub(super) fn words_name(config: &Config, weights: &Weights) -> String {
    format!("{}{}", prefix(config, weights), names::of(config, weights).words)
}

/// The input with the tokens that a decoder reads.
pub(crate) const DECODER_IDS: &str = "decoder_input_ids";

/// Reads the weights and builds the graph, with the stages of each of `heads` behind the last layer, whose result has
/// that name; the encoder's weights are the first of `sources`. With `hides_keys` the input `visible_keys` tells each token
/// how many of its text's first tokens are attended to. Reads large weights in parallel on a pool.
pub(super) fn build(
    name: &str,
    config: &Config,
    tensors: Tensors,
    sources: &[Weights],
    heads: &[(&str, &[Stage])],
    hides_keys: bool,
) -> Result<Graph> {
    let [weights, ..] = sources else { return Err(Error::internal("an encoder without weights")) };
    let mut graph = Graph::new(name);
    let (tokens, sequences) = (graph.symbol("tokens"), graph.symbol("sequences"));
    let mut encoder = Encoder {
        builder: Builder::new(graph, config, weights),
        config,
        tokens,
        position_ids: None,
        offsets: None,
        visible: None,
        memory: None,
    };
    let mut x = match (&tensors.words, &tensors.patches) {
        (Some(words), _) => encoder.embeddings("input_ids", words, &tensors)?,
        #[cfg(feature = "vision")]
        (None, Some(patches)) => encoder.patches(patches, &tensors)?,
        _ => return Err(Error::internal("an encoder without a first layer")),
    };
    let offsets = Shape::new(vec![&Dim::symbol(sequences) + &Dim::from(1)]);
    let offsets = encoder.builder.graph.input("offsets", DType::I32, offsets);
    encoder.offsets = Some(offsets);
    if hides_keys {
        let per_token = Shape::new(vec![Dim::symbol(tokens)]);
        encoder.visible = Some(encoder.builder.graph.input("visible_keys", DType::I32, per_token));
    }
    x = encoder.layers(&tensors, x)?;
    if let (Some(decoder), Some(own)) = (&config.decoder, &tensors.decoder) {
        (encoder, x) = encoder.decoder(&decoder.config, own, x)?;
    }
    let mut graph = encoder.builder.graph;
    graph.output("last_hidden_state", x);
    for (index, (output, stages)) in heads.iter().enumerate() {
        let prefix = if index == 0 { String::new() } else { format!("{output}.") };
        let result = stages::build(&mut graph, sources, &prefix, stages, [x, offsets])?;
        graph.output(*output, result);
    }
    graph.set_batching(Batching::Packed { tokens, sequences, offsets });
    Ok(graph)
}

/// What is added to the scores of a layer's attention.
#[derive(Clone, Copy)]
struct Summands {
    /// A number for each head and distance.
    relative: Option<ValueId>,
    /// The keys and the queries of relative positions.
    vectors: Option<[Option<ValueId>; 2]>,
}

/// An encoder under construction.
struct Encoder<'a> {
    builder: Builder<'a>,
    config: &'a Config,
    /// The number of all texts' tokens.
    tokens: Symbol,
    position_ids: Option<ValueId>,
    offsets: Option<ValueId>,
    visible: Option<ValueId>,
    /// The encoder's results, which a decoder attends to.
    memory: Option<ValueId>,
}

impl<'a> Encoder<'a> {
    /// Goes on with a decoder behind the encoder's results; also returns the decoder's.
    fn decoder(self, config: &'a Config, tensors: &Tensors, memory: ValueId) -> Result<(Self, ValueId)> {
        if self.visible.is_some() {
            return Err(Error::unsupported("hidden keys in a decoder"));
        }
        let builder = self.builder.going_on(names::DECODER, config);
        let mut decoder = Self { builder, config, memory: Some(memory), ..self };
        let words = tensors.words.as_ref().ok_or_else(|| Error::internal("a decoder without words"))?;
        let x = decoder.embeddings(DECODER_IDS, words, tensors)?;
        let x = decoder.layers(tensors, x)?;
        Ok((decoder, x))
    }
}

impl Encoder<'_> {
    /// All layers behind the sum of the embeddings, with the norms in front of them and behind.
    fn layers(&mut self, tensors: &Tensors, mut x: ValueId) -> Result<ValueId> {
        let (config, weights) = (self.config, self.builder.weights());
        let products = self.builder.products(tensors)?;
        if !config.projects_first() {
            x = self.embedding_norm(tensors, x)?;
        }
        if let Some(projection) = &products.projection {
            let name = self.builder.name("embeddings.projection");
            x = self.builder.linear(&name, projection, Activation::None, x, None)?;
        }
        if config.projects_first() {
            x = self.embedding_norm(tensors, x)?;
        }
        let shared = match &tensors.relative {
            Some(table) if config.relative.is_some() => {
                Some(self.relative(&self.builder.name("relative_positions"), table)?)
            }
            _ if config.sloped => {
                let table = positions::slopes(config.heads, config.positions.count)?;
                Some(self.builder.graph.constant("sloped_positions", table))
            }
            _ => None,
        };
        let mut vectors = Vec::new();
        for (index, made) in disentangled::vectors(config, weights, tensors)?.into_iter().enumerate() {
            let [keys, queries] = made;
            let mut constant = |kind: &str, tensor: Option<Tensor>| {
                tensor.map(|tensor| self.builder.graph.constant(format!("layer.{index}.position_{kind}"), tensor))
            };
            vectors.push([constant("keys", keys), constant("queries", queries)]);
        }
        let embeddings = x;
        for (index, kind) in config.layers.iter().enumerate() {
            let group = index * config.groups / config.layers.len();
            let layer = (&tensors.layers[group], &products.layers[group]);
            let own = tensors.layers[group].relative.as_ref();
            let own = own
                .map(|table| self.relative(&self.builder.name(&format!("layer.{index}.relative_positions")), table))
                .transpose()?;
            let added = Summands { relative: own.or(shared), vectors: vectors.get(group).copied() };
            x = self.layer(index, *kind, layer, added, x)?;
            if let (0, Some(convolution)) = (index, &tensors.convolution) {
                x = self.convolution(convolution, embeddings, x)?;
            }
        }
        match &tensors.final_norm {
            Some(norm) => self.builder.norm(&self.builder.name("final_norm"), norm, x),
            None => Ok(x),
        }
    }

    /// One layer: attention, then the two products of the second half.
    fn layer(
        &mut self,
        index: usize,
        kind: LayerKind,
        (tensors, products): (&tensors::Layer, &LayerWeights),
        added: Summands,
        x: ValueId,
    ) -> Result<ValueId> {
        let prefix = self.builder.name(&format!("layer.{index}."));
        let name = |part: &str| format!("{prefix}{part}");
        let before = self.config.placement != Placement::After;
        let input = match &tensors.attention_norm {
            Some(norm) if before => self.builder.norm(&name("attention.norm"), norm, x)?,
            _ => x,
        };
        let mut qkv = self.builder.linear(&name("query_key_value"), &products.qkv, Activation::None, input, None)?;
        if let Some(norms) = &tensors.wide_norms {
            qkv = self.builder.wide_norms(&name("query_key.norm"), norms, qkv)?;
        }
        if kind.rotary.is_some() || tensors.head_norms.is_some() {
            qkv = self.builder.rotary(&name("rotary"), kind, tensors, self.position_ids, qkv)?;
        }
        let mixed = self.attention(&name("attention"), kind, qkv, added)?;
        let norm = tensors.attention_norm.as_ref();
        let output = (&products.attention, tensors.attention_result_norm.as_ref());
        let mut half = self.half(&name("attention.output"), output, norm, mixed, x)?;
        if let Some(norm) = &tensors.second_norm {
            half = self.builder.add(&name("second.add"), half, x)?;
            half = self.builder.norm(&name("second.norm"), norm, half)?;
        }
        let mut x = half;
        if let (Some(tensors), Some(products)) = (&tensors.cross, &products.cross) {
            x = self.cross(name, tensors, products, x)?;
        }
        let input = if before { self.builder.norm(&name("norm"), &tensors.norm, x)? } else { x };
        if let Some(experts) = &tensors.experts {
            let mixed = self.experts(&name("experts"), experts, input)?;
            let sum = self.builder.add(&name("output.add"), mixed, x)?;
            return self.builder.norm(&name("output.norm"), &tensors.norm, sum);
        }
        let (Some(up), Some(down)) = (&products.up, &products.down) else {
            return Err(Error::internal("a layer without its second half"));
        };
        let mut up = self.builder.linear(&name("intermediate"), up, self.config.activation, input, None)?;
        if let Some(gate) = &products.gate {
            let gate = self.builder.linear(&name("gate"), gate, Activation::None, input, None)?;
            up = self.builder.graph.apply(&name("gated"), Binary { function: BinaryFunction::Mul }, &[up, gate])?;
        }
        let output = (down, tensors.result_norm.as_ref());
        self.half(&name("output"), output, Some(&tensors.norm), up, x)
    }

    fn attention(&mut self, name: &str, kind: LayerKind, qkv: ValueId, added: Summands) -> Result<ValueId> {
        let Config { heads, key_heads, scale, .. } = *self.config;
        if let (Some([keys, queries]), Some(positions)) = (added.vectors, self.config.disentangled) {
            if self.visible.is_some() {
                return Err(Error::unsupported("hidden keys beside relative positions of keys and queries"));
            }
            let op = DisentangledAttention { heads, scale, span: positions.span, buckets_to: positions.buckets_to };
            let operands = vec![Some(qkv), self.offsets, keys, queries];
            return match self.builder.graph.node(name, Arc::new(op), operands)?[..] {
                [result] => Ok(result),
                _ => Err(Error::internal("attention has one result")),
            };
        }
        let attention = PackedAttention { key_heads, reach: kind.reach, ..PackedAttention::new(heads, scale) };
        let mut operands = vec![Some(qkv), self.offsets, added.relative, self.visible];
        while operands.last() == Some(&None) {
            operands.pop();
        }
        match self.builder.graph.node(name, Arc::new(attention), operands)?[..] {
            [result] => Ok(result),
            _ => Err(Error::internal("attention has one result")),
        }
    }

    /// The product that ends a half, added to the half's input, with the norms that stand there.
    fn half(
        &mut self,
        name: &str,
        (product, result_norm): (&builder::Weighted, Option<&Norm>),
        norm: Option<&Norm>,
        value: ValueId,
        input: ValueId,
    ) -> Result<ValueId> {
        match (self.config.placement, result_norm) {
            (Placement::After, _) => self.builder.linear(name, product, Activation::None, value, Some((input, norm))),
            (_, Some(result_norm)) => {
                let value = self.builder.linear(name, product, Activation::None, value, None)?;
                let value = self.builder.norm(&format!("{name}.norm"), result_norm, value)?;
                self.builder.add(&format!("{name}.add"), input, value)
            }
            (_, None) => self.builder.linear(name, product, Activation::None, value, Some((input, None))),
        }
    }
}
