//! `MaxUnpool`: the largest elements of windows put back where a `MaxPool` took them.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::strided,
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, Io, OnnxNode, OpDef, Operator, function_kernel},
    ops::pool::window::{Pads, decode_list, decode_pads, positive},
    shape::{Condition, Dim, Shape},
    tensor::{DType, Tensor},
};

/// Zeros, but operand 0 at the places of operand 1.
///
/// A place counts the elements of the tensor that was pooled. A larger result holds that tensor in
/// its first rows and columns, as ONNX's own tests have it; onnxruntime counts places in the larger
/// one.
#[derive(Clone, Debug, PartialEq)]
pub struct MaxUnpool {
    /// Taps along each spatial axis.
    pub kernel: Vec<usize>,
    /// The distance between windows.
    pub strides: Vec<usize>,
    /// The padding before and after each spatial axis.
    pub pads: Vec<(usize, usize)>,
    /// The result's dimensions, if they are not those of the tensor that was pooled.
    pub shape: Option<Vec<Dim>>,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "MaxUnpool",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(|request| function_kernel::<MaxUnpool>(request, run)),
    gpu: GpuState::Host("no shader yet"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let kernel = node.ints("kernel_shape")?.ok_or_else(|| Error::invalid_model("`kernel_shape` is missing"))?;
    let kernel = positive("kernel_shape", &kernel)?;
    let strides = decode_list(node, "strides", kernel.len())?;
    let Pads::Explicit(pads) = decode_pads(node, kernel.len())? else {
        return Err(Error::invalid_model("`auto_pad` without a pool"));
    };
    Ok(Arc::new(MaxUnpool { strides, pads, shape: node.take_integers(2)?, kernel }))
}

impl MaxUnpool {
    /// The size of the pooled tensor along a spatial axis with that many windows.
    fn pooled(&self, axis: usize, windows: &Dim) -> Dim {
        let spread = &(windows - &Dim::from(1)) * &Dim::from(self.strides[axis]);
        &(&spread + &Dim::from(self.kernel[axis])) - &(&Dim::from(self.pads[axis].0) + &Dim::from(self.pads[axis].1))
    }

    /// The shape of the tensor that was pooled.
    fn from(&self, shape: &Shape) -> Vec<Dim> {
        let spatial = shape.dims()[2..].iter().enumerate().map(|(axis, size)| self.pooled(axis, size));
        shape.dims()[..2].iter().cloned().chain(spatial).collect()
    }
}

impl Operator for MaxUnpool {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(2, 2)?;
        let (x, places) = (inputs.required(0)?, inputs.required(1)?);
        if x.shape.rank() != self.kernel.len() + 2 || places.dtype != DType::I64 || x.dtype == DType::String {
            return Err(Error::invalid_model(format!("windows of {:?} of {x} at {places}", self.kernel)));
        }
        inputs.broadcast_into(&places.shape, &x.shape)?;
        inputs.broadcast_into(&x.shape, &places.shape)?;
        let from = self.from(&x.shape);
        for size in &from {
            inputs.assume(Condition::at_least("an axis that was pooled", size, &Dim::from(0)))?;
        }
        let Some(shape) = &self.shape else { return Ok(vec![Fact::new(x.dtype, Shape::new(from))]) };
        if shape.len() != from.len() {
            return Err(Error::invalid_model(format!("a result of {shape:?} for {x}")));
        }
        for (asked, size) in shape.iter().zip(&from) {
            inputs.assume(Condition::at_least("the result's axis", asked, size))?;
        }
        Ok(vec![Fact::new(x.dtype, Shape::new(shape.clone()))])
    }
}

fn run(op: &MaxUnpool, io: &mut Io<'_>) -> Result<()> {
    let (x, places) = (io.input(0)?, io.input(1)?);
    let size_of = |size: &Dim| size.as_fixed().and_then(|size| usize::try_from(size).ok());
    let from: Option<Vec<usize>> = op.from(&Shape::fixed(x.shape)).iter().map(size_of).collect();
    let from = from.ok_or_else(|| Error::internal("a pooled axis of no size"))?;
    let count: usize = from.iter().product();
    let size = x.dtype.size();
    let output = io.output(0)?;
    let steps = strided::steps(output.shape);
    let is_whole = output.shape == from;
    output.bytes.fill(0);
    for (&place, element) in places.slice::<i64>()?.iter().zip(x.bytes.chunks_exact(size)) {
        let mut rest = usize::try_from(place).ok().filter(|&place| place < count).ok_or_else(|| {
            Error::invalid_input(format!("the place {place} is out of range for {count} elements that were pooled"))
        })?;
        let mut to = rest;
        if !is_whole {
            to = 0;
            for (&size, &step) in from.iter().zip(&steps).rev() {
                to += rest % size * step as usize;
                rest /= size;
            }
        }
        output.bytes[to * size..][..size].copy_from_slice(element);
    }
    Ok(())
}

fn cases() -> Vec<Case> {
    let of = |kernel: &[usize]| MaxUnpool {
        kernel: kernel.to_vec(),
        strides: vec![2; kernel.len()],
        pads: vec![(0, 0); kernel.len()],
        shape: None,
    };
    let places = [5, 7, 13, 15, 17, 22, 24, 31];
    let larger = Some([1, 2, 6, 5].map(Dim::from).to_vec());
    let integers = Tensor::new([1, 1, 2], &[7i64, -9]).expect("two numbers");
    vec![
        Case::new("images", of(&[2, 2])).value(&[1, 2, 2, 2], Fill::Hostile).integers(&[1, 2, 2, 2], &places),
        Case::new("larger", MaxUnpool { shape: larger, ..of(&[2, 2]) })
            .value(&[1, 2, 2, 2], Fill::Spread)
            .integers(&[1, 2, 2, 2], &places),
        Case::new("padded", MaxUnpool { pads: vec![(1, 0)], ..of(&[3]) })
            .tensor(integers)
            .integers(&[1, 1, 2], &[0, 3]),
        Case::new("empty", of(&[2])).value(&[0, 1, 2], Fill::Spread).integers(&[0, 1, 2], &[]),
    ]
}
