//! `HeadsLastAttention`: attention over queries, keys and values as products write them.

use crate::{
    error::Result,
    graph::Fact,
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, KernelRequest, OpDef, Operator},
    ops::product::attention::{self, Attention, Kernel, order::Order, padding_mask},
    shape::{Dim, Shape},
    tensor::DType,
};

/// [`Attention`] of `q [B, S, heads, D]`, `k [B, T, heads, D]` and `v [B, T, heads, E]`, with the result
/// `[B, S, heads, E]`; the mask is the same.
///
/// Made on the CPU, which reads and writes rows of heads in place, from attention between transpositions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadsLastAttention(pub Attention);

pub(crate) static DEF: OpDef = OpDef {
    name: "HeadsLastAttention",
    onnx: None,
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host("made for the CPU alone"),
};

impl Operator for HeadsLastAttention {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let [batch, heads, rows, columns] = attention::result(inputs, Order::HeadsLast)?;
        Ok(vec![Fact::new(DType::F32, Shape::new(vec![batch, rows, heads, columns]))])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let swapped = |axis: usize| [0, 2, 1, 3][axis];
        let of_heads = axes.iter().enumerate().map(|(index, axis)| if index < 3 { axis.map(swapped) } else { *axis });
        let own = attention::batch_axes(inputs, &of_heads.collect::<Vec<_>>())?;
        Some(own.into_iter().map(|axis| axis.map(swapped)).collect())
    }
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let HeadsLastAttention(op) = *request.op()?;
    Ok(Box::new(Kernel::new(request, op, Order::HeadsLast)))
}

fn cases() -> Vec<Case> {
    let spread = Fill::Spread;
    let case = |name: &str| Case::new(name, HeadsLastAttention(Attention { scale: 0.3 }));
    vec![
        case("plain").value(&[2, 7, 3, 16], spread).value(&[2, 7, 3, 16], spread).value(&[2, 7, 3, 16], spread),
        case("other keys").value(&[1, 3, 2, 5], spread).value(&[1, 70, 2, 5], spread).value(&[1, 70, 2, 9], spread),
        case("mask of keys")
            .value(&[2, 7, 3, 8], spread)
            .value(&[2, 7, 3, 8], spread)
            .value(&[2, 7, 3, 8], spread)
            .tensor(padding_mask(&[2, 1, 1, 7])),
        case("mask of all")
            .value(&[2, 5, 3, 8], spread)
            .value(&[2, 7, 3, 8], spread)
            .value(&[2, 7, 3, 8], spread)
            .tensor(padding_mask(&[2, 3, 5, 7])),
        case("empty").value(&[0, 7, 3, 8], spread).value(&[0, 7, 3, 8], spread).value(&[0, 7, 3, 8], spread),
    ]
}
