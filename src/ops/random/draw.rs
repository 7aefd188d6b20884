//! `RandomNormal` and `RandomUniform`, of a shape of their own or that of an operand.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{
        number::{Number, with_number},
        random,
    },
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, Io, OnnxNode, OpDef, Operator, function_kernel},
    shape::{Dim, Shape},
    tensor::DType,
};

/// Numbers of a distribution.
#[derive(Clone, Debug, PartialEq)]
pub struct Draw {
    /// The distribution.
    pub distribution: Distribution,
    /// What the numbers depend on beside their places.
    pub seed: u64,
    /// The shape; that of the operand where absent.
    pub shape: Option<Vec<Dim>>,
    /// The type; that of the operand where absent.
    pub dtype: Option<DType>,
}

/// A distribution of numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// The normal one.
    Normal {
        /// The mean.
        mean: f64,
        /// The standard deviation.
        deviation: f64,
    },
    /// All numbers of [low, high) alike.
    Uniform {
        /// The least number.
        low: f64,
        /// The bound above.
        high: f64,
    },
}

macro_rules! def {
    ($constant:ident, $name:literal, $decode:ident, $like:literal) => {
        pub(crate) static $constant: OpDef = OpDef {
            name: $name,
            onnx: Some(|node: &mut OnnxNode<'_>| {
                let distribution = $decode(node)?;
                decode(node, distribution, $like)
            }),
            cases: || cases($name, $like),
            accuracy: Accuracy::Pointwise,
            cpu: CpuState::Kernel(|request| function_kernel::<Draw>(request, run)),
            gpu: GpuState::Host("no shader yet"),
        };
    };
}
def!(NORMAL, "RandomNormal", normal, false);
def!(NORMAL_LIKE, "RandomNormalLike", normal, true);
def!(UNIFORM, "RandomUniform", uniform, false);
def!(UNIFORM_LIKE, "RandomUniformLike", uniform, true);

fn normal(node: &mut OnnxNode<'_>) -> Result<Distribution> {
    let (mean, deviation) = (node.float("mean")?.unwrap_or(0.0), node.float("scale")?.unwrap_or(1.0));
    Ok(Distribution::Normal { mean: mean.into(), deviation: deviation.into() })
}

fn uniform(node: &mut OnnxNode<'_>) -> Result<Distribution> {
    let (low, high) = (node.float("low")?.unwrap_or(0.0), node.float("high")?.unwrap_or(1.0));
    Ok(Distribution::Uniform { low: low.into(), high: high.into() })
}

fn decode(node: &mut OnnxNode<'_>, distribution: Distribution, is_like: bool) -> Result<Arc<dyn Operator>> {
    let (seed, mut dtype, mut shape) = (super::seed(node)?, node.dtype("dtype")?, None);
    if !is_like {
        let sizes = node.ints("shape")?.ok_or_else(|| Error::invalid_model("the attribute `shape` is missing"))?;
        shape = Some(sizes.into_iter().map(Dim::number).collect());
        dtype = dtype.or(Some(DType::F32));
    }
    Ok(Arc::new(Draw { distribution, seed, shape, dtype }))
}

impl Operator for Draw {
    fn def(&self) -> &'static OpDef {
        match (self.distribution, self.shape.is_none()) {
            (Distribution::Normal { .. }, false) => &NORMAL,
            (Distribution::Normal { .. }, true) => &NORMAL_LIKE,
            (Distribution::Uniform { .. }, false) => &UNIFORM,
            (Distribution::Uniform { .. }, true) => &UNIFORM_LIKE,
        }
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let (dtype, shape) = match &self.shape {
            Some(shape) => {
                inputs.expect(0, 0)?;
                if let Some(size) = shape.iter().filter_map(Dim::as_fixed).find(|size| *size < 0) {
                    return Err(Error::invalid_model(format!("a size of {size}")));
                }
                (self.dtype.unwrap_or(DType::F32), Shape::new(shape.clone()))
            }
            None => {
                inputs.expect(1, 1)?;
                let input = inputs.required(0)?;
                (self.dtype.unwrap_or(input.dtype), input.shape.clone())
            }
        };
        if !dtype.is_float() {
            return Err(Error::invalid_model(format!("random numbers of type {dtype}")));
        }
        Ok(vec![Fact::new(dtype, shape)])
    }
}

fn run(op: &Draw, io: &mut Io<'_>) -> Result<()> {
    let output = io.output(0)?;
    // Those of a type's significand, so that no number is rounded up to the bound.
    let digits = match output.dtype {
        DType::F64 => 53,
        DType::F16 => 11,
        DType::BF16 => 8,
        _ => 24,
    };
    let draw = |place: usize| match op.distribution {
        Distribution::Normal { mean, deviation } => mean + deviation * random::normal(op.seed, place as u64),
        Distribution::Uniform { low, high } => low + (high - low) * random::unit(op.seed, place as u64, digits),
    };
    with_number!(output.dtype, T => {
        output.slice::<T>()?.iter_mut().enumerate().for_each(|(place, to)| *to = T::narrow(draw(place)));
        Ok(())
    }, else Err(Error::internal("random numbers of Booleans were not refused")))
}

fn cases(name: &str, is_like: bool) -> Vec<Case> {
    let distributions = match name.starts_with("RandomNormal") {
        true => [(0.0, 1.0), (-3.0, 0.25)].map(|(mean, deviation)| Distribution::Normal { mean, deviation }),
        false => [(0.0, 1.0), (-2.0, 7.0)].map(|(low, high)| Distribution::Uniform { low, high }),
    };
    let mut cases = Vec::new();
    for (distribution, dtype) in distributions
        .into_iter()
        .flat_map(|own| [DType::F32, DType::F64, DType::F16, DType::BF16].map(|dtype| (own, dtype)))
    {
        for sizes in [&[3, 2, 5][..], &[], &[0, 4]] {
            let shape = (!is_like).then(|| sizes.iter().map(|&size: &usize| Dim::from(size)).collect());
            let op = Draw { distribution, seed: 7 + sizes.len() as u64, shape, dtype: Some(dtype) };
            let case = Case::new(format!("{distribution:?}, {dtype}, {sizes:?}"), op);
            cases.push(if is_like { case.value(sizes, Fill::Hostile) } else { case });
        }
    }
    if is_like {
        let op = Draw { distribution: distributions[0], seed: u64::MAX, shape: None, dtype: None };
        cases.push(Case::new("the operand's type", op).value(&[4, 3], Fill::Spread));
    }
    cases
}
