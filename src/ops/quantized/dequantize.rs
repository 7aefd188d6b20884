//! `DequantizeLinear`: the numbers that integers stand for.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{
        KernelSet,
        number::Number,
        quantize::{Byte, dequantize},
    },
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, OnnxNode, OpDef, Operator},
    ops::quantized::{
        grouping::{self, Grouping},
        requantize::numbers,
        small,
    },
    shape::Dim,
    tensor::{DType, SmallType, Tensor, View, ViewMut},
};

/// `(x - zero point) * scale`.
///
/// Operands: `x`, the scales, the zero points, which may be absent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dequantize {
    /// The axis along which scales differ, if they do.
    pub axis: i64,
    /// Elements of the axis that share a scale; 0 for one scale each position, or one for all.
    pub block: usize,
    /// The result's type.
    pub to: DType,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "DequantizeLinear",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(|request| Ok(Box::new(Kernel { op: *request.op()?, set: request.kernel_set() }))),
    gpu: GpuState::Host("bytes are read on the host"),
};

/// The attribute `block_size`.
pub(super) fn block_size(node: &mut OnnxNode<'_>) -> Result<usize> {
    let size = node.int("block_size")?.unwrap_or(0);
    usize::try_from(size).map_err(|_| Error::invalid_model(format!("`block_size` is {size}")))
}

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let axis = node.int("axis")?.unwrap_or(1);
    let block = block_size(node)?;
    let scale = node.inputs().required(1)?.dtype;
    let to = match node.int("output_dtype")? {
        None | Some(0) => scale,
        Some(code) => DType::from_onnx(code)
            .ok_or_else(|| Error::unsupported(format!("attribute `output_dtype`: elements of ONNX type {code}")))?,
    };
    Ok(Arc::new(Dequantize { axis, block, to }))
}

impl Operator for Dequantize {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(2, 3)?;
        let (x, scale) = (inputs.required(0)?, inputs.required(1)?);
        grouping::check(x, scale, inputs.fact(2), self.axis, self.block)?;
        let fits = matches!(x.dtype, DType::I8 | DType::U8 | DType::I16 | DType::U16 | DType::I32);
        if !(fits || small::is_quantized(x.dtype)) || !self.to.is_float() {
            return Err(Error::unsupported(format!("{} dequantized to {}", x.dtype, self.to)));
        }
        if inputs.fact(2).is_some_and(|zero_point| zero_point.dtype != x.dtype) {
            return Err(Error::invalid_model(format!("zero points of another type than {}", x.dtype)));
        }
        Ok(vec![Fact::new(self.to, x.shape.clone())])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let (x, scale) = (inputs.fact(0)?, inputs.fact(1)?);
        grouping::batch_axes(&x.shape, &scale.shape, self.axis, self.block, axes)
    }
}

struct Kernel {
    op: Dequantize,
    set: KernelSet,
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        run(&self.op, self.set, io)
    }
}

fn run(op: &Dequantize, set: KernelSet, io: &mut Io<'_>) -> Result<()> {
    let (x, scale) = (io.input(0)?, io.input(1)?);
    let zero_point = io.inputs.get(2).copied().flatten();
    grouping::check_zero_points(zero_point, scale, op.block)?;
    let grouping = Grouping::new(x.shape, scale.shape, op.axis, op.block)?;
    let scale = numbers(scale)?;
    let output = io.output(0)?;
    let to_f32 = op.to == DType::F32;
    match x.dtype {
        DType::I8 if to_f32 => bytes::<i8>(op, set, x, &scale, zero_point, &grouping, output.slice()?),
        DType::U8 if to_f32 => bytes::<u8>(op, set, x, &scale, zero_point, &grouping, output.slice()?),
        DType::I8 => all::<i8>(op, x, &scale, zero_point, &grouping, output),
        DType::U8 => all::<u8>(op, x, &scale, zero_point, &grouping, output),
        DType::I16 => all::<i16>(op, x, &scale, zero_point, &grouping, output),
        DType::U16 => all::<u16>(op, x, &scale, zero_point, &grouping, output),
        DType::I32 => all::<i32>(op, x, &scale, zero_point, &grouping, output),
        DType::Small(small) => {
            let (x, zeros) = (numbers(x)?, small::zero_points(small, zero_point)?);
            let zero = |at: usize| zeros.as_ref().map_or(0.0, |zeros| zeros[at]);
            write(op, x.len(), &grouping, output, |index, at| (x[index] - zero(at)) * scale[at])
        }
        other => Err(Error::internal(format!("a dequantization of {other} was not refused"))),
    }
}

/// The numbers that bytes stand for.
fn bytes<Q: Number + Byte>(
    op: &Dequantize,
    set: KernelSet,
    x: View<'_>,
    scale: &[f32],
    zero_point: Option<View<'_>>,
    grouping: &Grouping,
    to: &mut [f32],
) -> Result<()> {
    let x = x.slice::<Q>()?;
    let zero_point = zero_point.map(|view| view.slice::<Q>()).transpose()?;
    let zero = |at: usize| zero_point.map_or(Q::ZERO, |all| all[at]);
    grouping.each_alike(x.len(), op.block > 0, |part, at| {
        dequantize(set, &x[part.clone()], scale[at], zero(at), &mut to[part]);
    });
    Ok(())
}

