//! A case's operands, what the oracle makes of them, and how far a result may be from it.

use gristmill::{
    DType, Tensor, Tensors,
    testing::op::{Accuracy, Case, CaseInput},
};

use super::find;

/// The operands of a case that are known only when it runs, under their names.
pub fn inputs_of(case: &Case) -> Tensors {
    let mut inputs = Tensors::new();
    for (index, input) in case.inputs.iter().enumerate() {
        if let CaseInput::Value(tensor) = input {
            inputs.insert(format!("x{index}"), tensor.clone());
        }
    }
    inputs
}

/// What the oracle makes of a case.
pub fn expected(case: &Case) -> Vec<Tensor> {
    expected_of(case, |_, tensor| tensor.clone())
}

/// What the oracle says of operands that `change` has changed.
pub fn expected_of(case: &Case, change: impl Fn(usize, &Tensor) -> Tensor) -> Vec<Tensor> {
    let name = case.op.def().name;
    let inputs: Vec<Option<Tensor>> = case
        .inputs
        .iter()
        .enumerate()
        .map(|(index, input)| match input {
            CaseInput::Value(tensor) | CaseInput::Constant(tensor) => Some(change(index, tensor)),
            CaseInput::Absent => None,
        })
        .collect();
    let oracle = find(name).unwrap_or_else(|| panic!("{name} has no oracle in tests/oracle"));
    oracle(&*case.op, &inputs)
}

/// How far an f32 may be from what is expected; all other types must be equal, f64 nearly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tolerance {
    /// Bit for bit, any NaN for a NaN.
    Exact,
    /// So much, and so much of the expected magnitude.
    Each { absolute: f32, relative: f32 },
    /// As `Each`; the magnitude is at least a tenth of the largest result's, which stands for what was summed.
    Sums { absolute: f32, relative: f32 },
}

impl Tolerance {
    /// Of a backend that claims an operator's accuracy.
    pub fn of(accuracy: Accuracy) -> Self {
        match accuracy {
            Accuracy::Exact => Self::Exact,
            Accuracy::Pointwise => Self::Each { absolute: 1e-6, relative: 1e-5 },
            Accuracy::Reduction => Self::Sums { absolute: 1e-5, relative: 1e-4 },
        }
    }
}

/// The tensor with zeros for the denormals of f32.
pub fn without_denormals(tensor: &Tensor) -> Tensor {
    if tensor.dtype() != DType::F32 {
        return tensor.clone();
    }
    let flushed = |value: &f32| if value.is_subnormal() { 0f32.copysign(*value) } else { *value };
    let values: Vec<f32> = tensor.as_slice::<f32>().unwrap().iter().map(flushed).collect();
    Tensor::new(tensor.shape().to_vec(), &values).unwrap()
}

/// For each element that of the two expected ones to which `got` is nearer.
pub fn nearer(got: &Tensor, want: Tensor, other: &Tensor) -> Tensor {
    if want.bytes() == other.bytes() || [&want, other].iter().any(|own| own.shape() != got.shape()) {
        return want;
    }
    match want.dtype() {
        DType::F32 => {
            let slice = |tensor: &Tensor| tensor.as_slice::<f32>().unwrap().to_vec();
            let apart = |got: f32, want: f32| match (got - want).abs() {
                _ if got == want || (got.is_nan() && want.is_nan()) => 0.0,
                apart if apart.is_nan() => f32::INFINITY,
                apart => apart,
            };
            let pick = |((got, want), other): ((f32, f32), f32)| {
                if apart(got, other) < apart(got, want) { other } else { want }
            };
            let values: Vec<f32> = slice(got).into_iter().zip(slice(&want)).zip(slice(other)).map(pick).collect();
            Tensor::new(want.shape().to_vec(), &values).unwrap()
        }
        DType::Bool => {
            let same = |((got, want), other): ((&u8, &u8), &u8)| if got == other { *other } else { *want };
            let bytes: Vec<u8> = got.bytes().iter().zip(want.bytes()).zip(other.bytes()).map(same).collect();
            Tensor::from_bytes(DType::Bool, want.shape().to_vec(), &bytes).unwrap()
        }
        _ => want,
    }
}

/// How `got` differs from `want` past the tolerance, if it does.
pub fn difference(got: &Tensor, want: &Tensor, tolerance: Tolerance) -> Option<String> {
    if got.dtype() != want.dtype() || got.shape() != want.shape() {
        return Some(format!("{got:?} instead of {want:?}"));
    }
    if got.dtype() == DType::F64 && tolerance != Tolerance::Exact {
        let (got, want) = (got.as_slice::<f64>().unwrap(), want.as_slice::<f64>().unwrap());
        let near = |(got, want): (&f64, &f64)| {
            got == want || (got.is_nan() && want.is_nan()) || (got - want).abs() <= 1e-12 + 1e-12 * want.abs()
        };
        return (!got.iter().zip(want).all(near)).then(|| format!("{got:?} instead of {want:?}"));
    }
    if got.dtype() == DType::String {
        return (got != want).then(|| format!("{got:?} instead of {want:?}"));
    }
    if got.dtype() != DType::F32 {
        return (got.bytes() != want.bytes()).then(|| format!("other elements than {want:?}"));
    }
    let (got, want) = (got.as_slice::<f32>().unwrap(), want.as_slice::<f32>().unwrap());
    let scale = want.iter().filter(|value| value.is_finite()).fold(0f32, |max, value| max.max(value.abs()));
    got.iter().zip(want).enumerate().find_map(|(index, (&got, &want))| {
        let within = |absolute: f32, relative: f32, magnitude: f32| {
            if want.is_finite() {
                (got - want).abs() <= absolute + relative * magnitude
            } else {
                got == want || (got.is_nan() && want.is_nan())
            }
        };
        let near = match tolerance {
            Tolerance::Exact => got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()),
            Tolerance::Each { absolute, relative } => within(absolute, relative, want.abs()),
            // A sum's error is relative to what was summed, for which the largest result stands.
            Tolerance::Sums { absolute, relative } => within(absolute, relative, want.abs().max(scale * 0.1)),
        };
        (!near).then(|| format!("element {index} is {got:e} instead of {want:e}"))
    })
}
