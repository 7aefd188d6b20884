//! `BitCast`: the bits of elements read as another type of the same width.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, Io, OnnxNode, OpDef, Operator, function_kernel},
    shape::Dim,
    tensor::{DType, SmallType, Tensor},
};

/// The operand's bits as elements of another type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BitCast {
    /// The result's type, as wide as the operand's.
    pub to: DType,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "BitCast",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(|request| function_kernel::<BitCast>(request, run)),
    gpu: GpuState::Host("a GPU holds elements in other widths"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let to = node.dtype("to")?.ok_or_else(|| Error::invalid_model("`to` is missing"))?;
    Ok(Arc::new(BitCast { to }))
}

/// The bits of an element where elements are packed; `None` for strings.
fn bits(dtype: DType) -> Option<usize> {
    match dtype {
        DType::String => None,
        DType::Small(small) => Some(small.bits()),
        dtype => Some(8 * dtype.size()),
    }
}

impl Operator for BitCast {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        let (Some(own), Some(due)) = (bits(input.dtype), bits(self.to)) else {
            return Err(Error::invalid_model(format!("the bits of {} as {}", input.dtype, self.to)));
        };
        if own != due {
            let dtype = input.dtype;
            return Err(Error::invalid_model(format!("{own} bits of {dtype} as {}, which has {due}", self.to)));
        }
        if self.to == DType::Bool && input.dtype != DType::Bool {
            return Err(Error::unsupported(format!("the bits of {} as bool, of which most are none", input.dtype)));
        }
        Ok(vec![Fact::new(self.to, input.shape.clone())])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        axes[0].map(|axis| vec![Some(axis)])
    }
}

fn run(op: &BitCast, io: &mut Io<'_>) -> Result<()> {
    let input = io.input(0)?;
    let output = io.output(0)?;
    output.bytes.copy_from_slice(input.bytes);
    if let DType::Small(small) = op.to {
        output.bytes.iter_mut().for_each(|byte| *byte = small.byte(*byte));
    }
    Ok(())
}

fn cases() -> Vec<Case> {
    let of = |to| BitCast { to };
    let small = |small, bytes: &[u8]| {
        Tensor::from_bytes(DType::Small(small), [bytes.len()], bytes).expect("elements of the type")
    };
    vec![
        Case::new("ragged", of(DType::I32)).value(&[3, 5], Fill::Hostile),
        Case::new("wide", of(DType::F64)).integers(&[3], &[0, -1, i64::MIN]),
        Case::new("bool", of(DType::U8)).tensor(Tensor::from_bools([2], &[true, false]).expect("two")),
        Case::new("signed bits", of(DType::Small(SmallType::I4))).tensor(small(SmallType::U4, &[0, 7, 8, 15])),
        Case::new("unsigned bits", of(DType::Small(SmallType::U2))).tensor(small(SmallType::I2, &[0, 1, 0xfe, 0xff])),
        Case::new("bytes", of(DType::I8)).tensor(small(SmallType::F8E5M2, &[0x80, 0x7f])),
        Case::new("empty", of(DType::U32)).value(&[0, 5], Fill::Spread),
    ]
}
