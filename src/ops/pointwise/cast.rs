//! `Cast`: numbers in another type, or as strings; `CastLike` is decoded as it.

pub mod small;
mod strings;

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::{Fact, MAX_EXACT},
    kernels::{self, ToSmall},
    op::{
        Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator,
        first_result,
    },
    ops::pointwise::cast::small::CastToSmall,
    shape::{Condition, Dim},
    tensor::{DType, SmallType, Tensor},
};

/// The operand's numbers in another type.
///
/// Integers wrap. A floating-point number is truncated to an integer and clamped to its range; NaN
/// becomes 0. Every number but zero is true. A string must be a number of the type.
#[derive(Clone, Debug, PartialEq)]
pub struct Cast {
    /// The result's type.
    pub to: DType,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "Cast",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("pointwise"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let to = if node.opset() < 6 { dtype_by_name(node)? } else { node.dtype("to")? };
    let to = to.ok_or_else(|| Error::invalid_model("`to` is missing"))?;
    of_type(node, to)
}

/// The operator for a result of that type.
fn of_type(node: &mut OnnxNode<'_>, to: DType) -> Result<Arc<dyn Operator>> {
    let (saturate, rounding) = (node.flag("saturate", true)?, small::rounding(node)?);
    Ok(match to {
        DType::Small(to) => Arc::new(CastToSmall { how: ToSmall { to, saturate, rounding } }),
        to => Arc::new(Cast { to }),
    })
}

/// The type by its name, as up to opset 5.
fn dtype_by_name(node: &mut OnnxNode<'_>) -> Result<Option<DType>> {
    let Some(name) = node.string("to")? else { return Ok(None) };
    let dtype = match name.to_ascii_uppercase().as_str() {
        "FLOAT" => DType::F32,
        "FLOAT16" => DType::F16,
        "DOUBLE" => DType::F64,
        "BOOL" => DType::Bool,
        "INT8" => DType::I8,
        "INT16" => DType::I16,
        "INT32" => DType::I32,
        "INT64" => DType::I64,
        "UINT8" => DType::U8,
        "UINT16" => DType::U16,
        "UINT32" => DType::U32,
        "UINT64" => DType::U64,
        _ => return Err(Error::unsupported(format!("attribute `to`: elements of the type `{name}`"))),
    };
    Ok(Some(dtype))
}

pub(crate) fn decode_like(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let to = node.inputs().required(1)?.dtype;
    node.drop_inputs(1);
    of_type(node, to)
}

/// That a number of f32 is counted exactly.
pub(super) fn counted_exactly(dim: &Dim) -> Condition {
    Condition::at_least("the range in which f32 counts exactly", &Dim::number(MAX_EXACT), dim)
}

impl Cast {
    fn element(&self, dim: &Dim) -> Option<Dim> {
        // A size is assumed to fit the integer types that models use for sizes.
        let Some(number) = dim.as_fixed() else {
            let fits = matches!(self.to, DType::F32 | DType::I32 | DType::I64 | DType::U32 | DType::U64);
            return fits.then(|| dim.clone());
        };
        let number = match self.to {
            DType::I8 => i64::from(number as i8),
            DType::I16 => i64::from(number as i16),
            DType::I32 => i64::from(number as i32),
            DType::I64 => number,
            DType::U8 => i64::from(number as u8),
            DType::U16 => i64::from(number as u16),
            DType::U32 => i64::from(number as u32),
            DType::U64 => i64::try_from(number as u64).ok()?,
            DType::Bool => i64::from(number != 0),
            DType::F32 if number.unsigned_abs() <= MAX_EXACT as u64 => number,
            _ => return None,
        };
        Some(Dim::number(number))
    }
}

impl Operator for Cast {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        if let (DType::Small(_), DType::String) | (_, DType::Small(_)) = (input.dtype, self.to) {
            return Err(Error::unsupported(format!("a cast of {} to {}", input.dtype, self.to)));
        }
        let elements = input.elements.as_ref();
        let elements: Option<Vec<Dim>> =
            elements.and_then(|elements| elements.iter().map(|dim| self.element(dim)).collect());
        if input.dtype.is_float() {
            let symbolic = elements.iter().flatten().filter(|dim| dim.as_fixed().is_none());
            symbolic.into_iter().try_for_each(|dim| inputs.assume(counted_exactly(dim)))?;
        }
        Ok(vec![Fact::new(self.to, input.shape.clone()).with_elements(elements)])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        axes[0].map(|axis| vec![Some(axis)])
    }
}

struct Kernel;

fn kernel(_request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?;
        let Io { outputs, strings, .. } = io;
        let output = first_result(outputs)?;
        match (input.dtype, output.dtype) {
            (_, DType::String) => strings::to_strings(input, output.slice()?, strings),
            (DType::String, _) => strings::from_strings(input.slice()?, output, strings),
            _ => kernels::cast(input, output),
        }
    }
}

fn cases() -> Vec<Case> {
    use DType::*;
    let floats = [0.0, -0.0, 1.5, -1.5, 0.3, 2.5e9, -2.5e9, 1e20, -1e20, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    let numbers = Tensor::new([3, 4], &floats).expect("twelve numbers");
    let wide = [0, 1, -1, 255, 256, -129, 40_000, 65_536, i64::MAX, i64::MIN, (1 << 53) + 1, 2049];
    let wide = Tensor::new([12], &wide).expect("twelve integers");
    let doubles = [1.000_976_6, 1e-45, 1e300, f64::NAN, -0.0, 65_519.99, 65_520.0, -1e19, 4e18];
    let doubles = Tensor::new([9], &doubles).expect("nine numbers");
    let bools = Tensor::from_bools([3], &[true, false, true]).expect("three booleans");
    let small = Tensor::new([4], &[-128i8, -1, 0, 127]).expect("four integers");
    let large = Tensor::new([3], &[u64::MAX, 1 << 63, 7]).expect("three integers");
    let mut cases = vec![
        Case::new("ragged", Cast { to: F16 }).value(&[7, 5], Fill::Hostile),
        Case::new("empty", Cast { to: I64 }).value(&[0, 5], Fill::Spread),
    ];
    for to in [F32, F64, F16, BF16, I8, I16, I32, I64, U8, U16, U32, U64, Bool] {
        for from in [&numbers, &wide, &doubles, &bools, &small, &large] {
            cases.push(Case::new(format!("{} to {to}", from.dtype()), Cast { to }).tensor(from.clone()));
        }
        let halves: Vec<half::f16> = floats.iter().map(|&value| half::f16::from_f32(value)).collect();
        let halves = Tensor::new([12], &halves).expect("twelve numbers");
        cases.push(Case::new(format!("f16 to {to}"), Cast { to }).tensor(halves));
    }
    for small in SmallType::ALL {
        let elements: Vec<u8> = (0..=u8::MAX).filter(|&byte| small.holds(byte)).collect();
        let elements = Tensor::from_bytes(Small(small), [elements.len()], &elements).expect("all elements");
        for to in [F32, F16, F64, I8, U8, I64, Bool] {
            cases.push(Case::new(format!("{small} to {to}"), Cast { to }).tensor(elements.clone()));
        }
    }
    cases
}
