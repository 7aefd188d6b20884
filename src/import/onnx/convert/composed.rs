//! Operators that are others put together, as ONNX defines them.

mod maps;
mod norms;
mod products;
mod ranges;
mod training;

use crate::{
    error::{Error, Result},
    graph::{Graph, ValueId},
    import::onnx::{
        convert::{batch_norm, call::Call},
        lowered::is_flex_attention,
    },
    op::{Attribute, OnnxNode},
    ops::{
        moves::{reshape::Reshape, transpose::Transpose},
        pointwise::{Unary, UnaryFunction, cast::Cast},
    },
    shape::{Condition, Dim, Shape},
    tensor::{DType, Tensor},
};

/// The operator set of the nodes that others are made of.
const OPSET: i64 = 18;

/// Builds the results of a node.
type Compose = fn(&mut Composer<'_>, &Call<'_>) -> Result<Vec<ValueId>>;

/// Whether every node of an operator is put together from others.
pub(in crate::import::onnx) fn is_composed(domain: &str, op_type: &str) -> bool {
    find(domain, op_type).is_some() || is_flex_attention(domain, op_type)
}

/// How an operator is put together, if all its nodes are in the same way.
fn find(domain: &str, op_type: &str) -> Option<Compose> {
    Some(match (domain, op_type) {
        ("", "CausalConvWithState") => causal_conv,
        ("", "SwiGLU") => swiglu,
        ("ai.onnx.ml", "CastMap") => maps::cast_map,
        ("ai.onnx.preview.training", "Adagrad") => training::adagrad,
        ("ai.onnx.preview.training", "Adam") => training::adam,
        ("ai.onnx.preview.training", "Momentum") => training::momentum,
        _ => return None,
    })
}

/// How this node is put together; nodes of some operators are, that have a kernel for others.
pub(super) fn of_call(graph: &Graph, call: &Call<'_>) -> Option<Compose> {
    let dtype = || call.inputs.first().copied().flatten().map(|id| graph.fact(id).dtype);
    let attribute = |name: &str| call.attributes.iter().find(|(own, _)| own == name).map(|(_, value)| value);
    match (call.domain, call.op_type) {
        ("", "Swish") if !matches!(attribute("alpha"), None | Some(Attribute::Float(1.0))) => Some(swish),
        ("", "SpaceToDepth") if matches!(attribute("mode"), Some(Attribute::String(mode)) if mode == "CRD") => {
            Some(space_to_depth)
        }
        ("", "Range") if ranges::is_sized(graph, call) => Some(ranges::sized),
        ("", "MatMul") if dtype().is_some_and(products::is_summed_plainly) => Some(products::matmul),
        ("", "Gemm") if dtype().is_some_and(products::is_summed_plainly) => Some(products::gemm),
        ("", op_type) if dtype() == Some(DType::F64) && call.outputs == 1 && !batch_norm::trains(call) => match op_type
        {
            "BatchNormalization" => Some(norms::batch),
            "GlobalAveragePool" | "GlobalMaxPool" => Some(norms::global_pool),
            "GroupNormalization" => Some(norms::group),
            "InstanceNormalization" => Some(norms::instance),
            "LayerNormalization" | "RMSNormalization" => Some(norms::layer),
            op_type => find("", op_type),
        },
        (domain, op_type) => find(domain, op_type),
    }
}

/// The value as one of that shape, where only a run may tell that it has it.
pub(super) fn as_shape(graph: &mut Graph, name: &str, place: String, id: ValueId, shape: &Shape) -> Result<ValueId> {
    let own = graph.fact(id).shape.clone();
    if own.rank() != shape.rank() {
        return Err(Error::invalid_model(format!("a value of shape {own} where {shape} is needed")));
    }
    let conditions = own.dims().iter().zip(shape.dims()).map(|(own, due)| Condition::equal("an axis", own, due));
    let open: Vec<Condition> = conditions.filter(|condition| condition.decide() != Some(true)).collect();
    if let Some(wrong) = open.iter().find(|condition| condition.decide() == Some(false)) {
        return Err(Error::invalid_model(wrong.violation()));
    }
    graph.assume(place, open)?;
    graph.apply(name, Reshape::to(shape), &[id])
}

/// Where nodes are added.
pub(super) trait Nodes {
    /// The graph.
    fn graph(&mut self) -> &mut Graph;

