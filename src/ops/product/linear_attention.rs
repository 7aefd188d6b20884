//! `LinearAttention`: attention by a state that each position changes.

mod step;

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, OnnxNode, OpDef, Operator, function_kernel},
    shape::{Dim, Shape},
    tensor::DType,
};

/// A state of each head, which positions change one after another and read.
///
/// Operands: queries `[batch, positions, query_heads * keys]`, keys `[.., heads * keys]`, values
/// `[.., heads * width]`; the state before, `[batch, heads, keys, width]`, zeros where it is absent;
/// the logarithms of the decay `[.., heads * keys]` or `[.., heads]`; the rates `[.., heads]` or
/// `[.., 1]`. Results: `[.., query_heads * width]`, and the state after. Query heads share the
/// states in groups of neighbours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinearAttention {
    /// The heads of the queries.
    pub query_heads: usize,
    /// The heads of keys, values and states; a divisor of the query heads.
    pub heads: usize,
    /// The factor of the results; 0 for the usual one.
    pub scale: f32,
    /// Whether the state decays.
    pub decays: bool,
    /// Whether a value is corrected by what the state holds under its key.
    pub corrects: bool,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "LinearAttention",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(|request| function_kernel::<LinearAttention>(request, step::run)),
    gpu: GpuState::Host("no shader yet"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    // How the work is cut does not matter to the result.
    node.int("chunk_size")?;
    let (decays, corrects) = match node.string("update_rule")?.as_deref() {
        Some("linear") => (false, false),
        Some("gated") => (true, false),
        Some("delta") => (false, true),
        None | Some("gated_delta") => (true, true),
        Some(other) => return Err(Error::invalid_model(format!("the update rule `{other}`"))),
    };
    let mut heads = |name: &str| {
        let heads = node.int(name)?.and_then(|heads| usize::try_from(heads).ok()).filter(|&heads| heads > 0);
        heads.ok_or_else(|| Error::invalid_model(format!("`{name}` is missing or not positive")))
    };
    let (query_heads, heads) = (heads("q_num_heads")?, heads("kv_num_heads")?);
    if !query_heads.is_multiple_of(heads) {
        return Err(Error::invalid_model(format!("{query_heads} query heads for {heads} heads of keys")));
    }
    let scale = node.float("scale")?.unwrap_or(0.0);
    Ok(Arc::new(LinearAttention { query_heads, heads, scale, decays, corrects }))
}

impl LinearAttention {
    /// A size of the last axis, in parts for each head.
    fn per_head(fact: &Fact, heads: usize) -> Result<usize> {
        let last = match fact.shape.dims() {
            [_, _, last] => last.as_fixed().and_then(|last| usize::try_from(last).ok()),
            _ => None,
        };
        let last = last.ok_or_else(|| {
            Error::unsupported(format!("an operand {fact}; it must have three axes, of which the last is fixed"))
        })?;
        match last % heads {
            0 => Ok(last / heads),
            _ => Err(Error::invalid_model(format!("the last axis of {fact} has no equal parts for {heads} heads"))),
        }
    }
}

impl Operator for LinearAttention {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(3, 6)?;
        let [query, key, value] = [inputs.required(0)?, inputs.required(1)?, inputs.required(2)?];
        if !matches!(query.dtype, DType::F32 | DType::F16 | DType::BF16) {
            return Err(Error::unsupported(format!("queries {query}")));
        }
        let keys = Self::per_head(query, self.query_heads)?;
        let width = Self::per_head(value, self.heads)?;
        if Self::per_head(key, self.heads)? != keys {
            return Err(Error::invalid_model(format!("keys {key} for queries {query}")));
        }
        for (index, is_used, name) in [(4, self.decays, "decay"), (5, self.corrects, "rates")] {
            if inputs.fact(index).is_some() != is_used {
                let what = if is_used { "needs" } else { "takes no" };
                return Err(Error::invalid_model(format!("the update rule {what} operand {index}, the {name}")));
            }
        }
        let last = |index: usize| inputs.fact(index).map(|fact| Self::per_head(fact, 1)).transpose();
        if last(4)?.is_some_and(|last| last != self.heads && last != self.heads * keys) {
            return Err(Error::invalid_model(format!("the decay of {} heads of {keys} keys", self.heads)));
        }
        if last(5)?.is_some_and(|last| last != self.heads && last != 1) {
            return Err(Error::invalid_model(format!("the rates of {} heads", self.heads)));
        }
        let [batch, positions] = [0, 1].map(|axis| query.shape[axis].clone());
        for fact in [1, 2, 4, 5].into_iter().filter_map(|index| inputs.fact(index)) {
            if fact.dtype != query.dtype {
                return Err(Error::invalid_model(format!("an operand {fact} beside queries {query}")));
            }
            inputs.equal("the number of items", &batch, &fact.shape[0])?;
            inputs.equal("the number of positions", &positions, &fact.shape[1])?;
        }
        let state = Shape::new(vec![batch.clone(), self.heads.into(), keys.into(), width.into()]);
        let dtype = match inputs.fact(3) {
            None => query.dtype,
            Some(past) => {
                let misfit = || Error::invalid_model(format!("a state {past}, expected {state}"));
                if past.shape.rank() != 4 || !past.dtype.is_float() {
                    return Err(misfit());
                }
                for (own, due) in past.shape.dims().iter().zip(state.dims()) {
                    inputs.equal("an axis of the state", due, own).map_err(|_| misfit())?;
                }
                past.dtype
            }
        };
        let result = Shape::new(vec![batch, positions, (self.query_heads * width).into()]);
        Ok(vec![Fact::new(query.dtype, result), Fact::new(dtype, state)])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let first = |(index, axis): (usize, &Option<usize>)| inputs.fact(index).is_none() || *axis == Some(0);
        axes.iter().enumerate().all(first).then(|| vec![Some(0), Some(0)])
    }
}

fn cases() -> Vec<Case> {
    let of = |query_heads, heads, decays, corrects| LinearAttention {
        query_heads,
        heads,
        scale: if decays { 0.0 } else { 0.7 },
        decays,
        corrects,
    };
    // Two items of five positions, two heads of three keys and values of four elements.
    let operands = |name: &str, op: LinearAttention| {
        let queries = Case::new(name, op).value(&[2, 5, 3 * op.query_heads], Fill::Spread);
        queries.value(&[2, 5, 6], Fill::Spread).value(&[2, 5, 8], Fill::Spread)
    };
    vec![
        operands("linear", of(2, 2, false, false)),
        operands("gated", of(2, 2, true, false)).value(&[2, 2, 3, 4], Fill::Spread).value(&[2, 5, 2], Fill::Spread),
        operands("delta", of(4, 2, false, true)).absent().absent().value(&[2, 5, 1], Fill::Positive),
        operands("gated delta", of(6, 2, true, true))
            .value(&[2, 2, 3, 4], Fill::Spread)
            .value(&[2, 5, 6], Fill::Spread)
            .value(&[2, 5, 2], Fill::Positive),
    ]
}
