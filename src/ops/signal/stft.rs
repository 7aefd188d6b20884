//! `STFT`: Fourier transforms of the frames of a signal.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::fourier::Fourier,
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, Io, OnnxNode, OpDef, Operator, function_kernel},
    ops::wide,
    shape::{Condition, Dim, Shape},
    tensor::{DType, Tensor},
};

/// The frequencies `[batch, frames, frequencies, 2]` of signals `[batch, samples]`, where a last axis
/// of 1 or 2 holds the parts of a sample.
///
/// Further operands: the distance between frames; the weight of each sample of a frame, and the
/// samples of a frame, either of which may be absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stft {
    /// Whether the second half of the frequencies is left out.
    pub onesided: bool,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "STFT",
    onnx: Some(|node: &mut OnnxNode<'_>| Ok(Arc::new(Stft { onesided: node.flag("onesided", true)? }))),
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(|request| function_kernel::<Stft>(request, run)),
    gpu: GpuState::Host("no shader yet"),
};

/// An operand of one integer that is known at load.
fn number(inputs: &Inputs<'_>, index: usize, what: &str) -> Result<Dim> {
    let fact = inputs.required(index)?;
    match fact.elements.as_deref() {
        Some([number]) if fact.dtype.is_integer() => Ok(number.clone()),
        Some(_) => Err(Error::invalid_model(format!("{what} is {fact}, expected one integer"))),
        None => Err(Error::unsupported(format!("{what} depends on data"))),
    }
}

impl Operator for Stft {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(2, 4)?;
        let signal = inputs.required(0)?;
        if !matches!(signal.dtype, DType::F32 | DType::F64) {
            return Err(Error::unsupported(format!("the frequencies of {signal}; only f32 and f64 are")));
        }
        let (batch, samples) = match signal.shape.dims() {
            [batch, samples] => (batch, samples),
            [batch, samples, parts] if matches!(parts.as_fixed(), Some(1 | 2)) => (batch, samples),
            _ => {
                return Err(Error::invalid_model(format!("the frequencies of {signal}: expected [batch, samples, 1]")));
            }
        };
        let window = match inputs.fact(2) {
            None => None,
            Some(window) => match window.shape.dims() {
                [size] if window.dtype == signal.dtype => Some(size),
                _ => return Err(Error::invalid_model(format!("a window {window} for {signal}"))),
            },
        };
        let asked = inputs.id(3).map(|_| number(inputs, 3, "the length of a frame")).transpose()?;
        let length = match (window, asked) {
            (Some(size), Some(asked)) => inputs.equal("the window", &asked, size)?,
            (Some(size), None) => size.clone(),
            (None, Some(asked)) => asked,
            (None, None) => return Err(Error::invalid_model("neither a window nor the length of a frame is given")),
        };
        let (one, step) = (Dim::from(1), number(inputs, 1, "the distance between frames")?);
        inputs.assume(Condition::at_least("the distance between frames", &step, &one))?;
        inputs.assume(Condition::at_least("the length of a frame", &length, &one))?;
        inputs.assume(Condition::at_least("the samples of a signal", samples, &length))?;
        let frames = &(samples - &length).floor_div(&step) + &one;
        let frequencies = if self.onesided { &length.floor_div(&Dim::from(2)) + &one } else { length };
        Ok(vec![Fact::new(signal.dtype, Shape::new([batch.clone(), frames, frequencies, Dim::from(2)]))])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], size: &Dim) -> Option<Vec<Option<usize>>> {
        let symbol = size.as_symbol()?;
        let mentions = |index| inputs.integers(index).is_some_and(|own| own.iter().any(|own| own.mentions(symbol)));
        let apart = axes[0] == Some(0) && axes[1..].iter().all(Option::is_none) && !mentions(1) && !mentions(3);
        apart.then(|| vec![Some(0)])
    }
}

fn run(_: &Stft, io: &mut Io<'_>) -> Result<()> {
    let optional = |index: usize| io.inputs.get(index).copied().flatten().map(wide::read).transpose();
    let (signal, step, window, asked) = (io.input(0)?, wide::read(io.input(1)?)?, optional(2)?, optional(3)?);
    let first = |numbers: &[f64]| numbers.first().map_or(0, |&number| number as usize);
    let (step, parts) = (first(&step), signal.shape.get(2).copied().unwrap_or(1));
    let length = window.as_ref().map_or_else(|| asked.as_deref().map_or(0, first), Vec::len);
    let (samples, numbers) = (signal.shape[1], wide::read(signal)?);
    let output = io.output(0)?;
    let &[batch, frames, frequencies, _] = output.shape else {
        return Err(Error::internal("frequencies have four axes"));
    };
    let (fourier, mut list) = (Fourier::new(length), vec![[0.0; 2]; length]);
    let mut results = Vec::with_capacity(batch * frames * frequencies * 2);
    for item in 0..batch {
        for frame in 0..frames {
            for (at, to) in list.iter_mut().enumerate() {
                let place = (item * samples + frame * step + at) * parts;
                let weight = window.as_ref().map_or(1.0, |window| window[at]);
                let own = |part: usize| if part < parts { weight * numbers[place + part] } else { 0.0 };
                *to = [own(0), own(1)];
            }
            fourier.transform(&mut list);
            results.extend(list[..frequencies].iter().flatten());
        }
    }
    wide::write(output, &results)
}

fn cases() -> Vec<Case> {
    let (half, whole) = (Stft { onesided: true }, Stft { onesided: false });
    let integer = |case: Case, number: i64| case.constant_tensor(Tensor::scalar(number));
    let double = Tensor::new([1, 6, 1], &[1f64, -0.5, 2.0, 0.25, -3.0, 1.5]).expect("six numbers");
    vec![
        integer(integer(Case::new("frames", half).value(&[2, 20, 1], Fill::Spread), 3).absent(), 8),
        integer(Case::new("window", half).value(&[2, 19, 1], Fill::Spread), 4).constant(&[7], Fill::Positive),
        integer(Case::new("whole", whole).value(&[1, 16, 1], Fill::Spread), 5).value(&[6], Fill::Positive),
        integer(Case::new("complex", whole).value(&[2, 12, 2], Fill::Spread), 4).constant(&[4], Fill::Positive),
        integer(Case::new("no parts", half).value(&[2, 12], Fill::Spread), 4).constant(&[4], Fill::Positive),
        integer(integer(Case::new("both", half).value(&[1, 10, 1], Fill::Spread), 2).constant(&[4], Fill::Spread), 4),
        integer(integer(Case::new("f64", half).tensor(double), 1).absent(), 4),
        integer(integer(Case::new("empty", half).value(&[0, 20, 1], Fill::Spread), 3).absent(), 8),
    ]
}
