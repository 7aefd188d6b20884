//! The pieces that an encoder's graph is put together of: products, norms, rotary heads.

use std::{collections::HashMap, sync::Arc};

use rayon::prelude::*;

use crate::{
    error::{Error, Result},
    graph::{Graph, ValueId},
    import::hugging_face::{
        config::{Config, LayerKind, NormKind, Rotary},
        encoder::{
            adapter::Table,
            positions,
            tensors::{Affine, Layer, Norm, Tensors},
        },
        weights::{Found, Weights},
    },
    kernels::Activation,
    ops::{
        moves::{
            concat::Concat,
            slice::{Part, Slice},
        },
        norm::{layer_norm::LayerNorm, lp_normalize::RmsNorm},
        pointwise::{Binary, BinaryFunction},
        product::{
            attention::RotaryHeads,
            linear::{Linear, LinearInPlace},
        },
    },
    shape::Dim,
    tensor::Tensor,
};

/// A graph under construction, and the weights that go into it.
pub(super) struct Builder<'a> {
    pub(super) graph: Graph,
    /// What stands in front of the names of nodes.
    prefix: &'static str,
    config: &'a Config,
    weights: &'a Weights,
    /// Tensors of the file that are constants already; layers may share weights.
    constants: HashMap<String, ValueId>,
    /// The tables of rotary angles.
    rotary: Vec<(Rotary, [ValueId; 2])>,
}

/// The constants of a product.
pub(super) struct Weighted {
    /// Matrices with their biases and names; several for weights that stay in their file.
    parts: Vec<(ValueId, Option<ValueId>, String)>,
    in_place: bool,
}

/// The products of a layer.
pub(super) struct LayerWeights {
    pub(super) qkv: Weighted,
    pub(super) attention: Weighted,
    pub(super) cross: Option<CrossWeights>,
    pub(super) up: Option<Weighted>,
    pub(super) gate: Option<Weighted>,
    pub(super) down: Option<Weighted>,
}

/// The products of a decoder's attention to the encoder's results.
pub(super) struct CrossWeights {
    pub(super) query: Weighted,
    pub(super) memory: Weighted,
    pub(super) attention: Weighted,
}

/// The products of an encoder.
pub(super) struct EncoderWeights {
    pub(super) projection: Option<Weighted>,
    pub(super) layers: Vec<LayerWeights>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(graph: Graph, config: &'a Config, weights: &'a Weights) -> Self {
        Self { graph, prefix: "", config, weights, constants: HashMap::new(), rotary: Vec::new() }
    }

    /// The same graph, which goes on with other layers.
    pub(super) fn going_on(self, prefix: &'static str, config: &'a Config) -> Self {
        Self { prefix, config, rotary: Vec::new(), ..self }
    }

    /// The name of a node.
    pub(super) fn name(&self, part: &str) -> String {
        format!("{}{part}", self.prefix)
    }

