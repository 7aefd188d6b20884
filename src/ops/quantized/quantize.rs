//! `QuantizeLinear`: numbers as integers.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{self, KernelSet, Rounding, ToSmall, number::Number, quantize::Byte, to_small},
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, OnnxNode, OpDef, Operator},
    ops::quantized::{
        grouping::{self, Grouping},
        requantize::numbers,
        small,
    },
    shape::Dim,
    tensor::{DType, SmallType, Tensor, View},
};

/// `x / scale`, rounded with halves to even, plus the zero point, saturated.
///
/// Operands: `x`, the scales, the zero points, which may be absent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantize {
    /// The axis along which scales differ, if they do.
    pub axis: i64,
    /// Elements of the axis that share a scale; 0 for one scale each position, or one for all.
    pub block: usize,
    /// The result's type.
    pub to: DType,
    /// Whether numbers past the largest of an 8-bit floating-point type become the largest.
    pub saturate: bool,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "QuantizeLinear",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(|request| Ok(Box::new(Kernel { op: *request.op()?, set: request.kernel_set() }))),
    gpu: GpuState::Host("bytes are made on the host"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let axis = node.int("axis")?.unwrap_or(1);
    let block = super::dequantize::block_size(node)?;
    let saturate = node.flag("saturate", true)?;
    if let Some(precision) = node.int("precision")?.filter(|precision| !matches!(precision, 0 | 1)) {
        return Err(Error::unsupported(format!("`precision` is {precision}, expected 0 or 1 (f32)")));
    }
    let named = match node.int("output_dtype")? {
        None | Some(0) => None,
        Some(code) => Some(
            DType::from_onnx(code)
                .ok_or_else(|| Error::unsupported(format!("attribute `output_dtype`: elements of ONNX type {code}")))?,
        ),
    };
    let own = node.inputs().fact(2).map(|fact| fact.dtype);
    if let (Some(named), Some(own)) = (named, own)
        && named != own
    {
        return Err(Error::invalid_model(format!("`output_dtype` is {named}, the zero points are {own}")));
    }
    Ok(Arc::new(Quantize { axis, block, to: own.or(named).unwrap_or(DType::U8), saturate }))
}

impl Operator for Quantize {
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
        let fits = matches!(self.to, DType::I8 | DType::U8 | DType::I16 | DType::U16) || small::is_quantized(self.to);
        if !fits || !x.dtype.is_number() {
            return Err(Error::unsupported(format!("{} quantized to {}", x.dtype, self.to)));
        }
        if inputs.fact(2).is_some_and(|zero_point| zero_point.dtype != self.to) {
            return Err(Error::invalid_model(format!("zero points of another type than {}", self.to)));
        }
        Ok(vec![Fact::new(self.to, x.shape.clone())])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let (x, scale) = (inputs.fact(0)?, inputs.fact(1)?);
        grouping::batch_axes(&x.shape, &scale.shape, self.axis, self.block, axes)
    }
}

struct Kernel {
    op: Quantize,
    set: KernelSet,
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        run(&self.op, self.set, io)
    }
}

fn run(op: &Quantize, set: KernelSet, io: &mut Io<'_>) -> Result<()> {
    let (x, scale) = (io.input(0)?, io.input(1)?);
    let zero_point = io.inputs.get(2).copied().flatten();
    grouping::check_zero_points(zero_point, scale, op.block)?;
    let grouping = Grouping::new(x.shape, scale.shape, op.axis, op.block)?;
    let (x, scale) = (numbers(x)?, numbers(scale)?);
    let output = io.output(0)?;
    match op.to {
        DType::I8 => bytes::<i8>(op, set, &x, &scale, zero_point, &grouping, output.slice()?),
        DType::U8 => bytes::<u8>(op, set, &x, &scale, zero_point, &grouping, output.slice()?),
        DType::I16 => all::<i16>(op, &x, &scale, zero_point, &grouping, output.slice()?),
        DType::U16 => all::<u16>(op, &x, &scale, zero_point, &grouping, output.slice()?),
        DType::Small(to) => {
            let (zeros, mut shifted) = (small::zero_points(to, zero_point)?, vec![0f32; x.len()]);
            grouping.each(x.len(), op.block > 0, |start, len, group, step| {
                for index in 0..len {
                    let at = group + index * step;
                    let quotient = x[start + index] / scale[at];
                    shifted[start + index] = small::shifted(to, quotient, zeros.as_ref().map(|zeros| zeros[at]));
                }
            });
            let shifted = View { dtype: DType::F32, shape: output.shape, bytes: bytemuck::cast_slice(&shifted) };
            to_small(ToSmall { to, saturate: op.saturate, rounding: Rounding::Nearest }, shifted, output.bytes)
        }
        other => Err(Error::internal(format!("a quantization to {other} was not refused"))),
    }
}

