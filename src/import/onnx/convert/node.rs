//! Conversion of one node: decoded by the rule of its version, in a type that its kernel has.

use std::sync::Arc;

use crate::{
    error::{Context, Error, ErrorKind, Result},
    graph::{Graph, ValueId},
    import::onnx::{
        attribute,
        convert::{Converter, batch_norm, call::Call, composed, einsum, old_opsets},
        lowered::{Lowered, is_flex_attention},
        opset,
        proto::NodeProto,
        scan::is_built,
    },
    op::{Attribute, OnnxNode},
    ops::{
        self,
        control::is_control,
        generate::constant::Constant,
        measured::Measured,
        pointwise::{Binary, BinaryFunction, cast::Cast},
        tokens,
    },
    rewrite,
    tensor::DType,
};

impl composed::Nodes for Converter<'_, '_, '_> {
    fn graph(&mut self) -> &mut Graph {
        &mut self.graph
    }

    fn add_call(&mut self, call: &Call<'_>, place: &dyn Fn() -> String) -> Result<Vec<ValueId>> {
        self.call(call, place)
    }
}

impl<'a> Converter<'a, '_, '_> {
    pub(super) fn node(&mut self, node: &NodeProto<'a>) -> Result<()> {
        let place = || node.describe();
        let of_call = self.scope.attributes.as_deref();
        let attributes = attribute::read(node, self.file.budget, self.external, of_call).context(place)?;
        let inputs = node.inputs.iter().map(|name| {
            if name.is_empty() || self.scope.absent.contains(name) {
                return Ok(None);
            }
            let id = self.scope.values.get(name).copied();
            id.map(Some).ok_or_else(|| Error::internal(format!("`{name}` was not converted before its use")))
        });
        let mut inputs = inputs.collect::<Result<Vec<_>>>()?;
        if let Some(parts) = node.inputs.iter().find_map(|name| self.scope.maps.get(name)) {
            if !matches!((node.domain(), node.op_type()), ("ai.onnx.ml", "CastMap" | "DictVectorizer")) {
                return Err(Error::invalid_model("a map is no operand of it")).context(place);
            }
            inputs = parts.map(Some).to_vec();
        }
        if node.domain().is_empty() && is_control(node.op_type()) {
            return self.control(node, attributes, inputs).context(place);
        }
        if is_flex_attention(node.domain(), node.op_type()) && is_built(node, self.file.functions) {
            return self.flex_attention(node, attributes, &inputs).context(place);
        }
        if !is_built(node, self.file.functions) {
            return self.inline(node, attributes, &inputs).context(place);
        }
        // Optional results that nothing uses need not be built.
        let last = node.outputs.iter().rposition(|name| self.scope.used.contains(name));
        let outputs = match (node.domain(), node.op_type()) {
            // Their number says how large each is.
            ("", "Split") => node.listed,
            _ => last.map_or(1, |last| last + 1).min(node.outputs.len()),
        };
        let mut call = Call {
            name: node.name(),
            domain: node.domain(),
            opset: self.opset(node),
            op_type: node.op_type(),
            attributes,
            inputs,
            outputs,
            named: node.outputs.len(),
        };
        if let Some(lowered) = Lowered::find(call.domain, call.op_type) {
            let made = self.lower(lowered, &call, place())?;
            return self.name(node, outputs, made);
        }
        if call.domain.is_empty() {
            old_opsets::adapt(&mut self.graph, &mut call).context(place)?;
            self.settle_squeeze(&mut call, &place)?;
        }
        if (call.domain, call.op_type) == ("", "QuantizeLinear")
            && let Some(made) = self.product_of_bytes(&call, place())?
        {
            return self.name(node, outputs, made);
        }
        let made = self.call(&call, place)?;
        if (call.domain, call.op_type) == ("", "DequantizeLinear") {
            self.remember_bytes(&call, &made);
        }
        self.name(node, outputs, made)
    }

