//! `Transpose`: dimensions permuted.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{KernelSet, transpose as turn},
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::tracked,
    shape::{Dim, Shape, normalize_axis, strides},
    tensor::{DType, Tensor, View, ViewMut},
};

/// Output axis `i` is input axis `perm[i]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Transpose {
    /// The permutation; the reverse order where absent.
    pub perm: Option<Vec<usize>>,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "Transpose",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("move"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let rank = node.inputs().required(0)?.shape.rank();
    let perm = node.ints("perm")?.map(|perm| perm.into_iter().map(|axis| normalize_axis(axis, rank)).collect());
    Ok(Arc::new(Transpose { perm: perm.transpose()? }))
}

impl Transpose {
    /// The permutation for an input of that rank.
    ///
    /// # Errors
    /// When it is not a permutation of `rank` axes.
    pub fn order(&self, rank: usize) -> Result<Vec<usize>> {
        let Some(perm) = &self.perm else { return Ok((0..rank).rev().collect()) };
        let mut sorted = perm.clone();
        sorted.sort_unstable();
        if sorted.into_iter().eq(0..rank) {
            return Ok(perm.clone());
        }
        Err(Error::invalid_model(format!("`perm` {perm:?} is not an order of {rank} dimensions")))
    }
}

impl Operator for Transpose {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        let order = self.order(input.shape.rank())?;
        let shape: Shape = order.iter().map(|&axis| input.shape[axis].clone()).collect();
        let elements = tracked::moved(&[input], &shape, |views, output| {
            transpose(&order, views[0], output);
            Ok(())
        });
        Ok(vec![Fact::new(input.dtype, shape).with_elements(elements)])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let order = self.order(inputs.fact(0)?.shape.rank()).ok()?;
        Some(vec![axes[0].and_then(|own| order.iter().position(|&axis| axis == own))])
    }
}

struct Kernel {
    order: Vec<usize>,
    set: KernelSet,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let order = request.op::<Transpose>()?.order(request.input(0)?.shape.rank())?;
    Ok(Box::new(Kernel { order, set: request.kernel_set() }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?;
        let output = io.output(0)?;
        match self.matrices(input.shape) {
            Some([rows, columns]) if input.dtype.size() == size_of::<f32>() && rows * columns > 0 => {
                let from: &[f32] = bytemuck::cast_slice(input.bytes);
                let to: &mut [f32] = bytemuck::cast_slice_mut(&mut *output.bytes);
                let size = rows * columns;
                for (from, to) in from.chunks_exact(size).zip(to.chunks_exact_mut(size)) {
                    turn(self.set, from, columns, rows, columns, to, rows);
                }
            }
            _ => transpose(&self.order, input, output),
        }
        Ok(())
    }
}

impl Kernel {
    /// Rows and columns, if the order is that of transposed matrices, one behind the other.
    fn matrices(&self, shape: &[usize]) -> Option<[usize; 2]> {
        let rank = self.order.len();
        let first = (0..rank).find(|&axis| self.order[axis] != axis)?;
        let middle = self.order[first];
        let turned = (middle..rank).chain(first..middle);
        if !self.order[first..].iter().copied().eq(turned) {
            return None;
        }
        Some([shape[first..middle].iter().product(), shape[middle..].iter().product()])
    }
}

fn transpose(order: &[usize], input: View<'_>, output: &mut ViewMut<'_>) {
    let from = strides(input.shape);
    let steps: Vec<usize> = order.iter().map(|&axis| from[axis]).collect();
    let to = &mut *output.bytes;
    match input.dtype.size() {
        1 => walk::<u8>(bytemuck::cast_slice(input.bytes), output.shape, &steps, bytemuck::cast_slice_mut(to)),
        2 => walk::<u16>(bytemuck::cast_slice(input.bytes), output.shape, &steps, bytemuck::cast_slice_mut(to)),
        4 => walk::<u32>(bytemuck::cast_slice(input.bytes), output.shape, &steps, bytemuck::cast_slice_mut(to)),
        _ => walk::<u64>(bytemuck::cast_slice(input.bytes), output.shape, &steps, bytemuck::cast_slice_mut(to)),
    }
}

/// Writes `output` in order; `steps` are the strides of its axes in the input.
fn walk<T: Copy>(input: &[T], shape: &[usize], steps: &[usize], output: &mut [T]) {
    match (shape, steps) {
        ([], _) => output.copy_from_slice(&input[..1]),
        (&[len], [1]) => output.copy_from_slice(&input[..len]),
        ([_], [step]) => {
            for (index, value) in output.iter_mut().enumerate() {
                *value = input[index * step];
            }
        }
        ([outer, rest @ ..], [step, steps @ ..]) => {
            let part = output.len() / (*outer).max(1);
            if part > 0 {
                for (index, output) in output.chunks_exact_mut(part).enumerate() {
                    walk(&input[index * step..], rest, steps, output);
                }
            }
        }
        _ => {}
    }
}

fn cases() -> Vec<Case> {
    let perm = |order: &[usize]| Transpose { perm: Some(order.to_vec()) };
    let integers = Tensor::new([3, 4], &(0..12).collect::<Vec<i64>>()).expect("twelve integers");
    vec![
        Case::new("reversed", Transpose { perm: None }).value(&[2, 3, 5], Fill::Spread),
        Case::new("matrix", perm(&[1, 0])).value(&[17, 33], Fill::Hostile),
        Case::new("to the back", perm(&[0, 2, 3, 1])).value(&[2, 17, 5, 7], Fill::Hostile),
        Case::new("to the front", perm(&[0, 3, 1, 2])).value(&[3, 5, 7, 33], Fill::Hostile),
        Case::new("heads", perm(&[0, 2, 1, 3])).value(&[2, 7, 3, 5], Fill::Spread),
        Case::new("i64", perm(&[1, 0])).tensor(integers),
        Case::new("empty", perm(&[1, 0])).value(&[0, 3], Fill::Spread),
        Case::new("bytes", perm(&[1, 0])).tensor(Tensor::zeros(DType::U8, [2, 3]).expect("six bytes")),
    ]
}