/// All numbers as bytes.
fn bytes<Q: Number + Byte>(
    op: &Quantize,
    set: KernelSet,
    x: &[f32],
    scale: &[f32],
    zero_point: Option<View<'_>>,
    grouping: &Grouping,
    to: &mut [Q],
) -> Result<()> {
    let zero_point = zero_point.map(|view| view.slice::<Q>()).transpose()?;
    let zero = |at: usize| zero_point.map_or(Q::ZERO, |all| all[at]);
    grouping.each_alike(x.len(), op.block > 0, |part, at| {
        kernels::quantize::quantize(set, &x[part.clone()], scale[at], zero(at), &mut to[part]);
    });
    Ok(())
}

/// All numbers as integers of one type.
fn all<Q: Number>(
    op: &Quantize,
    x: &[f32],
    scale: &[f32],
    zero_point: Option<View<'_>>,
    grouping: &Grouping,
    to: &mut [Q],
) -> Result<()> {
    let zero_point = zero_point.map(|view| view.slice::<Q>()).transpose()?;
    grouping.each(x.len(), op.block > 0, |start, len, group, step| {
        for index in 0..len {
            let at = group + index * step;
            let zero = zero_point.map_or(0.0, |all| all[at].wide());
            to[start + index] = quantized(x[start + index], scale[at], zero);
        }
    });
    Ok(())
}

/// One number as an integer.
fn quantized<Q: Number>(x: f32, scale: f32, zero_point: f64) -> Q {
    // Exact in double precision, however large the quotient.
    Q::narrow(f64::from((x / scale).round_ties_even()) + zero_point)
}

fn cases() -> Vec<Case> {
    let of = |axis, block, to| Quantize { axis, block, to, saturate: true };
    let numbers = [0.0, 2.0, 4.0, 1000.0, -254.0, -1000.0, 3.0, 5.0, 0.5, -0.5, 1.0, f32::INFINITY, f32::NEG_INFINITY];
    let numbers = || Tensor::new([13], &numbers).expect("thirteen numbers");
    let scale = |all: &[f32]| Tensor::new([all.len()], all).expect("as many scales");
    let one = || Tensor::scalar(2f32);
    let mut cases = vec![
        Case::new("halves", of(1, 0, DType::U8))
            .tensor(numbers())
            .constant_tensor(one())
            .constant_tensor(Tensor::scalar(128u8)),
        Case::new("signed", of(0, 0, DType::I8)).tensor(numbers()).tensor(one()).tensor(Tensor::scalar(-3i8)),
        Case::new("wide", of(0, 0, DType::I16)).tensor(numbers()).tensor(Tensor::scalar(0.01f32)),
        Case::new("wide, unsigned", of(0, 0, DType::U16))
            .tensor(numbers())
            .tensor(Tensor::scalar(0.01f32))
            .tensor(Tensor::scalar(700u16)),
        Case::new("of an axis", of(1, 0, DType::U8))
            .value(&[2, 3, 5], Fill::Spread)
            .constant_tensor(scale(&[0.01, 0.1, 0.5]))
            .constant_tensor(Tensor::new([3], &[3u8, 250, 128]).expect("three")),
        Case::new("of blocks", of(-2, 2, DType::I8)).value(&[2, 5, 3], Fill::Spread).value(&[2, 3, 3], Fill::Positive),
        Case::new("empty", of(0, 0, DType::U8)).value(&[0, 3], Fill::Spread).tensor(one()),
    ];
    for small in SmallType::ALL.into_iter().filter(|&small| small != SmallType::F8E8M0) {
        let to = DType::Small(small);
        let of = |axis, block, saturate| Quantize { axis, block, to, saturate };
        // Zero points of 8 bits must be 0.
        let zeros = if small.bits() == 8 { [0; 3] } else { [0, 1, small.byte(2)] };
        let zeros = Tensor::from_bytes(to, [3], &zeros).expect("three zero points");
        cases.push(Case::new(format!("{small}"), of(0, 0, true)).tensor(numbers()).tensor(Tensor::scalar(0.02f32)));
        cases.push(Case::new(format!("{small}, wild"), of(0, 0, false)).tensor(numbers()).tensor(one()));
        cases.push(
            Case::new(format!("{small} of an axis"), of(1, 0, true))
                .value(&[2, 3, 5], Fill::Spread)
                .tensor(scale(&[0.3, 0.6, 0.25]))
                .tensor(zeros),
        );
        let blocks = Case::new(format!("{small} of blocks"), of(-2, 2, true)).value(&[2, 5, 3], Fill::Spread);
        cases.push(blocks.value(&[2, 3, 3], Fill::Positive));
    }
    cases
}
