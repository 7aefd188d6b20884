//! `ConstantOfShape`: a tensor filled with one value.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::strided,
    op::{Accuracy, Case, CpuKernel, CpuState, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::generate::constant,
    shape::{Dim, Shape},
    tensor::Tensor,
};

/// A tensor of a given shape, filled with one value.
#[derive(Clone, Debug, PartialEq)]
pub struct ConstantOfShape {
    /// The sizes.
    pub shape: Vec<Dim>,
    /// The value: a tensor of one element.
    pub value: Arc<Tensor>,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "ConstantOfShape",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("fill"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let value = node.tensor("value")?.unwrap_or_else(|| Arc::new(Tensor::scalar(0f32)));
    let shape = node.take_integers(0)?.ok_or_else(|| Error::invalid_model("the shape is missing"))?;
    Ok(Arc::new(ConstantOfShape { shape, value }))
}

impl Operator for ConstantOfShape {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(0, 0)?;
        if self.value.len() != 1 {
            return Err(Error::invalid_model(format!("{:?} is not one value", self.value)));
        }
        Ok(vec![constant::filled(&self.value, Shape::new(self.shape.clone()))])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, _axes: &[Option<usize>], size: &Dim) -> Option<Vec<Option<usize>>> {
        let symbol = size.as_symbol()?;
        let mut sized = (0..self.shape.len()).filter(|&axis| self.shape[axis].mentions(symbol));
        let axis = sized.next()?;
        (sized.next().is_none() && self.shape[axis] == *size).then(|| vec![Some(axis)])
    }
}

struct Kernel {
    value: Arc<Tensor>,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel { value: request.op::<ConstantOfShape>()?.value.clone() }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        strided::fill(self.value.bytes(), io.output(0)?.bytes);
        Ok(())
    }
}

fn cases() -> Vec<Case> {
    let of = |shape: &[usize], value: Tensor| ConstantOfShape {
        shape: shape.iter().copied().map(Dim::from).collect(),
        value: Arc::new(value),
    };
    vec![
        Case::new("numbers", of(&[3, 5], Tensor::scalar(-1.5f32))),
        Case::new("integers", of(&[7], Tensor::scalar(-3i64))),
        Case::new("scalar", of(&[], Tensor::scalar(2u8))),
        Case::new("empty", of(&[0, 4], Tensor::scalar(1i32))),
    ]
}
