//! `Multinomial`: classes drawn by the logarithms of their weights.

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

/// Numbers of classes, drawn with replacement for each row of `[rows, classes]`, which holds the logarithms of weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Multinomial {
    /// What the draws depend on beside their places.
    pub seed: u64,
    /// The draws of a row.
    pub samples: usize,
    /// The type: i32 or i64.
    pub dtype: DType,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "Multinomial",
    onnx: Some(|node: &mut OnnxNode<'_>| {
        let (seed, dtype) = (super::seed(node)?, node.dtype("dtype")?.unwrap_or(DType::I32));
        let samples = usize::try_from(node.int("sample_size")?.unwrap_or(1));
        let samples = samples.map_err(|_| Error::invalid_model("a negative sample_size"))?;
        Ok(Arc::new(Multinomial { seed, samples, dtype }))
    }),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(|request| function_kernel::<Multinomial>(request, run)),
    gpu: GpuState::Host("no shader yet"),
};

impl Operator for Multinomial {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        let [rows, classes] = input.shape.dims() else {
            return Err(Error::invalid_model(format!("{input}, expected rows of classes")));
        };
        if !input.dtype.is_float() || !matches!(self.dtype, DType::I32 | DType::I64) || classes.as_fixed() == Some(0) {
            return Err(Error::invalid_model(format!("draws of type {} from {input}", self.dtype)));
        }
        Ok(vec![Fact::new(self.dtype, Shape::new(vec![rows.clone(), Dim::from(self.samples)]))])
    }
}

fn run(op: &Multinomial, io: &mut Io<'_>) -> Result<()> {
    let input = io.input(0)?;
    let classes = input.shape[1];
    let logarithms: Vec<f64> = with_number!(input.dtype, T => input.slice::<T>()?.iter().map(|x| x.wide()).collect(),
        else return Err(Error::internal("weights that are Booleans were not refused")));
    if classes == 0 && !io.output(0)?.bytes.is_empty() {
        return Err(Error::invalid_input("a draw from no classes"));
    }
    let mut drawn = Vec::with_capacity(logarithms.len() / classes.max(1) * op.samples);
    for logarithms in logarithms.chunks_exact(classes.max(1)) {
        let most = logarithms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = logarithms.iter().map(|own| (own - most).exp()).collect();
        let sum: f64 = weights.iter().sum();
        for _ in 0..op.samples {
            let mut left = random::unit(op.seed, drawn.len() as u64, 53) * sum;
            let class = weights.iter().position(|weight| {
                left -= weight;
                left < 0.0
            });
            // Where rounding leaves a little, and where weights are NaN.
            drawn.push(class.unwrap_or(classes - 1) as i64);
        }
    }
    let output = io.output(0)?;
    match output.dtype {
        DType::I32 => output.slice::<i32>()?.iter_mut().zip(drawn).for_each(|(to, class)| *to = class as i32),
        _ => output.slice::<i64>()?.copy_from_slice(&drawn),
    }
    Ok(())
}

fn cases() -> Vec<Case> {
    let of = |samples, dtype| Multinomial { seed: 11, samples, dtype };
    vec![
        Case::new("many draws", of(40, DType::I64)).value(&[3, 5], Fill::Spread),
        Case::new("a draw", of(1, DType::I32)).value(&[4, 2], Fill::Spread),
        Case::new("one class", of(3, DType::I32)).value(&[2, 1], Fill::Spread),
        Case::new("no rows", of(3, DType::I64)).value(&[0, 4], Fill::Spread),
    ]
}