    /// The version by whose rules a node is read.
    fn opset(&self, node: &NodeProto<'a>) -> i64 {
        let version = opset(&self.scope.opsets, node.domain());
        match (node.domain(), node.op_type()) {
            // PyTorch's exporters write this version, and take the lengths of results for whole in every opset.
            ("", "Resize") if self.file.is_pytorch => version.min(18),
            _ => version,
        }
    }

    /// Names the results of a node, of which `asked` are used.
    pub(super) fn name(&mut self, node: &NodeProto<'a>, asked: usize, made: Vec<ValueId>) -> Result<()> {
        if asked > made.len() {
            let what = format!("{asked} outputs are asked for, of which {} are built here", made.len());
            return Err(Error::unsupported(what).context(node.describe()));
        }
        for (&name, id) in node.outputs.iter().zip(made) {
            if !name.is_empty() {
                // A graph within the node may hand on an input of the file, which keeps its name.
                if !self.graph.inputs().contains(&id) {
                    name.clone_into(&mut self.graph.values[id.index()].name);
                }
                self.scope.define(name, id);
            }
        }
        Ok(())
    }

    /// Adds the node as it is, or else in a form that has a kernel.
    pub(super) fn call(&mut self, call: &Call<'_>, place: impl Fn() -> String + Copy) -> Result<Vec<ValueId>> {
        if let Some(compose) = composed::of_call(&self.graph, call) {
            let mut composer = composed::Composer { nodes: self, name: call.name, place: &place };
            return compose(&mut composer, call).context(place);
        }
        // Also where it is decoded only in a run, that type has no kernel.
        if let Some(wide) = self.widened(call).filter(|_| call.domain.is_empty() && call.op_type.starts_with("Reduce"))
        {
            return self.in_wide_type(call, wide, place);
        }
        let error = match self.add(call, place) {
            Ok(made) => return Ok(made),
            Err(error) => error,
        };
        // The forms below are of ONNX's own operators.
        if !call.domain.is_empty() {
            return Err(error);
        }
        if let Some(made) = self.scaled_apart(call, place)? {
            return Ok(made);
        }
        match self.widened(call) {
            Some(wide) => self.in_wide_type(call, wide, place),
            None => Err(error),
        }
    }

    /// Decodes the node and adds it to the graph.
    fn add(&mut self, call: &Call<'_>, place: impl Fn() -> String + Copy) -> Result<Vec<ValueId>> {
        if batch_norm::trains(call) {
            return batch_norm::of_batch(&mut self.graph, call).context(place);
        }
        if let ("", "Einsum", [(key, Attribute::String(equation))]) = (call.domain, call.op_type, &*call.attributes)
            && key == "equation"
            && let Some(made) =
                einsum::in_products(&mut self.graph, call.name, equation, &call.inputs).context(place)?
        {
            return Ok(made);
        }
        let Call { name, domain, opset, op_type, attributes, inputs, outputs, .. } = call.clone();
        let mut own = OnnxNode::new(&self.graph, opset, op_type, attributes, inputs, outputs);
        let op = ops::decode(domain, &mut own).context(place)?;
        let assumed = own.take_assumed();
        let inputs = own.finish().context(place)?;
        self.graph.assume(place(), assumed)?;
        if let (Some(Constant { value }), 1) = (op.downcast_ref(), outputs) {
            return Ok(vec![self.graph.constant(name, value.clone())]);
        }
        // Errors of `Graph::node` name the node already.
        let makes_tokens = op.def().name == tokens::TOKENIZER;
        let made = match self.graph.node(name, op.clone(), inputs.clone()) {
            Err(error) if error.kind() == ErrorKind::Limit => match Measured::of(&self.graph, &op, &inputs) {
                Some(measured) => self.graph.node(name, Arc::new(measured), inputs),
                None => Err(error),
            },
            made => made,
        }?;
        // Later operators may need a small constant when they are decoded; what uses tokens is
        // checked by the node that makes them.
        if !makes_tokens {
            rewrite::fold_last(&mut self.graph)?;
        }
        Ok(made)
    }

