//! Nodes that become several of ONNX's own operators.

mod attention;
mod bytes;
mod grouped;
mod joined;
mod masks;
mod norms;
mod pointwise;
mod products;
mod quantized;
mod quantized_products;

use crate::{
    error::{Error, Result},
    graph::{Fact, ValueId},
    import::onnx::{
        convert::{Converter, call::Call},
        lowered::Lowered,
    },
    op::{Attribute, OnnxNode},
    ops::{moves::reshape::Reshape, pointwise::cast::Cast},
    shape::{Dim, Shape},
    tensor::{DType, Tensor},
};

/// The opset of the nodes that are made.
const OPSET: i64 = 23;

/// Attributes of a node that is made.
type Attributes = Vec<(String, Attribute)>;

/// A node that is replaced by others, and the graph that gets them.
struct Lower<'l, 'a, 'b, 'c> {
    converter: &'l mut Converter<'a, 'b, 'c>,
    /// The node, for errors.
    place: String,
    name: &'l str,
    op_type: &'l str,
    /// What has not been read yet.
    attributes: Attributes,
    inputs: Vec<Option<ValueId>>,
    outputs: usize,
}

impl Converter<'_, '_, '_> {
    /// The results of a node, made of others.
    pub(super) fn lower(&mut self, lowered: Lowered, call: &Call<'_>, place: String) -> Result<Vec<ValueId>> {
        let described = place.clone();
        let mut lower = Lower {
            converter: self,
            place,
            name: call.name,
            op_type: call.op_type,
            attributes: call.attributes.clone(),
            inputs: call.inputs.clone(),
            outputs: call.outputs,
        };
        let made = lower.made(lowered).and_then(|made| match &*lower.attributes {
            [] => Ok(made),
            [(name, _), ..] => Err(Error::unsupported(format!("attribute `{name}` is not understood"))),
        });
        let operands: Vec<ValueId> = call.inputs.iter().flatten().copied().collect();
        let apart = made.and_then(|made| made.into_iter().map(|id| lower.apart(id, &operands)).collect());
        // Errors of the nodes that are made name the node already.
        apart.map_err(|error: Error| match error.to_string().contains(&described) {
            true => error,
            false => error.context(described),
        })
    }
}

impl Lower<'_, '_, '_, '_> {
    fn made(&mut self, lowered: Lowered) -> Result<Vec<ValueId>> {
        match lowered {
            Lowered::Attention => attention::packed(self),
            Lowered::BiasAdd => pointwise::bias_add(self),
            Lowered::BiasDropout => pointwise::bias_dropout(self),
            Lowered::BiasGelu | Lowered::Gelu => pointwise::gelu(self, false),
            Lowered::DequantizeLinear | Lowered::QuantizeLinear => quantized::linear(self),
            Lowered::DynamicQuantizeMatMul => quantized_products::dynamic(self),
            Lowered::EmbedLayerNormalization => norms::embed(self),
            Lowered::ExpandDims => joined::expand_dims(self),
            Lowered::FastGelu => pointwise::gelu(self, true),
            Lowered::FusedConv => products::conv(self),
            Lowered::FusedGemm => products::gemm(self),
            Lowered::FusedMatMul | Lowered::FusedMatMulActivation | Lowered::TransposeMatMul => products::matmul(self),
            Lowered::GatherND | Lowered::Range | Lowered::Trilu => joined::as_onnx(self),
            Lowered::GemmFastGelu => products::gemm_fast_gelu(self),
            Lowered::GridSample => joined::grid_sample(self),
            Lowered::GroupQueryAttention => grouped::grouped(self),
            Lowered::MatMulIntegerToFloat => quantized_products::to_float(self),
            Lowered::MatMulNBits => products::few_bits(self),
            Lowered::MulInteger => quantized_products::mul_integer(self),
            Lowered::MultiHeadAttention => attention::heads(self),
            Lowered::NhwcMaxPool => quantized::max_pool(self),
            Lowered::Pad => joined::pad(self),
            Lowered::QAttention => attention::quantized(self),
            Lowered::QEmbedLayerNormalization => norms::quantized_embed(self),
            Lowered::QGemm => quantized_products::gemm(self),
            Lowered::QLinearAdd => quantized::binary(self, "Add"),
            Lowered::QLinearAveragePool => quantized::pool(self, "AveragePool"),
            Lowered::QLinearConcat => quantized::concat(self),
            Lowered::QLinearConv => quantized::conv(self),
            Lowered::QLinearGlobalAveragePool => quantized::pool(self, "GlobalAveragePool"),
            Lowered::QLinearLeakyRelu => quantized::unary(self, "LeakyRelu"),
            Lowered::QLinearMul => quantized::binary(self, "Mul"),
            Lowered::QLinearReduceMean => quantized::mean(self),
            Lowered::QLinearSigmoid => quantized::unary(self, "Sigmoid"),
            Lowered::QLinearSoftmax => quantized::softmax(self),
            Lowered::QLinearWhere => quantized::select(self),
            Lowered::QuickGelu => pointwise::quick_gelu(self),
            Lowered::ReduceSumInteger => quantized_products::sum_integer(self),
            Lowered::RotaryEmbedding => grouped::rotary(self),
            Lowered::SimplifiedLayerNormalization => norms::simplified(self),
            Lowered::SkipLayerNormalization => norms::skip(self, false),
            Lowered::SkipSimplifiedLayerNormalization => norms::skip(self, true),
        }
    }

