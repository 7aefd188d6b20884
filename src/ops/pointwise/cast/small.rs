//! `CastToSmall`: numbers rounded to an element type of at most eight bits.

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{self, Rounding, ToSmall},
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, Io, OnnxNode, OpDef, Operator, function_kernel},
    shape::Dim,
    tensor::{DType, SmallType, Tensor},
};

/// The operand's numbers in a small type.
///
/// ONNX's `Cast` and `CastLike` to such a type. Integers, and floating-point numbers truncated to
/// integers, keep their lowest bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CastToSmall {
    /// The result's type, and the way there.
    pub how: ToSmall,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "CastToSmall",
    onnx: None,
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(|request| function_kernel::<CastToSmall>(request, run)),
    gpu: GpuState::Host("small types are made on the host"),
};

/// The attribute `round_mode`.
pub(super) fn rounding(node: &mut OnnxNode<'_>) -> Result<Rounding> {
    Ok(match node.string("round_mode")?.as_deref() {
        None | Some("up") => Rounding::Up,
        Some("down") => Rounding::Down,
        Some("nearest") => Rounding::Nearest,
        Some(other) => {
            return Err(Error::invalid_model(format!("`round_mode` is `{other}`, expected up, down or nearest")));
        }
    })
}

impl Operator for CastToSmall {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let (input, to) = (inputs.required(0)?, DType::Small(self.how.to));
        if input.dtype == DType::String {
            return Err(Error::unsupported(format!("a cast of {} to {to}", input.dtype)));
        }
        Ok(vec![Fact::new(to, input.shape.clone())])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        axes[0].map(|axis| vec![Some(axis)])
    }
}

fn run(op: &CastToSmall, io: &mut Io<'_>) -> Result<()> {
    let input = io.input(0)?;
    let output = io.output(0)?;
    match input.dtype == output.dtype {
        true => output.bytes.copy_from_slice(input.bytes),
        false => kernels::to_small(op.how, input, output.bytes)?,
    }
    Ok(())
}

fn cases() -> Vec<Case> {
    let numbers = [
        0.0,
        -0.0,
        0.3,
        -0.7,
        1.1,
        1.5,
        2.5,
        -2.5,
        3.5,
        5.0,
        0.25,
        0.75,
        464.0,
        465.0,
        -300.0,
        248.0,
        61440.0,
        61441.0,
        1e-3,
        9.77e-4,
        7e-6,
        -1e-7,
        1e30,
        -1e30,
        1e-44,
        f32::MAX,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        8.0,
    ];
    let numbers = || Tensor::new([6, 5], &numbers).expect("thirty numbers");
    let wide = Tensor::new([7], &[0i64, -1, 7, 8, -9, i64::MAX, i64::MIN]).expect("seven integers");
    let elements: Vec<u8> = (0..=u8::MAX).collect();
    let small = DType::Small(SmallType::F8E5M2);
    let elements = Tensor::from_bytes(small, [16, 16], &elements).expect("all elements");
    let mut cases = Vec::new();
    for to in SmallType::ALL {
        for (saturate, rounding) in [(true, Rounding::Up), (false, Rounding::Nearest), (true, Rounding::Down)] {
            let of = || CastToSmall { how: ToSmall { to, saturate, rounding } };
            cases.push(Case::new(format!("f32 to {to}, {saturate}, {rounding:?}"), of()).tensor(numbers()));
            cases.push(Case::new(format!("i64 to {to}, {saturate}, {rounding:?}"), of()).tensor(wide.clone()));
            cases.push(Case::new(format!("{small} to {to}, {saturate}, {rounding:?}"), of()).tensor(elements.clone()));
        }
    }
    let how = ToSmall { to: SmallType::I4, saturate: true, rounding: Rounding::Up };
    cases.push(Case::new("ragged", CastToSmall { how }).value(&[3, 101], Fill::Large));
    cases.push(Case::new("empty", CastToSmall { how }).value(&[0, 3], Fill::Spread));
    cases
}