/// The numbers that all integers of one type stand for.
fn all<Q: Number>(
    op: &Dequantize,
    x: View<'_>,
    scale: &[f32],
    zero_point: Option<View<'_>>,
    grouping: &Grouping,
    output: &mut ViewMut<'_>,
) -> Result<()> {
    let x = x.slice::<Q>()?;
    let zero_point = zero_point.map(|view| view.slice::<Q>()).transpose()?;
    let number = |index: usize, at: usize| {
        let zero = zero_point.map_or(0.0, |all| all[at].wide());
        (x[index].wide() - zero) as f32 * scale[at]
    };
    write(op, x.len(), grouping, output, number)
}

/// Writes what `number` gives for each position and that of its scale.
fn write(
    op: &Dequantize,
    len: usize,
    grouping: &Grouping,
    output: &mut ViewMut<'_>,
    number: impl Fn(usize, usize) -> f32,
) -> Result<()> {
    macro_rules! write {
        ($float:ty) => {{
            let to = output.slice::<$float>()?;
            grouping.each(len, op.block > 0, |start, len, group, step| {
                for index in 0..len {
                    let number = number(start + index, group + index * step);
                    to[start + index] = <$float as Number>::narrow(number.into());
                }
            });
        }};
    }
    match op.to {
        DType::F32 => write!(f32),
        DType::F64 => write!(f64),
        DType::F16 => write!(half::f16),
        _ => write!(half::bf16),
    }
    Ok(())
}

fn cases() -> Vec<Case> {
    let of = |axis, block, to| Dequantize { axis, block, to };
    let bytes = || Tensor::new([2, 3, 2], &[0u8, 3, 128, 255, 7, 9, 1, 2, 3, 4, 5, 6]).expect("twelve bytes");
    let signed = || Tensor::new([2, 4], &[-128i8, 127, 0, 1, -1, 5, 6, 7]).expect("eight bytes");
    let scales = Tensor::new([3], &[0.1f32, 2.0, 0.7]).expect("three scales");
    let mut cases = vec![
        Case::new("all", of(1, 0, DType::F32))
            .tensor(bytes())
            .constant_tensor(Tensor::scalar(0.3f32))
            .constant_tensor(Tensor::scalar(128u8)),
        Case::new("of an axis", of(1, 0, DType::F32))
            .tensor(bytes())
            .constant_tensor(scales)
            .constant_tensor(Tensor::new([3], &[3u8, 250, 128]).expect("three")),
        Case::new("of blocks", of(1, 3, DType::F32)).tensor(signed()).value(&[2, 2], Fill::Positive),
        Case::new("wide", of(0, 0, DType::F32))
            .tensor(Tensor::new([3], &[i32::MIN, 7, i32::MAX]).expect("three"))
            .tensor(Tensor::scalar(0.01f32)),
        Case::new("half", of(0, 0, DType::F16)).tensor(signed()).tensor(Tensor::scalar(half::f16::from_f32(0.3))),
        Case::new("sixteen bits", of(0, 0, DType::F32))
            .tensor(Tensor::new([2], &[0u16, 65535]).expect("two"))
            .tensor(Tensor::scalar(0.5f32))
            .tensor(Tensor::scalar(32768u16)),
    ];
    for small in SmallType::ALL.into_iter().filter(|&small| small != SmallType::F8E8M0) {
        let dtype = DType::Small(small);
        let elements: Vec<u8> = (0..=u8::MAX).filter(|&byte| small.holds(byte)).collect();
        let x = Tensor::from_bytes(dtype, [2, elements.len() / 2], &elements).expect("all elements");
        let zeros = if small.bits() == 8 { [0; 2] } else { [1, small.byte(2)] };
        let zeros = Tensor::from_bytes(dtype, [2], &zeros).expect("two zero points");
        let scales = Tensor::new([2], &[0.1f32, 3.0]).expect("two scales");
        cases
            .push(Case::new(format!("{small}"), of(0, 0, DType::F32)).tensor(x.clone()).tensor(Tensor::scalar(0.3f32)));
        cases.push(
            Case::new(format!("{small} of an axis"), of(0, 0, DType::F16)).tensor(x).tensor(scales).tensor(zeros),
        );
    }
    let (byte, powers) = (DType::Small(SmallType::F4E2M1), DType::Small(SmallType::F8E8M0));
    let x = Tensor::from_bytes(byte, [2, 4], &[0, 1, 2, 3, 9, 10, 11, 15]).expect("eight elements");
    let scales = Tensor::from_bytes(powers, [2, 2], &[126, 127, 128, 3]).expect("four scales");
    cases.push(Case::new("microscaling", of(1, 2, DType::F32)).tensor(x).tensor(scales));
    cases
}