    /// The weights of the encoder.
    pub(super) fn weights(&self) -> &'a Weights {
        self.weights
    }

    /// Reads the weights of all products, in parallel on a pool, and makes constants of them.
    pub(super) fn products(&mut self, tensors: &Tensors) -> Result<EncoderWeights> {
        let mut all: Vec<(String, Vec<&Affine>)> = Vec::new();
        all.extend(tensors.projection.iter().map(|part| (self.name("embeddings.projection"), vec![part])));
        for (index, layer) in tensors.layers.iter().enumerate() {
            let name = |part: &str| self.name(&format!("layer.{index}.{part}"));
            all.push((name("query_key_value"), layer.qkv.iter().collect()));
            all.push((name("attention.output"), vec![&layer.attention]));
            if let Some(cross) = &layer.cross {
                all.push((name("cross.query"), vec![&cross.query]));
                all.push((name("cross.key_value"), cross.memory.iter().collect()));
                all.push((name("cross.output"), vec![&cross.attention]));
            }
            all.extend(layer.up.iter().map(|up| (name("intermediate"), vec![up])));
            all.extend(layer.gate.iter().map(|gate| (name("gate"), vec![gate])));
            all.extend(layer.down.iter().map(|down| (name("output"), vec![down])));
        }
        let matrices = all.par_iter().map(|(_, parts)| {
            if self.weights.are_mapped() && parts.iter().all(|part| part.is_whole()) {
                return Ok(None);
            }
            let sources: Vec<_> = parts.iter().map(|part| (&part.weight, part.rows.clone())).collect();
            let mut matrix = self.weights.transposed(&sources)?;
            if let [Affine { factors: Some(factors), .. }] = parts[..] {
                factors.apply(self.weights, matrix.as_mut_slice()?, false)?;
            }
            Ok(Some(matrix))
        });
        let matrices = matrices.collect::<Result<Vec<_>>>()?;
        let mut weighted = Vec::with_capacity(all.len());
        for ((name, parts), matrix) in all.into_iter().zip(matrices) {
            weighted.push(self.weighted(name, &parts, matrix)?);
        }
        let mut next = weighted.into_iter();
        let mut take = || next.next().ok_or_else(|| Error::internal("a product without weights"));
        let projection = tensors.projection.is_some().then(&mut take).transpose()?;
        let layer = |layer: &Layer| {
            Ok(LayerWeights {
                qkv: take()?,
                attention: take()?,
                cross: match layer.cross {
                    Some(_) => Some(CrossWeights { query: take()?, memory: take()?, attention: take()? }),
                    None => None,
                },
                up: layer.up.is_some().then(&mut take).transpose()?,
                gate: layer.gate.is_some().then(&mut take).transpose()?,
                down: layer.down.is_some().then(&mut take).transpose()?,
            })
        };
        Ok(EncoderWeights { projection, layers: tensors.layers.iter().map(layer).collect::<Result<_>>()? })
    }

    /// Constants of a product: one matrix of all parts, or the parts as they are in their file.
    fn weighted(&mut self, name: String, parts: &[&Affine], matrix: Option<Tensor>) -> Result<Weighted> {
        let Some(matrix) = matrix else {
            let mut own = Vec::new();
            for part in parts {
                let weight = self.plain(&part.weight)?;
                let bias = part.bias.as_ref().map(|bias| self.plain(bias)).transpose()?;
                let name = if parts.len() == 1 { name.clone() } else { part.weight.name().to_owned() };
                own.push((weight, bias, name));
            }
            return Ok(Weighted { parts: own, in_place: true });
        };
        let mut bias = self.bias(parts)?;
        if let (Some(bias), [Affine { factors: Some(factors), .. }]) = (&mut bias, parts) {
            factors.apply(self.weights, bias.as_mut_slice()?, true)?;
        }
        let matrix = self.graph.constant(format!("{name}.weight"), matrix);
        let bias = bias.map(|bias| self.graph.constant(format!("{name}.bias"), bias));
        Ok(Weighted { parts: vec![(matrix, bias, name)], in_place: false })
    }

    /// The biases of all parts, zeros for those that have none; `None` if no part has one.
    fn bias(&self, parts: &[&Affine]) -> Result<Option<Tensor>> {
        if parts.iter().all(|part| part.bias.is_none()) {
            return Ok(None);
        }
        let mut biases = Vec::new();
        for part in parts {
            match &part.bias {
                None => biases.resize(biases.len() + part.rows.len(), 0.0),
                Some(bias) => {
                    let bias = self.weights.plain(bias)?;
                    let own = bias.as_slice::<f32>()?.get(part.bias_rows.clone());
                    biases.extend_from_slice(own.ok_or_else(|| Error::internal("a bias that is too short"))?);
                }
            }
        }
        Tensor::new([biases.len()], &biases).map(Some)
    }

    /// A table of vectors as a constant.
    pub(super) fn table(&mut self, table: &Table) -> Result<ValueId> {
        let Some(adapter) = &table.adapter else { return self.plain(&table.found) };
        let mut values = self.weights.read(&table.found)?;
        adapter.add(self.weights, values.as_mut_slice()?)?;
        Ok(self.graph.constant(table.found.name(), values))
    }

    /// A product, with an optional summand after it and a norm of the sum.
    pub(super) fn linear(
        &mut self,
        name: &str,
        weighted: &Weighted,
        activation: Activation,
        x: ValueId,
        residual: Option<(ValueId, Option<&Norm>)>,
    ) -> Result<ValueId> {
        let norm = residual.and_then(|(_, norm)| norm);
        let linear = Linear { activation, layer_norm: norm.map(|_| self.config.epsilon), ..Linear::default() };
        let mut results = Vec::new();
        for (weight, bias, own) in &weighted.parts {
            let mut operands = vec![Some(x), Some(*weight), *bias, residual.map(|(value, _)| value)];
            if let Some(norm) = norm {
                operands.push(Some(self.plain(&norm.scale)?));
                operands.push(norm.bias.as_ref().map(|bias| self.plain(bias)).transpose()?);
            }
            while operands.last() == Some(&None) {
                operands.pop();
            }
            let name = if weighted.parts.len() == 1 { name } else { own };
            let results_of = match weighted.in_place {
                true => self.graph.node(name, Arc::new(LinearInPlace(linear.clone())), operands)?,
                false => self.graph.node(name, Arc::new(linear.clone()), operands)?,
            };
            results.extend(results_of);
        }
        match results[..] {
            [result] => Ok(result),
            _ => self.graph.apply(name, Concat { axis: -1 }, &results),
        }
    }

    /// The vectors of all tokens, normalized.
    pub(super) fn norm(&mut self, name: &str, norm: &Norm, x: ValueId) -> Result<ValueId> {
        let epsilon = self.config.epsilon;
        match self.config.norm {
            NormKind::Layer | NormKind::LayerWithoutBias => {
                let mut operands = vec![x, self.plain(&norm.scale)?];
                if let Some(bias) = &norm.bias {
                    operands.push(self.plain(bias)?);
                }
                self.graph.apply(name, LayerNorm { axes: vec![1], epsilon }, &operands)
            }
            NormKind::Rms | NormKind::RmsFromOne => {
                let scale = self.rms_scale(&norm.scale)?;
                self.graph.apply(name, RmsNorm { axis: -1, epsilon }, &[x, scale])
            }
        }
    }

    /// Queries and keys, each normalized over all heads.
    pub(super) fn wide_norms(&mut self, name: &str, norms: &[Norm; 2], qkv: ValueId) -> Result<ValueId> {
        let width = self.config.hidden as i64;
        let mut parts = Vec::new();
        for (index, part) in ["query", "key", "value"].into_iter().enumerate() {
            let columns = index as i64 * width..(index as i64 + 1) * width;
            let columns = Part { axis: 1, start: Dim::number(columns.start), end: Dim::number(columns.end), step: 1 };
            let mut value = self.graph.apply(&format!("{name}.{part}"), Slice { parts: vec![columns] }, &[qkv])?;
            if let Some(norm) = norms.get(index) {
                value = self.norm(&format!("{name}.{part}.norm"), norm, value)?;
            }
            parts.push(value);
        }
        self.graph.apply(name, Concat { axis: -1 }, &parts)
    }

    /// The factors of a norm by the root mean square.
    fn rms_scale(&mut self, scale: &Found) -> Result<ValueId> {
        if self.config.norm != NormKind::RmsFromOne {
            return self.plain(scale);
        }
        let mut tensor = self.weights.plain(scale)?;
        tensor.as_mut_slice::<f32>()?.iter_mut().for_each(|factor| *factor += 1.0);
        Ok(self.graph.constant(scale.name(), tensor))
    }

    /// Queries and keys, normalized head by head and turned by their positions.
    pub(super) fn rotary(
        &mut self,
        name: &str,
        kind: LayerKind,
        layer: &Layer,
        position_ids: Option<ValueId>,
        qkv: ValueId,
    ) -> Result<ValueId> {
        let Config { heads, key_heads, head_dim, epsilon, .. } = *self.config;
        let tables = kind.rotary.map(|rotary| self.angles(rotary)).transpose()?;
        let scales = match &layer.head_norms {
            Some([query, key]) => [Some(self.rms_scale(query)?), Some(self.rms_scale(key)?)],
            None => [None, None],
        };
        let operands = vec![
            Some(qkv),
            tables.and(position_ids),
            tables.map(|tables| tables[0]),
            tables.map(|tables| tables[1]),
            scales[0],
            scales[1],
        ];
        let turned = if tables.is_some() { head_dim / 2 * 2 } else { 0 };
        let op = RotaryHeads { heads, key_heads, turned, epsilon };
        match self.graph.node(name, Arc::new(op), operands)?[..] {
            [result] => Ok(result),
            _ => Err(Error::internal("rotary heads have one result")),
        }
    }

    /// The tables of angles, made once.
    fn angles(&mut self, rotary: Rotary) -> Result<[ValueId; 2]> {
        if let Some((_, tables)) = self.rotary.iter().find(|(own, _)| *own == rotary) {
            return Ok(*tables);
        }
        let [cosines, sines] = {
            let Config { head_dim, rotary_divisor, .. } = *self.config;
            positions::rotary(self.config.positions.count, head_dim, rotary, rotary_divisor)?
        };
        let index = self.rotary.len();
        let tables = [
            self.graph.constant(format!("cosines.{index}"), cosines),
            self.graph.constant(format!("sines.{index}"), sines),
        ];
        self.rotary.push((rotary, tables));
        Ok(tables)
    }

    pub(super) fn add(&mut self, name: &str, a: ValueId, b: ValueId) -> Result<ValueId> {
        self.graph.apply(name, Binary { function: BinaryFunction::Add }, &[a, b])
    }

    /// A tensor of the file as a constant.
    pub(super) fn plain(&mut self, found: &Found) -> Result<ValueId> {
        if let Some(&id) = self.constants.get(found.name()) {
            return Ok(id);
        }
        let id = self.graph.constant(found.name(), self.weights.plain(found)?);
        self.constants.insert(found.name().to_owned(), id);
        Ok(id)
    }
}
