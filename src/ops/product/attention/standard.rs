//! ONNX's `Attention`, with caches, grouped heads, windows and the scores as a result.

mod cases;
mod run;

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, CpuState, GpuState, Inputs, OnnxNode, OpDef, Operator, function_kernel},
    shape::{Dim, Shape},
    tensor::DType,
};

/// Attention as ONNX defines it.
///
/// Operands: the queries, keys and values, `[batch, heads, length, size]`, or
/// `[batch, length, heads size]` where the numbers of heads are given; and those that may be
/// absent: the mask, the keys and values of earlier runs, and the lengths of the keys that count.
/// Results: as many of the attention, the keys and values with the earlier ones, and the scores as
/// are wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StandardAttention {
    /// The factor of the scores; the root of the size's reciprocal where absent.
    pub scale: Option<f32>,
    /// Whether a query attends to no later key.
    pub causal: bool,
    /// The heads of the queries, and of the keys and values, of operands with three dimensions.
    pub heads: Option<(usize, usize)>,
    /// The magnitude that scores are bent to, 0 for none.
    pub softcap: f32,
    /// Which scores the fourth result holds.
    pub scores: Scores,
    /// The most positions that a key may be before its query, and after it.
    pub window: [Option<usize>; 2],
    /// The number of results.
    pub results: usize,
}

/// The scores of the fourth result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scores {
    /// The products.
    Products,
    /// Bent by the soft cap.
    Capped,
    /// With the mask.
    Masked,
    /// After the softmax.
    Softmax,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "StandardAttention",
    onnx: None,
    cases: cases::cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(|request| function_kernel::<StandardAttention>(request, run::run)),
    gpu: GpuState::Host("no shader yet"),
};

pub(crate) fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let count = |name: &str, value: Option<i64>| {
        let wrong = || Error::invalid_model(format!("`{name}` is {value:?}, expected a positive number"));
        value.map(|value| usize::try_from(value).ok().filter(|&value| value > 0).ok_or_else(wrong)).transpose()
    };
    let (q, kv) = (node.int("q_num_heads")?, node.int("kv_num_heads")?);
    let heads = count("q_num_heads", q)?.zip(count("kv_num_heads", kv)?);
    let scores = match node.int("qk_matmul_output_mode")? {
        None | Some(0) => Scores::Products,
        Some(1) => Scores::Capped,
        Some(2) => Scores::Masked,
        Some(3) => Scores::Softmax,
        Some(other) => return Err(Error::invalid_model(format!("`qk_matmul_output_mode` is {other}"))),
    };
    // Sums are wide enough for every type that a file may ask for.
    node.int("softmax_precision")?;
    let mut side = |name: &str| match node.int(name)? {
        None | Some(-1) => Ok(None),
        Some(size) => usize::try_from(size).map(Some).map_err(|_| Error::invalid_model(format!("`{name}` is {size}"))),
    };
    let window = [side("left_window_size")?, side("right_window_size")?];
    Ok(Arc::new(StandardAttention {
        scale: node.float("scale")?,
        causal: node.flag("is_causal", false)?,
        heads,
        softcap: node.float("softcap")?.unwrap_or(0.0),
        scores,
        window,
        results: node.output_count().clamp(1, 4),
    }))
}

impl StandardAttention {
    /// `[batch, heads, length, size]` of an operand.
    fn four(shape: &Shape, heads: Option<usize>) -> Option<[Dim; 4]> {
        match (shape.dims(), heads) {
            ([batch, heads, length, size], _) => Some([batch, heads, length, size].map(Dim::clone)),
            ([batch, length, width], Some(heads)) => {
                let size = width.exact_div(&Dim::from(heads))?;
                Some([batch.clone(), Dim::from(heads), length.clone(), size])
            }
            _ => None,
        }
    }
}

impl Operator for StandardAttention {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(3, 7)?;
        let (q, k, v) = (inputs.required(0)?, inputs.required(1)?, inputs.required(2)?);
        let misfit = || Error::invalid_model(format!("attention of {q}, {k} and {v}: the operands do not fit"));
        if !q.dtype.is_float() || k.dtype != q.dtype || v.dtype != q.dtype {
            return Err(Error::unsupported(format!("attention of {q}, {k} and {v}")));
        }
        let (of_q, of_kv) = self.heads.unzip();
        let [batch, heads, queries, size] = Self::four(&q.shape, of_q).ok_or_else(misfit)?;
        let [_, kv_heads, new, k_size] = Self::four(&k.shape, of_kv).ok_or_else(misfit)?;
        let [_, v_heads, v_new, v_size] = Self::four(&v.shape, of_kv).ok_or_else(misfit)?;
        let unlike = |a: &Dim, b: &Dim| a.as_fixed().zip(b.as_fixed()).is_some_and(|(a, b)| a != b);
        let grouped = heads.as_fixed().zip(kv_heads.as_fixed()).is_none_or(|(q, kv)| kv > 0 && q % kv == 0);
        if unlike(&size, &k_size) || unlike(&kv_heads, &v_heads) || unlike(&new, &v_new) || !grouped {
            return Err(misfit());
        }
        let past = match (inputs.fact(4), inputs.fact(5)) {
            (None, None) => Dim::from(0),
            (Some(key), Some(value)) if key.shape.rank() == 4 && value.shape.rank() == 4 => key.shape[2].clone(),
            _ => return Err(Error::invalid_model("earlier keys without values, or not of four dimensions")),
        };
        if [4, 5].iter().any(|&index| inputs.fact(index).is_some_and(|fact| fact.dtype != q.dtype)) {
            return Err(misfit());
        }
        if let Some(mask) = inputs.fact(3)
            && (mask.shape.rank() > 4 || !(mask.dtype == DType::Bool || mask.dtype.is_float()))
        {
            return Err(Error::unsupported(format!("attention with the mask {mask}")));
        }
        if let Some(lengths) = inputs.fact(6)
            && (lengths.dtype != DType::I64 || lengths.shape.rank() != 1 || inputs.fact(4).is_some())
        {
            return Err(Error::invalid_model(format!("lengths {lengths} of keys, or next to earlier keys")));
        }
        let total = &past + &new;
        let y = match q.shape.rank() {
            4 => vec![batch.clone(), heads.clone(), queries.clone(), v_size.clone()],
            _ => vec![batch.clone(), queries.clone(), &heads * &v_size],
        };
        let present = |size: Dim| vec![batch.clone(), kv_heads.clone(), total.clone(), size];
        let all = [y, present(size), present(v_size), vec![batch.clone(), heads, queries, total.clone()]];
        Ok(all.into_iter().take(self.results).map(|dims| Fact::new(q.dtype, Shape::new(dims))).collect())
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let mask = inputs.fact(3).map(|fact| &fact.shape);
        let apart = |index: usize| match (index, mask) {
            _ if inputs.id(index).is_none() => true,
            (3, Some(mask)) if mask.rank() == 4 => axes[3] == Some(0) || mask[0].as_fixed() == Some(1),
            (3, _) => axes[3].is_none(),
            _ => axes[index] == Some(0),
        };
        (0..axes.len()).all(apart).then(|| vec![Some(0); self.results])
    }
}