    /// Adds a node, and returns its results.
    fn add_call(&mut self, call: &Call<'_>, place: &dyn Fn() -> String) -> Result<Vec<ValueId>>;
}

/// Adds the nodes that an operator is made of.
pub(super) struct Composer<'x> {
    pub(super) nodes: &'x mut dyn Nodes,
    /// The name of the node that is put together.
    pub(super) name: &'x str,
    /// What errors say of its place.
    pub(super) place: &'x dyn Fn() -> String,
}

impl Composer<'_> {
    /// Adds a node of an ONNX operator with one result.
    pub(super) fn node(
        &mut self,
        op_type: &str,
        inputs: &[Option<ValueId>],
        attributes: Vec<(&str, Attribute)>,
    ) -> Result<ValueId> {
        let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let (name, inputs) = (self.name, inputs.to_vec());
        let call = Call { name, domain: "", opset: OPSET, op_type, attributes, inputs, outputs: 1, named: 1 };
        let made = self.nodes.add_call(&call, self.place)?;
        made.first().copied().ok_or_else(|| Error::internal(format!("{op_type} has no result")))
    }

    /// Adds a node without attributes.
    pub(super) fn of(&mut self, op_type: &str, inputs: &[ValueId]) -> Result<ValueId> {
        self.node(op_type, &inputs.iter().copied().map(Some).collect::<Vec<_>>(), Vec::new())
    }

    pub(super) fn graph(&mut self) -> &mut Graph {
        self.nodes.graph()
    }

    /// The value as one of that shape, where only a run may tell that it has it.
    ///
    /// # Errors
    /// When no run can.
    pub(super) fn same_shape(&mut self, id: ValueId, shape: &Shape) -> Result<ValueId> {
        let (place, name) = ((self.place)(), self.name);
        as_shape(self.graph(), name, place, id, shape)
    }

    pub(super) fn dtype(&mut self, id: ValueId) -> DType {
        self.graph().fact(id).dtype
    }

    pub(super) fn shape(&mut self, id: ValueId) -> Shape {
        self.graph().fact(id).shape.clone()
    }

    /// The value in another type.
    pub(super) fn cast(&mut self, id: ValueId, to: DType) -> Result<ValueId> {
        let name = self.name;
        if self.dtype(id) == to { Ok(id) } else { self.graph().apply(name, Cast { to }, &[id]) }
    }

    /// A constant number of a floating-point type.
    pub(super) fn number(&mut self, value: f32, dtype: DType) -> Result<ValueId> {
        let tensor = match dtype {
            DType::F32 => Tensor::scalar(value),
            DType::F64 => Tensor::scalar(f64::from(value)),
            DType::F16 => Tensor::scalar(half::f16::from_f32(value)),
            DType::BF16 => Tensor::scalar(half::bf16::from_f32(value)),
            other => return Err(Error::unsupported(format!("elements of type {other}"))),
        };
        Ok(self.graph().constant("number", tensor))
    }

    /// The value times a number.
    pub(super) fn times(&mut self, id: ValueId, number: f32) -> Result<ValueId> {
        let dtype = self.dtype(id);
        let number = self.number(number, dtype)?;
        self.of("Mul", &[id, number])
    }
}

/// The attributes of a node, which must all be read.
fn attributes<T>(call: &Call<'_>, read: impl FnOnce(&mut OnnxNode<'_>) -> Result<T>) -> Result<T> {
    let graph = Graph::default();
    let mut node = OnnxNode::new(&graph, call.opset, call.op_type, call.attributes.clone(), Vec::new(), call.outputs);
    let read = read(&mut node)?;
    node.finish()?;
    Ok(read)
}

/// Operand `index`, which must be present.
fn operand(call: &Call<'_>, index: usize) -> Result<ValueId> {
    let id = call.inputs.get(index).copied().flatten();
    id.ok_or_else(|| Error::invalid_model(format!("operand {index} is missing")))
}

/// `x / (1 + e^(-alpha x))`
fn swish_of(own: &mut Composer<'_>, x: ValueId, alpha: f32) -> Result<ValueId> {
    let name = own.name;
    if alpha == 1.0 {
        return own.graph().apply(name, Unary { function: UnaryFunction::Silu }, &[x]);
    }
    let scaled = own.times(x, alpha)?;
    let gate = own.of("Sigmoid", &[scaled])?;
    own.of("Mul", &[x, gate])
}

fn swish(own: &mut Composer<'_>, call: &Call<'_>) -> Result<Vec<ValueId>> {
    let alpha = attributes(call, |node| Ok(node.float("alpha")?.unwrap_or(1.0)))?;
    Ok(vec![swish_of(own, operand(call, 0)?, alpha)?])
}

