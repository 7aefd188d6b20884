//! `FlexAttention`: attention whose scores and probabilities graphs of the node may change.

use crate::{
    error::{Context, Error, Result},
    graph::ValueId,
    import::onnx::{
        attribute,
        convert::{Converter, composed::Composer},
        opset,
        proto::NodeProto,
    },
    op::{Attribute, OnnxNode},
    ops::moves::{concat::Concat, reshape::Reshape, transpose::Transpose},
    shape::{Dim, Shape},
    tensor::DType,
};

impl<'a> Converter<'a, '_, '_> {
    /// Converts a node as the products, the softmax and the graphs that it is made of.
    pub(super) fn flex_attention(
        &mut self,
        node: &NodeProto<'a>,
        mut attributes: Vec<(String, Attribute)>,
        inputs: &[Option<ValueId>],
    ) -> Result<()> {
        let graphs = attribute::graphs(node, self.file.budget)?;
        if let Some((name, _)) = graphs.iter().find(|(name, _)| !matches!(*name, "score_mod" | "prob_mod")) {
            return Err(Error::unsupported(format!("the graph `{name}`")));
        }
        let modifier = |name: &str| graphs.iter().find(|(own, _)| *own == name).map(|(_, bytes)| *bytes);
        attributes.retain(|(name, _)| !graphs.iter().any(|(own, _)| own == name));
        let mut own = OnnxNode::new(
            &self.graph,
            opset(&self.scope.opsets, node.domain()),
            node.op_type(),
            attributes,
            Vec::new(),
            node.outputs.len(),
        );
        let (scale, precision) = (own.float("scale")?, own.dtype("softmax_precision")?);
        own.finish()?;
        let &[Some(query), Some(key), Some(value)] = inputs else {
            return Err(Error::invalid_model("expected queries, keys and values"));
        };
        let [of_query, of_key] = [query, key].map(|id| self.graph.fact(id).clone());
        if [query, key, value].iter().any(|&id| self.graph.fact(id).shape.rank() != 4) {
            return Err(Error::invalid_model("queries, keys and values must have four axes"));
        }
        let dtype = of_query.dtype;
        let precision = precision.unwrap_or(if dtype == DType::F64 { dtype } else { DType::F32 });
        if !dtype.is_float() || !precision.is_float() {
            return Err(Error::unsupported(format!("queries {of_query} with a softmax in {precision}")));
        }
        let scale = match (scale, of_query.shape[3].as_fixed()) {
            (Some(scale), _) => f64::from(scale),
            (None, Some(size)) if size > 0 => 1.0 / (size as f64).sqrt(),
            _ => return Err(Error::unsupported(format!("queries {of_query}; the size of a head must be fixed"))),
        };
        let (heads, shared) = (&of_query.shape[1], &of_key.shape[1]);
        let (key, value) = match heads == shared {
            true => (key, value),
            false => (self.repeated(node, key, heads)?, self.repeated(node, value, heads)?),
        };
        let turned = self.graph.apply(node.name(), Transpose { perm: Some(vec![0, 1, 3, 2]) }, &[key])?;
        let place = || node.describe();
        let mut own = Composer { nodes: self, name: node.name(), place: &place };
        let scores = own.of("MatMul", &[query, turned])?;
        let scores = own.times(scores, scale as f32)?;
        let scores = own.cast(scores, precision)?;
        let scores = self.modified(modifier("score_mod"), scores).context(|| "the graph `score_mod`".to_owned())?;
        let mut own = Composer { nodes: self, name: node.name(), place: &place };
        let weights = own.node("Softmax", &[Some(scores)], vec![("axis", Attribute::Int(-1))])?;
        let weights = self.modified(modifier("prob_mod"), weights).context(|| "the graph `prob_mod`".to_owned())?;
        let mut own = Composer { nodes: self, name: node.name(), place: &place };
        let weights = own.cast(weights, dtype)?;
        let made = own.of("MatMul", &[weights, value])?;
        self.name(node, node.outputs.len(), vec![made])
    }

    /// Keys or values, each head as often as query heads share it.
    fn repeated(&mut self, node: &NodeProto<'a>, id: ValueId, heads: &Dim) -> Result<ValueId> {
        let shape = self.graph.fact(id).shape.clone();
        let groups = heads.as_fixed().zip(shape[1].as_fixed()).filter(|&(heads, own)| own > 0 && heads % own == 0);
        let group = groups.map(|(heads, own)| (heads / own) as usize).filter(|&group| group > 0);
        let group = group.ok_or_else(|| {
            Error::invalid_model(format!("{heads} query heads, which is no multiple of the heads of {shape}"))
        })?;
        let [batch, own, positions, size] = [0, 1, 2, 3].map(|axis| shape[axis].clone());
        let apart: Shape = [batch.clone(), own, Dim::from(1), positions.clone(), size.clone()].into_iter().collect();
        let apart = self.graph.apply(node.name(), Reshape::to(&apart), &[id])?;
        let joined = self.graph.apply(node.name(), Concat { axis: 2 }, &vec![apart; group])?;
        let whole: Shape = [batch, heads.clone(), positions, size].into_iter().collect();
        self.graph.apply(node.name(), Reshape::to(&whole), &[joined])
    }

    /// What a graph of one input and one output makes of a value.
    fn modified(&mut self, bytes: Option<&'a [u8]>, id: ValueId) -> Result<ValueId> {
        let Some(bytes) = bytes else { return Ok(id) };
        let before = self.graph.fact(id).clone();
        let made = match self.inline_bytes(bytes, &[id])?[..] {
            [made] => made,
            ref other => return Err(Error::invalid_model(format!("it has {} outputs, expected one", other.len()))),
        };
        let after = self.graph.fact(made);
        if (after.dtype, &after.shape) != (before.dtype, &before.shape) {
            return Err(Error::invalid_model(format!("it makes {after} of {before}")));
        }
        Ok(made)
    }
}
