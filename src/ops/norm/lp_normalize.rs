//! `LpNormalization` and `RMSNormalization`: division by a norm or a root mean square.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{
        KernelSet, moments,
        number::Number,
        simd::{self, PairFunction, Side},
    },
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    shape::Dim,
    tensor::DType,
};

/// `x / (sum |x|^p)^(1/p)` over one axis; zeros stay zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LpNormalize {
    /// The axis; negative counts from the end.
    pub axis: i64,
    /// Whether p is 2, otherwise 1.
    pub euclidean: bool,
}

/// `x / sqrt(mean x^2 + epsilon) * scale` over the last axes (Zhang and Sennrich, Root Mean Square
/// Layer Normalization).
///
/// Operands: `x`; `scale` of the shape of those axes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsNorm {
    /// The first of the axes; negative counts from the end.
    pub axis: i64,
    /// Added to the mean square.
    pub epsilon: f32,
}

pub(crate) static LP: OpDef = OpDef {
    name: "LpNormalization",
    onnx: Some(decode_lp),
    cases: lp_cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(lp_kernel),
    gpu: GpuState::Kernel("norm"),
};

pub(crate) static RMS: OpDef = OpDef {
    name: "RMSNormalization",
    onnx: Some(decode_rms),
    cases: rms_cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(rms_kernel),
    gpu: GpuState::Kernel("norm"),
};

fn decode_lp(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let axis = node.int("axis")?.unwrap_or(-1);
    let euclidean = match node.int("p")?.unwrap_or(2) {
        1 => false,
        2 => true,
        other => return Err(Error::unsupported(format!("`p` is {other}, expected 1 or 2"))),
    };
    Ok(Arc::new(LpNormalize { axis, euclidean }))
}

fn decode_rms(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let (axis, epsilon) = (node.int("axis")?.unwrap_or(-1), node.float("epsilon")?.unwrap_or(1e-5));
    if let Some(stash) = node.int("stash_type")?
        && stash != 1
    {
        return Err(Error::unsupported(format!("`stash_type` is {stash}, expected 1 (f32)")));
    }
    Ok(Arc::new(RmsNorm { axis, epsilon }))
}

/// The f32 operand, whose shape is also the result's.
fn same(inputs: &Inputs<'_>) -> Result<Fact> {
    let input = inputs.required(0)?;
    if input.dtype != DType::F32 {
        return Err(Error::unsupported(format!("a norm of elements of type {}", input.dtype)));
    }
    Ok(Fact::new(input.dtype, input.shape.clone()))
}

impl Operator for LpNormalize {
    fn def(&self) -> &'static OpDef {
        &LP
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        input.shape.axis(self.axis)?;
        match input.dtype {
            DType::F64 => Ok(vec![Fact::new(input.dtype, input.shape.clone())]),
            _ => Ok(vec![same(inputs)?]),
        }
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let own = inputs.fact(0)?.shape.axis(self.axis).ok()?;
        (axes[0] != Some(own)).then(|| vec![axes[0]])
    }
}

impl Operator for RmsNorm {
    fn def(&self) -> &'static OpDef {
        &RMS
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(2, 2)?;
        let (fact, scale) = (same(inputs)?, inputs.required(1)?);
        let axis = fact.shape.axis(self.axis)?;
        let misfit = || Error::invalid_model(format!("a scale {scale} of the last axes of {fact}"));
        let last = &fact.shape.dims()[axis..];
        if scale.dtype != DType::F32 || scale.shape.rank() != last.len() {
            return Err(misfit());
        }
        for (size, own) in last.iter().zip(scale.shape.dims()) {
            inputs.equal("an axis of the scale", size, own).map_err(|_| misfit())?;
        }
        Ok(vec![fact])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let own = inputs.fact(0)?.shape.axis(self.axis).ok()?;
        (axes[1].is_none() && axes[0].is_none_or(|batch| batch < own)).then(|| vec![axes[0]])
    }
}