    /// Reads attributes; what is left unread is an error in the end.
    fn read<T>(&mut self, read: impl FnOnce(&mut OnnxNode<'_>) -> Result<T>) -> Result<T> {
        let attributes = std::mem::take(&mut self.attributes);
        let (graph, inputs) = (&self.converter.graph, self.inputs.clone());
        let mut node = OnnxNode::new(graph, 1, self.op_type, attributes, inputs, self.outputs);
        let read = read(&mut node)?;
        self.attributes = node.take_attributes();
        Ok(read)
    }

    /// An integer attribute that is a size.
    fn size(&mut self, name: &str, default: Option<usize>) -> Result<usize> {
        let value = self.read(|node| node.int(name))?;
        let wrong = || Error::invalid_model(format!("attribute `{name}` is {value:?}, expected a positive number"));
        match value {
            None => default.ok_or_else(wrong),
            Some(value) => usize::try_from(value).ok().filter(|&value| value > 0).ok_or_else(wrong),
        }
    }

    fn optional(&self, index: usize) -> Option<ValueId> {
        self.inputs.get(index).copied().flatten()
    }

    fn required(&self, index: usize) -> Result<ValueId> {
        self.optional(index).ok_or_else(|| Error::invalid_model(format!("operand {index} is missing")))
    }

    /// Refuses an operand from `first` on.
    fn expect(&self, first: usize) -> Result<()> {
        match (first..self.inputs.len()).find(|&index| self.optional(index).is_some()) {
            Some(index) => Err(Error::unsupported(format!("operand {index} is not understood"))),
            None => Ok(()),
        }
    }

    fn fact(&self, id: ValueId) -> &Fact {
        self.converter.graph.fact(id)
    }

    fn dtype(&self, id: ValueId) -> DType {
        self.fact(id).dtype
    }

    fn rank(&self, id: ValueId) -> usize {
        self.fact(id).shape.rank()
    }

    /// The sizes of a value of `N` dimensions.
    fn dims<const N: usize>(&self, id: ValueId) -> Result<[Dim; N]> {
        let fact = self.fact(id);
        let dims = <[Dim; N]>::try_from(fact.shape.dims().to_vec());
        dims.map_err(|_| Error::invalid_model(format!("an operand {fact}, expected {N} dimensions")))
    }

    /// Adds a node with several results.
    fn many(
        &mut self,
        op_type: &str,
        attributes: Attributes,
        inputs: &[Option<ValueId>],
        outputs: usize,
    ) -> Result<Vec<ValueId>> {
        self.many_of(OPSET, op_type, attributes, inputs, outputs)
    }

    /// As [`many`](Self::many), by the rules of an opset.
    fn many_of(
        &mut self,
        opset: i64,
        op_type: &str,
        attributes: Attributes,
        inputs: &[Option<ValueId>],
        outputs: usize,
    ) -> Result<Vec<ValueId>> {
        let inputs = inputs.to_vec();
        let call = Call { name: self.name, domain: "", opset, op_type, attributes, inputs, outputs, named: outputs };
        let place = &self.place;
        let made = self.converter.call(&call, || format!("{place}, as {op_type}"))?;
        if made.len() < outputs {
            return Err(Error::internal(format!("{op_type} made {} results of {outputs}", made.len())));
        }
        Ok(made)
    }

    fn op(&mut self, op_type: &str, inputs: &[ValueId]) -> Result<ValueId> {
        self.op_with(op_type, Attributes::new(), inputs)
    }

    fn op_with(&mut self, op_type: &str, attributes: Attributes, inputs: &[ValueId]) -> Result<ValueId> {
        let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
        Ok(self.many(op_type, attributes, &inputs, 1)?[0])
    }

    fn constant(&mut self, tensor: Tensor) -> ValueId {
        self.converter.graph.constant(self.name, tensor)
    }

    fn integers(&mut self, values: &[i64]) -> Result<ValueId> {
        Ok(self.constant(Tensor::new([values.len()], values)?))
    }

    /// A number of that type.
    fn number(&mut self, value: f32, dtype: DType) -> Result<ValueId> {
        let id = self.constant(Tensor::scalar(value));
        self.cast(id, dtype)
    }

    fn cast(&mut self, id: ValueId, to: DType) -> Result<ValueId> {
        if self.dtype(id) == to {
            return Ok(id);
        }
        self.converter.graph.apply(self.name, Cast { to }, &[id])
    }

    fn reshape(&mut self, id: ValueId, dims: &[Dim]) -> Result<ValueId> {
        self.converter.graph.apply(self.name, Reshape::to(&Shape::new(dims)), &[id])
    }

    fn transpose(&mut self, id: ValueId, order: &[usize]) -> Result<ValueId> {
        let order = order.iter().map(|&axis| axis as i64).collect();
        self.op_with("Transpose", vec![ints("perm", order)], &[id])
    }

    fn unsqueeze(&mut self, id: ValueId, axes: &[i64]) -> Result<ValueId> {
        let axes = self.integers(axes)?;
        self.op("Unsqueeze", &[id, axes])
    }

    /// The value, plus another one where it is given.
    fn plus(&mut self, id: ValueId, other: Option<ValueId>) -> Result<ValueId> {
        match other {
            Some(other) => self.op("Add", &[id, other]),
            None => Ok(id),
        }
    }

    /// Cuts an axis into parts of these sizes.
    fn split(&mut self, id: ValueId, axis: usize, sizes: &[i64]) -> Result<Vec<ValueId>> {
        let sizes_id = self.integers(sizes)?;
        self.many("Split", vec![int("axis", axis as i64)], &[Some(id), Some(sizes_id)], sizes.len())
    }

    /// `0, 1, ...` up to the size of an axis, as i64.
    fn positions(&mut self, id: ValueId, axis: usize) -> Result<ValueId> {
        let size = self.op_with("Shape", vec![int("start", axis as i64), int("end", axis as i64 + 1)], &[id])?;
        let size = self.op("Squeeze", &[size])?;
        let [zero, one] = [0i64, 1].map(|value| self.constant(Tensor::scalar(value)));
        self.op("Range", &[zero, size, one])
    }

    /// The value as a result of the node: operands and constants belong to others.
    fn apart(&mut self, id: ValueId, operands: &[ValueId]) -> Result<ValueId> {
        match operands.contains(&id) {
            true => self.op("Identity", &[id]),
            false => Ok(id),
        }
    }
}

fn int(name: &str, value: i64) -> (String, Attribute) {
    (name.to_owned(), Attribute::Int(value))
}

fn float(name: &str, value: f32) -> (String, Attribute) {
    (name.to_owned(), Attribute::Float(value))
}

fn text(name: &str, value: &str) -> (String, Attribute) {
    (name.to_owned(), Attribute::String(value.to_owned()))
}

fn ints(name: &str, values: Vec<i64>) -> (String, Attribute) {
    (name.to_owned(), Attribute::Ints(values))
}
