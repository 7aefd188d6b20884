//! `DynamicQuantizeLinear`: numbers as bytes, whose scale is that of the whole tensor.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{
        KernelSet,
        quantize::{quantize, range},
    },
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, OpDef, Operator},
    shape::Shape,
    tensor::{DType, Tensor},
    threads::split,
};

/// The operand as bytes, their scale, and their zero point.
///
/// The scale depends on every element, so items of a batch are never independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DynamicQuantize;

pub(crate) static DEF: OpDef = OpDef {
    name: "DynamicQuantizeLinear",
    onnx: Some(|_| Ok(Arc::new(DynamicQuantize))),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(|request| Ok(Box::new(Kernel { set: request.kernel_set() }))),
    gpu: GpuState::Host("bytes are made on the host"),
};

impl Operator for DynamicQuantize {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let x = inputs.required(0)?;
        if x.dtype != DType::F32 {
            return Err(Error::unsupported(format!("{} quantized with its own scale", x.dtype)));
        }
        let scalar = |dtype| Fact::new(dtype, Shape::scalar());
        Ok(vec![Fact::new(DType::U8, x.shape.clone()), scalar(DType::F32), scalar(DType::U8)])
    }
}

struct Kernel {
    set: KernelSet,
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let x = io.input(0)?.slice::<f32>()?;
        let (scale, zero_point) = range_of(self.set, x);
        let parts = split::parts_of_pass(x.len());
        split::each_of(io.output(0)?.slice::<u8>()?, 1, parts, &|start, to: &mut [u8]| {
            quantize(self.set, &x[start..][..to.len()], scale, zero_point, to);
        });
        io.output(1)?.slice::<f32>()?.fill(scale);
        io.output(2)?.slice::<u8>()?.fill(zero_point);
        Ok(())
    }
}

/// The scale and the zero point with which bytes span all numbers and 0.
pub(in crate::ops) fn range_of(set: KernelSet, x: &[f32]) -> (f32, u8) {
    let parts = split::parts_of_pass(x.len());
    let share = x.len().div_ceil(parts).max(1);
    let mut ends = vec![(0.0_f32, 0.0_f32); parts];
    split::each_of(&mut ends, 1, parts, &|first, own: &mut [(f32, f32)]| {
        for (ends, x) in own.iter_mut().zip(x.chunks(share).skip(first)) {
            *ends = range(set, x);
        }
    });
    let (least, most) =
        ends.into_iter().fold((0.0, 0.0), |(least, most): (f32, f32), own| (least.min(own.0), most.max(own.1)));
    // Zeros alone have any scale; ONNX Runtime's is 1.
    let scale = if least == most { 1.0 } else { (most - least) / 255.0 };
    (scale, (-least / scale).clamp(0.0, 255.0).round_ties_even() as u8)
}

fn cases() -> Vec<Case> {
    let of = |values: &[f32]| Tensor::new([values.len()], values).expect("as many numbers");
    let case = |name: &str| Case::new(name, DynamicQuantize);
    vec![
        case("both signs").value(&[3, 7], Fill::Spread),
        case("positive").value(&[40], Fill::Positive),
        case("negative").tensor(of(&[-1.0, -2.1, -1.3, -2.5, -3.34, -4.0])),
        case("zeros").tensor(of(&[0.0, -0.0])),
        case("empty").value(&[0, 3], Fill::Spread),
    ]
}