struct LpKernel {
    axis: usize,
    euclidean: bool,
}

fn lp_kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let op = request.op::<LpNormalize>()?;
    Ok(Box::new(LpKernel { axis: request.input(0)?.shape.axis(op.axis)?, euclidean: op.euclidean }))
}

impl CpuKernel for LpKernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        match io.input(0)?.dtype {
            DType::F64 => self.run_on::<f64>(io),
            _ => self.run_on::<f32>(io),
        }
    }
}

impl LpKernel {
    fn run_on<T: Number>(&self, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?;
        let (axis, inner) = (input.shape[self.axis], input.shape[self.axis + 1..].iter().product::<usize>());
        let output = io.output(0)?.slice::<T>()?;
        if output.is_empty() {
            return Ok(());
        }
        let parts = input.slice::<T>()?.chunks_exact(axis * inner).zip(output.chunks_exact_mut(axis * inner));
        for (from, to) in parts {
            for column in 0..inner {
                let magnitudes = from[column..].iter().step_by(inner).map(|x| x.wide().abs());
                let length =
                    if self.euclidean { magnitudes.map(|x| x * x).sum::<f64>().sqrt() } else { magnitudes.sum() };
                let length = if length == 0.0 { 1.0 } else { length };
                for (to, x) in to[column..].iter_mut().step_by(inner).zip(from[column..].iter().step_by(inner)) {
                    *to = T::narrow(x.wide() / length);
                }
            }
        }
        Ok(())
    }
}

struct RmsKernel {
    axis: usize,
    epsilon: f32,
    set: KernelSet,
}

fn rms_kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let op = request.op::<RmsNorm>()?;
    let axis = request.input(0)?.shape.axis(op.axis)?;
    Ok(Box::new(RmsKernel { axis, epsilon: op.epsilon, set: request.kernel_set() }))
}

impl CpuKernel for RmsKernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let (input, scale) = (io.input(0)?, io.input(1)?.slice::<f32>()?);
        let len: usize = input.shape[self.axis..].iter().product();
        let output = io.output(0)?.slice::<f32>()?;
        if output.is_empty() {
            return Ok(());
        }
        for (from, to) in input.slice::<f32>()?.chunks_exact(len).zip(output.chunks_exact_mut(len)) {
            let mean = moments::sum(from, |x| x * x) / len as f64;
            let factor = 1.0 / (mean + f64::from(self.epsilon)).sqrt();
            simd::combine(self.set, PairFunction::Mul, Side::Each(from), Side::One(factor as f32), to)?;
            simd::combine_in_place(self.set, PairFunction::Mul, to, Side::Each(scale), false)?;
        }
        Ok(())
    }
}

fn lp_cases() -> Vec<Case> {
    let case = |name: &str, axis: i64, euclidean: bool| Case::new(name, LpNormalize { axis, euclidean });
    vec![
        case("rows", -1, true).value(&[3, 37], Fill::Spread),
        case("magnitudes", -1, false).value(&[3, 37], Fill::Spread),
        case("middle", 1, true).value(&[2, 5, 7], Fill::Large),
        case("zeros", 0, true).tensor(crate::Tensor::zeros(DType::F32, [2, 4]).expect("eight numbers")),
        case("empty", 0, false).value(&[0, 4], Fill::Spread),
    ]
}

fn rms_cases() -> Vec<Case> {
    let case = |name: &str, axis: i64| Case::new(name, RmsNorm { axis, epsilon: 1e-5 });
    vec![
        case("rows", -1).value(&[3, 77], Fill::Spread).constant(&[77], Fill::Spread),
        case("last two", 1).value(&[2, 5, 7], Fill::Large).constant(&[5, 7], Fill::Spread),
        case("empty", -1).value(&[0, 4], Fill::Spread).constant(&[4], Fill::Spread),
    ]
}