    /// The type in which an operator computes that has no kernel for its operands' type.
    fn widened(&self, call: &Call<'_>) -> Option<DType> {
        let mut dtypes = call.inputs.iter().flatten().map(|&id| self.graph.fact(id).dtype);
        let first = dtypes.next()?;
        // The statistics of a batch may be of a wider type than its elements.
        let fits = |own: DType| own == first || !own.is_float() || call.op_type == "BatchNormalization";
        match first {
            DType::F16 | DType::BF16 => dtypes.all(fits).then_some(DType::F32),
            // The largest of small integers is exact in f32.
            DType::I8 | DType::U8 if call.op_type == "MaxPool" => Some(DType::F32),
            own if own.is_integer() && matches!(call.op_type, "ReduceL2" | "ReduceLogSum" | "ReduceLogSumExp") => {
                Some(DType::F64)
            }
            _ => None,
        }
    }

    /// Adds the node between casts of its operands to a wider type and of its results back.
    fn in_wide_type(
        &mut self,
        call: &Call<'_>,
        wide: DType,
        place: impl Fn() -> String + Copy,
    ) -> Result<Vec<ValueId>> {
        let (original, mut call) = (call, call.clone());
        let narrow = call.inputs.first().copied().flatten().map(|id| self.graph.fact(id).dtype);
        let narrow = narrow.ok_or_else(|| Error::internal("a node without operands has no type"))?;
        let count = if narrow.is_float() { call.inputs.len() } else { 1 };
        for input in call.inputs[..count].iter_mut().flatten() {
            let dtype = self.graph.fact(*input).dtype;
            if dtype != wide && dtype.is_float() == narrow.is_float() {
                *input = self.cast(call.name, *input, wide)?;
            }
        }
        // The statistics of a batch keep a type of their own.
        let of_statistics = (call.op_type == "BatchNormalization").then(|| original.inputs.get(3).copied().flatten());
        let of_statistics = of_statistics.flatten().map(|id| self.graph.fact(id).dtype);
        let mut made = self.add(&call, place)?;
        for (index, id) in made.iter_mut().enumerate() {
            let own = if index == 0 { narrow } else { of_statistics.unwrap_or(narrow) };
            if self.graph.fact(*id).dtype == wide && own != wide {
                *id = self.cast(call.name, *id, own)?;
            }
        }
        Ok(made)
    }

    fn cast(&mut self, name: &str, id: ValueId, to: DType) -> Result<ValueId> {
        self.graph.apply(name, Cast { to }, &[id])
    }

    /// A normalization whose scale and bias vary over more than the normalized axes, as ONNX
    /// defines it: they are applied to its result.
    fn scaled_apart(&mut self, call: &Call<'_>, place: impl Fn() -> String + Copy) -> Result<Option<Vec<ValueId>>> {
        let fits = matches!(call.op_type, "LayerNormalization" | "RMSNormalization") && call.outputs == 1;
        let &[Some(x), scale, ..] = call.inputs.as_slice() else { return Ok(None) };
        if !fits || self.graph.fact(x).dtype != DType::F32 {
            return Ok(None);
        }
        let bias = call.inputs.get(2).copied().flatten();
        let bare = Call { inputs: vec![Some(x)], ..call.clone() };
        let Ok(mut made) = self.add(&bare, place) else { return Ok(None) };
        for (weight, function) in [(scale, BinaryFunction::Mul), (bias, BinaryFunction::Add)] {
            let Some(weight) = weight else { continue };
            let inputs = vec![Some(made[0]), Some(weight)];
            made = self.graph.node(call.name, Arc::new(Binary { function }), inputs)?;
        }
        let shape = self.graph.fact(x).shape.clone();
        if self.graph.fact(made[0]).shape == shape {
            return Ok(Some(made));
        }
        if let Ok(fitted) = composed::as_shape(&mut self.graph, call.name, place(), made[0], &shape) {
            return Ok(Some(vec![fitted]));
        }
        let (x, weights) = (self.graph.fact(x), [scale, bias].map(|id| id.map(|id| self.graph.fact(id).to_string())));
        Err(Error::new(ErrorKind::InvalidModel, format!("the weights {weights:?} do not broadcast to {x}")))
            .context(place)
    }
}