fn swiglu(own: &mut Composer<'_>, call: &Call<'_>) -> Result<Vec<ValueId>> {
    let alpha = attributes(call, |node| Ok(node.float("alpha")?.unwrap_or(1.0)))?;
    let (gate, value) = (operand(call, 0)?, operand(call, 1)?);
    let (a, b) = (own.shape(gate), own.shape(value));
    if a != b {
        return Err(Error::invalid_model(format!("a gate {a} for values {b}; their shapes must be equal")));
    }
    let gate = swish_of(own, gate, alpha)?;
    Ok(vec![own.of("Mul", &[gate, value])?])
}

/// A convolution of each channel by itself over the elements up to a position; and the last elements,
/// for the positions that follow.
fn causal_conv(own: &mut Composer<'_>, call: &Call<'_>) -> Result<Vec<ValueId>> {
    let is_silu = attributes(call, |node| match node.string("activation")?.as_deref() {
        None | Some("none") => Ok(false),
        Some("silu" | "swish") => Ok(true),
        Some(other) => Err(Error::invalid_model(format!("the activation `{other}`"))),
    })?;
    let (x, weights) = (operand(call, 0)?, operand(call, 1)?);
    let optional = |index: usize| call.inputs.get(index).copied().flatten();
    let shape = own.shape(weights);
    let fixed = |dim: &Dim| dim.as_fixed().filter(|&size| size > 0);
    let [channels, one, taps] = shape.dims() else {
        return Err(Error::invalid_model(format!("weights {shape}, expected [channels, 1, taps]")));
    };
    let (Some(channels), Some(1), Some(taps)) = (fixed(channels), fixed(one), fixed(taps)) else {
        return Err(Error::unsupported(format!("weights {shape}, expected [channels, 1, taps] of fixed sizes")));
    };
    let before = taps - 1;
    let padded = match optional(3) {
        Some(past) => {
            let given = own.shape(past);
            if given.dims().get(2).and_then(Dim::as_fixed).is_some_and(|given| given != before) {
                return Err(Error::invalid_model(format!("a state {given} for {taps} taps")));
            }
            own.node("Concat", &[Some(past), Some(x)], vec![("axis", Attribute::Int(2))])?
        }
        None => {
            let pads = own.graph().constant("pads", Tensor::new([6], &[0, 0, before, 0, 0, 0])?);
            own.of("Pad", &[x, pads])?
        }
    };
    let conv = vec![("group", Attribute::Int(channels)), ("kernel_shape", Attribute::Ints(vec![taps]))];
    let mut result = own.node("Conv", &[Some(padded), Some(weights), optional(2)], conv)?;
    if is_silu {
        result = swish_of(own, result, 1.0)?;
    }
    // Without a state the last element would be the first one from the end; nothing is past the end.
    let start = if before == 0 { i64::MAX } else { -before };
    let mut list =
        |name: &str, value: i64| -> Result<ValueId> { Ok(own.graph().constant(name, Tensor::new([1], &[value])?)) };
    let (start, end, axis) = (list("start", start)?, list("end", i64::MAX)?, list("axis", 2)?);
    let state = own.of("Slice", &[padded, start, end, axis])?;
    Ok(vec![result, state])
}

/// The channels of a block's elements one behind another, channel by channel.
fn space_to_depth(own: &mut Composer<'_>, call: &Call<'_>) -> Result<Vec<ValueId>> {
    let block = attributes(call, |node| {
        node.string("mode")?;
        node.int("blocksize")?
            .filter(|&block| block > 0)
            .ok_or_else(|| Error::invalid_model("`blocksize` is missing or not positive"))
    })?;
    let x = operand(call, 0)?;
    let (shape, side) = (own.shape(x), Dim::number(block));
    let [n, c, h, w] = shape.dims() else {
        return Err(Error::invalid_model(format!("{shape} is not [N, C, H, W]")));
    };
    let part = |dim: &Dim| {
        let part = dim.exact_div(&side);
        part.ok_or_else(|| Error::invalid_model(format!("the size {dim} is not known to be a multiple of {block}")))
    };
    let (rows, columns) = (part(h)?, part(w)?);
    let cut: Shape = [n, c, &rows, &side, &columns, &side].into_iter().cloned().collect();
    let joined: Shape = [n.clone(), &(c * &side) * &side, rows, columns].into_iter().collect();
    let name = own.name;
    let cut = own.graph().apply(name, Reshape::to(&cut), &[x])?;
    let turned = own.graph().apply(name, Transpose { perm: Some(vec![0, 1, 3, 5, 2, 4]) }, &[cut])?;
    Ok(vec![own.graph().apply(name, Reshape::to(&joined), &[turned])?])
}
